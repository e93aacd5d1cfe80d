import PetioleStorage
import Testing

@testable import Petiole

/// Of 8,000 bytes, so that eight lie in a block.
private struct Large: BatchJob {
    static let batchLimit = 10
    static let batchWait = Duration.seconds(3_600)
    static let retryPolicy = RetryPolicy(maxAttempts: 1, backoff: .constant(.milliseconds(1)))
    static let mended = SharedFlag()
    var number: Int
    var text = String(repeating: "x", count: 8_000)

    static func run(_ batch: [BatchItem<Large>]) -> [Result<Int, any Error>] {
        batch.map { item in
            Result {
                // The others have no effects: what they came to is recorded together.
                if item.job.number == 8 {
                    if !mended.isSet { throw JobControl.deadLetter("broken") }
                    try item.context.table("ran").put(value: 8, for: "ran")
                }
                return item.job.number
            }
        }
    }
}

@Suite("Outcomes that reach over a block of jobs", .timeLimit(.minutes(10)))
struct StraddlingOutcomesTests {
    @Test("a dead letter whose block was pruned alone runs once more, and its end is recorded")
    func requeued() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let jobs = try await store.enqueue(contentsOf: (1...12).map { Large(number: $0) })
            let ids = jobs.map(\.id)
            let first = try makeRunner(store, jobs: [Large.self])
            async let running: Void = first.run()
            while try first.core.batches.count < 2 || store.outcome(of: ids[9]) == nil
                || store.outcome(of: ids[7]) == nil
            { try await turn() }
            first.stop()
            try await running
            // One block of outcomes over two of jobs.
            let tables = store.open.tables
            func ends(_ id: JobID) throws -> [UInt64?] {
                try store.open.read { (reader) throws(StorageError) in
                    [
                        try Lookup.outcomes(id.rawValue, reader, tables)?.end,
                        try Lookup.block(id.rawValue, reader, tables)?.end,
                    ]
                }
            }
            #expect(try ends(ids[6]) == [11, 9])
            clock.advance(.seconds(100))
            #expect(try await store.prune(olderThan: .zero) == 7)
            expectSound(store)
            #expect(try store.outcome(of: ids[8])?.kind == .succeeded)
            #expect(try store.outcome(of: ids[7])?.kind == .deadLetter)
            await #expect(throws: StoreError.noSuchJob(ids[0])) { try await store.requeue(ids[0]) }
            try await store.requeue(ids[7])
            Large.mended.set()
            let second = try makeRunner(store, jobs: [Large.self])
            try await second.run {
                while second.core.batches.count < 3 { try await turn() }
                clock.advance(.seconds(3_601), store)
                try await expectEqual(jobs[7].result, 8)
            }
            #expect(try store.counts().unfinished == 0)
            #expect(try store.table("ran").value(for: "ran", as: Int.self) == 8)
            clock.advance(.seconds(100))
            #expect(try await store.prune(olderThan: .zero) == 5)
        }
    }
}
