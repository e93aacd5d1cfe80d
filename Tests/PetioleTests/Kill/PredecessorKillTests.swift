import Foundation
import Testing

@testable import Petiole

@Suite("Jobs after others, in processes that die", .serialized, .timeLimit(.minutes(10)))
struct PredecessorKillTests {
    private struct Kind: Codable { var kind: String }

    @Test(
        "a runner that dies around the commit of a job's end leaves those that follow it held or let go, and each runs after those before it",
        arguments: ["beforeCommit", "afterCommit", "beforeBell"])
    func around(point: String) async throws {
        var random = SeededRandom(7)
        let directory = try TestDirectory()
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        var before: [UInt64: [UInt64]] = [:]
        do {
            let store = try directory.open()
            var ids: [JobID] = []
            for number in 0..<60 {
                var options = EnqueueOptions()
                for other in Set((0..<2).compactMap { _ in ids.randomElement(using: &random) }) {
                    options.after.append(
                        number % 2 == 0 ? .success(of: other) : .end(of: other))
                }
                let kind = number % 5 == 0 ? "flaky" : "plain"
                let job = try await store.enqueue(
                    name: "Work", payload: Kind(kind: kind), options: options)
                ids.append(job.id)
                before[job.id.rawValue] = options.after.map { $0.job.rawValue }
            }
            expectSound(store)
            store.close()
        }
        // Each life goes a little further than the one before.
        var pass = 1
        while true {
            let child = try Child(
                ["run", directory.store, effects, "2"], crashAt: "\(point):\(pass)")
            let end = try await child.end()
            let store = try directory.open()
            defer { store.close() }
            expectSound(store)
            if end == .exit(0) { break }
            #expect(end == .exit(9))
            try #require(pass < 2_000)
            pass += 2
        }
        let store = try directory.open()
        defer { store.close() }
        let audit = try Audit(store)
        #expect(audit.outcomes.count == 60)
        #expect(audit.outcomes.values.allSatisfy { $0 == .succeeded })
        let lines = try Effects(effects).lines
        for (id, others) in before {
            let start = try #require(lines.firstIndex { $0.isStart && $0.id == id })
            for other in others {
                let end = try #require(lines.firstIndex { !$0.isStart && $0.id == other })
                #expect(end < start, "job \(id) began before job \(other) had ended")
            }
        }
    }
}
