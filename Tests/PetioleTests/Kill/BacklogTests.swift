#if os(Linux)
    import Foundation
    import Testing

    @testable import Petiole

    /// The child's job type of that name.
    private enum Large: RawJob {
        static func run(
            _ payload: RawSpan, result: inout ResultBytes, context: JobContext
        ) throws {}
    }

    @Suite("Backlog", .timeLimit(.minutes(10))) struct BacklogTests {
        /// Memory of a runner's own, in KiB, while its two workers are busy and `count` jobs wait behind theirs.
        private func memory(waiting count: Int) async throws -> Int {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let store = try directory.open()
            for _ in 0..<2 { try await store.enqueue(name: "Work", payload: ["kind": "hang"]) }
            if count > 0 {
                let bytes = [UInt8](repeating: 7, count: 100)
                try await store.enqueue(Large.self, count: count) { _, payload in
                    payload.append(contentsOf: bytes)
                }
            }
            #expect(try store.counts().unfinished == count + 2)
            store.close()
            let child = try Child(
                ["serve", directory.store, directory.path + "/effects", "2"],
                environment: ["CRASH_CHILD_HANGS": "1"])
            var busy = 0
            while busy < 2, let line = try await child.line() {
                if line.hasPrefix("started") { busy += 1 }
            }
            let status = try String(contentsOfFile: "/proc/\(child.pid)/status", encoding: .utf8)
            child.kill()
            try await child.end()
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon") })
            return try #require(
                line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
        }

        @Test("a million waiting jobs cost a runner no memory that it would not need without them")
        func memory() async throws {
            let empty = try await memory(waiting: 0)
            let full = try await memory(waiting: 1_000_000)
            // Their payloads alone are 100 MB.
            #expect(full - empty < 8_192, "\(full) KiB with a backlog, \(empty) KiB without")
        }
    }
#endif
