import PetioleStorage
import Testing

@testable import Petiole

@Suite("Effects of jobs in child processes", .timeLimit(.minutes(10))) struct IsolatedEffectsTests {
    private static func receipt(_ trace: Trace<Int>) -> JobClosure {
        JobClosure("receipt", queue: "receipts") { (number: Int, context) in
            trace.add(number)
            return number
        }
    }

    @Test("rows and new jobs take effect once with the success, and not with a process that ended")
    func once() async throws {
        try await withStore { store in
            let receipts = Trace<Int>()
            for number in 1...20 {
                try await store.enqueue(
                    Isolated("add", number, path: number % 5 == 0 ? "trap" : ""),
                    options: EnqueueOptions(
                        maxAttempts: 3, metadata: JobMetadata(tags: ["all"])))
            }
            let runner = try makeRunner(
                store, [Self.receipt(receipts)], jobs: [Isolated.self], workers: 3)
            try await runner.run {}
            let sums = try store.table("sums")
            #expect(try sums.value(for: "sum", as: Int.self) == 210)
            #expect(receipts.items.sorted() == Array(1...20))
            for id in 1...20 {
                #expect(try sums.value(for: "by-\(id)", as: Int.self) == (id % 5 == 0 ? 2 : 1))
            }
            // Jobs that read what another changed meanwhile have run again, and nothing was counted.
            #expect(try store.counts().retries == 4)
            #expect(try store.counts().succeeded == 40)
            for id in UInt64(21)...40 {
                let details = try store.details(of: JobID(rawValue: id))
                #expect(
                    details.parent == details.root && (1...20).contains(details.parent!.rawValue))
            }
            for (tag, count) in [("all", 40), ("of-3", 1)] {
                var filter = JobFilter()
                filter.tag = tag
                var found = 0
                try store.forEachJob(filter) { _ in
                    found += 1
                    return true
                }
                #expect(found == count)
            }
        }
    }

    @Test("an asynchronous job in a child has effects too, and another's read is compared")
    func task() async throws {
        try await withStore { store in
            let job = try await store.enqueue(IsolatedTask("put", 9))
            try await makeRunner(store, jobs: [IsolatedTask.self]).run {}
            _ = try await job.result
            #expect(try store.table("t").bytes(for: "task") == [9])
        }
    }

    @Test("effects are read back as they were written, and what was changed is refused or as good")
    func roundTrip() async throws {
        try await withStore { store in
            var effects = AttemptEffects(job: 7, attempt: 2)
            let rule = Uniqueness(key: "k", hold: .untilStarted, onConflict: .replace)
            let request = try EnqueueRequest(
                EnqueueTarget(name: "receipt"),
                EnqueueOptions(
                    queue: "other", priority: 2, maxAttempts: 3, keepsResult: false,
                    due: .after(.seconds(60)), unique: rule,
                    metadata: JobMetadata(tags: ["a"], headers: ["b": "c"]),
                    timeLimit: TimeLimit(soft: .seconds(1))),
                codec: .compact, in: store.open)
            let block = try request.block { (writer) throws(CodecError) in
                try PayloadCodec.compact.encode(["x": 1], into: &writer)
            }
            effects.spawned.append(EnqueueSubmission(request, block))
            effects.writes.updateValue([1, 2], forKey: Array("t".utf8) + [0, 1])
            effects.writes.updateValue(nil, forKey: Array("t".utf8) + [0, 2])
            effects.reads.updateValue(.max, forKey: Array("t".utf8) + [0, 3])
            effects.reads.updateValue(nil, forKey: Array("t".utf8) + [0, 4])
            let bytes = ChildEffects.encode(effects)
            let read = try ChildEffects.decode(bytes, job: 7, attempt: 2, in: store.open)
            #expect(read.writes == effects.writes && read.reads == effects.reads)
            let (one, other) = (try #require(read.spawned.first), effects.spawned[0])
            #expect(one.options == other.options && one.onConflict == .replace)
            #expect(one.target === other.target && one.jobCount == 1)
            #expect(ChildEffects.encode(read).count == bytes.count)
            for length in bytes.indices {
                #expect(throws: (any Error).self) {
                    try ChildEffects.decode(
                        Array(bytes[..<length]), job: 7, attempt: 2, in: store.open)
                }
            }
            var random = SeededGenerator(state: 5)
            for _ in 0..<2_000 {
                var changed = bytes
                changed[Int.random(in: changed.indices, using: &random)] = .random(
                    in: 0...255, using: &random)
                // An error, or other effects: never a trap.
                _ = try? ChildEffects.decode(changed, job: 7, attempt: 2, in: store.open)
            }
        }
    }
}
