#if os(Linux)
    import Foundation
    import Testing

    @testable import Petiole

    @Suite("Errors of the disk", .timeLimit(.minutes(2))) struct DiskErrorTests {
        /// A sync, a write of pages, or a write of the root fails: the first, and later ones; once, and from then on.
        private static let faults = ["sync", "write", "root"].flatMap { call in
            [1, 4, 9].flatMap { ["\(call):\($0)", "\(call):\($0)+"] }
        }

        @Test(
            "after an error of the disk nothing more is accepted, and what was told accepted is there"
        )
        func producer() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let shim = try DiskShim(directory)
            for fault in Self.faults {
                let path = directory.path + "/\(fault).petiole"
                try JobStore(at: path).close()
                let child = try Child(["insist", path, "12"], environment: shim.failing(fault))
                var lines: [String] = []
                while let line = try await child.line() { lines.append(line) }
                #expect(try await child.end() == .exit(0), "\(fault)")
                let refused = try #require(lines.firstIndex(of: "refused"), "\(fault) met no call")
                #expect(lines.count == 12, "\(fault)")
                #expect(lines[refused...].allSatisfy { $0 == "refused" }, "\(fault)")
                let store = try JobStore(at: path)
                defer { store.close() }
                let audit = try Audit(store)
                #expect(audit.problems == [], "\(fault)")
                let accepted = Set(
                    lines[..<refused].compactMap { UInt64($0.split(separator: " ")[0]) })
                #expect(accepted.count == refused)
                // Of the one that the error met nothing was said: it may be there.
                #expect(audit.jobs.isSuperset(of: accepted), "\(fault)")
                #expect(audit.jobs.count <= accepted.count + 1, "\(fault)")
            }
        }
    }
#endif
