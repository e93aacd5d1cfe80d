#if os(Linux)
    import Foundation
    import Testing

    @testable import Petiole

    @Suite("Errors of the disk", .timeLimit(.minutes(10))) struct DiskErrorTests {
        /// A sync, a write of pages, or a write of the root fails: the first, and later ones; once, and from then on.
        private static func faults(_ numbers: [Int]) -> [String] {
            ["sync", "write", "root"].flatMap { call in
                numbers.flatMap { ["\(call):\($0)", "\(call):\($0)+"] }
            }
        }

        @Test(
            "after an error of the disk nothing more is accepted, and what was told accepted is there"
        )
        func producer() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let shim = try DiskShim(directory)
            for fault in Self.faults([1, 4, 9]) {
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

        @Test("a runner that meets an error of the disk ends, and the next one ends every job")
        func runner() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let shim = try DiskShim(directory)
            // It commits at least its takeover, outcomes, timers, outcomes, timers, outcomes.
            for fault in Self.faults([1, 2, 4]) {
                let path = directory.path + "/\(fault).petiole"
                let made = try JobStore(at: path)
                for index in 0..<20 {
                    try await made.enqueue(
                        name: "Work", payload: ["kind": index % 4 == 0 ? "flaky" : "plain"])
                }
                made.close()
                let effects = directory.path + "/\(fault).effects"
                let end = try await Child(
                    ["run", path, effects, "2"], environment: shim.failing(fault)
                ).end()
                #expect(end != .exit(0), "\(fault) met no call")
                #expect(try await Child(["run", path, effects, "2"]).end() == .exit(0))
                let store = try JobStore(at: path)
                defer { store.close() }
                #expect(try Audit(store).problems == [], "\(fault)")
                #expect(try store.counts().succeeded == 20, "\(fault)")
            }
        }
    }
#endif
