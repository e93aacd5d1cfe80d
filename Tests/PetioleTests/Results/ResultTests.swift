import PetioleStorage
import Testing

@testable import Petiole

/// Gives so many letters; nobody may have more than ten.
private struct Letters: Job {
    static let resultLimit: Int? = 12
    var count: Int
    func run(_ context: JobContext) throws -> String {
        try context.table("ran").put(value: context.attempt, for: "\(count)")
        return String(repeating: "x", count: count)
    }
}

private struct AsyncLetters: AsyncJob {
    static let resultLimit: Int? = 12
    var count: Int
    func run(_ context: JobContext) async -> String { String(repeating: "x", count: count) }
}

private struct BatchLetters: BatchJob {
    static let resultLimit: Int? = 12
    static let batchWait = Duration.zero
    var count: Int
    static func run(_ batch: [BatchItem<BatchLetters>]) -> [Result<String, any Error>] {
        batch.map { .success(String(repeating: "x", count: $0.job.count)) }
    }
}

private struct Brief: Job {
    static let resultRetention: Duration? = .seconds(60)
    var number: Int
    func run(_ context: JobContext) -> Int { number }
}

@Suite("Results", .timeLimit(.minutes(10))) struct ResultTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }
    private static let day = Duration.seconds(86_400)

    @Test(
        "a result over its limit makes the job a dead letter at once, and its effects do not happen"
    )
    func limit() async throws {
        try await withStore { store in
            let runner = try makeRunner(
                store, jobs: [Letters.self, AsyncLetters.self, BatchLetters.self])
            try await runner.run {
                let small = try await store.enqueue(Letters(count: 10))
                let large = try await store.enqueue(Letters(count: 20))
                let task = try await store.enqueue(AsyncLetters(count: 20))
                let item = try await store.enqueue(BatchLetters(count: 20))
                let fitting = try await store.enqueue(BatchLetters(count: 10))
                let raised = try await store.enqueue(
                    Letters(count: 21), options: EnqueueOptions(resultLimit: 100))
                let lowered = try await store.enqueue(
                    AsyncLetters(count: 3), options: EnqueueOptions(resultLimit: 0))
                // What is not kept has no size.
                let dropped = try await store.enqueue(
                    Letters(count: 22), options: EnqueueOptions(keepsResult: false))
                try await expectEqual(small.result.count, 10)
                try await expectEqual(fitting.result.count, 10)
                try await expectEqual(raised.result.count, 21)
                for id in [large.id, task.id, item.id, lowered.id] {
                    let outcome = try await store.waitForEnd(of: id)
                    #expect(outcome.kind == .deadLetter && outcome.attempt == 1)
                    #expect(outcome.failure?.type == "ResultTooLarge")
                    #expect(outcome.failure?.message.contains("are allowed") == true)
                }
                try await expectEqual(store.waitForEnd(of: dropped.id).kind, .succeeded)
            }
            let rows = try store.table("ran")
            #expect(try rows.value(for: "10", as: Int.self) == 1)
            #expect(try rows.value(for: "20", as: Int.self) == nil)
        }
    }

    @Test(
        "options about results out of bounds are refused where they are written",
        arguments: [
            EnqueueOptions(resultRetention: .zero), EnqueueOptions(resultLimit: -1),
        ])
    func bounds(options: EnqueueOptions) async throws {
        struct Negative: Job {
            static let resultLimit: Int? = -1
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct NegativeItem: BatchJob {
            static let resultLimit: Int? = -1
            static func run(_ batch: [BatchItem<NegativeItem>]) -> [Result<Int, any Error>] { [] }
        }
        try await withStore { store in
            let error = await #expect(throws: EnqueueError.self) {
                try await store.numbers("echo", [1], options: options)
            }
            #expect("\(error!)".contains("allowed"))
            #expect(throws: RunnerError.self) { try makeRunner(store, jobs: [Negative.self]) }
            #expect(throws: RunnerError.self) { try makeRunner(store, jobs: [NegativeItem.self]) }
        }
    }

    private func results(_ store: JobStore) throws -> Int {
        let tables = store.open.tables
        return try store.open.read { (reader) throws(StorageError) in
            try reader.count(tables.timers)
        }
    }

    @Test(
        "a result that is kept for less long goes with its time, and the outcome and the neighbours stay"
    )
    func shorter() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            var jobs: [JobHandle<Int>] = []
            for number in 1...9 {
                let options = EnqueueOptions(
                    resultRetention: number % 3 == 0 ? .seconds(60) : nil)
                jobs += try await store.numbers("echo", [number], options: options)
            }
            let brief = try await store.enqueue(Brief(number: 7))
            let none = try await store.numbers(
                "echo", [8],
                options: EnqueueOptions(keepsResult: false, resultRetention: .seconds(9))
            )[0]
            try await makeRunner(store, [echo], jobs: [Brief.self]).run {}
            #expect(try results(store) == 4)
            for (index, job) in jobs.enumerated() { try await expectEqual(job.result, index + 1) }
            clock.advance(.seconds(70))
            let runner = try makeRunner(store, [echo])
            try await runner.run {
                while try results(store) > 0 { try await turn() }
            }
            for (index, job) in jobs.enumerated() {
                if (index + 1) % 3 == 0 {
                    await #expect(throws: JobError.keepsNoResult(job.id)) { try await job.result }
                } else {
                    try await expectEqual(job.result, index + 1)
                }
                try expectEqual(store.outcome(of: job.id)?.kind, .succeeded)
            }
            await #expect(throws: JobError.keepsNoResult(brief.id)) { try await brief.result }
            await #expect(throws: JobError.keepsNoResult(none.id)) { try await none.result }
        }
    }

    @Test("what is due otherwise is passed over in parts while results are let go of")
    func manyOthers() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers(
                "echo", Array(1...5), options: EnqueueOptions(resultRetention: .seconds(60)))
            try await makeRunner(store, [echo]).run {}
            try await store.numbers(
                "later", Array(1...5), options: EnqueueOptions(due: .after(.seconds(30))))
            clock.advance(.seconds(100))
            #expect(try results(store) == 10)
            let queue = try #require(try store.queueRows().first).1.id
            var next: Key?
            var parts = 0
            repeat {
                let from = next
                next = try await store.open.perform { (transaction, state) throws(StorageError) in
                    try ResultRetention.endDue(queue, from: from, limit: 3, &transaction, &state)
                }
                parts += 1
            } while next != nil
            #expect(parts == 4)
            #expect(try results(store) == 5)
            for job in jobs {
                await #expect(throws: JobError.keepsNoResult(job.id)) { try await job.result }
            }
            _ = try await store.cancel(matching: JobFilter())
        }
    }

    @Test("a job whose result is kept longer outlives the others, until its time is over")
    func longer() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            let long = EnqueueOptions(resultRetention: Self.day * 3)
            let kept = try await store.numbers("echo", [1], options: long)[0]
            let other = try await store.numbers("echo", [2])[0]
            try await makeRunner(store, [echo]).run {}
            clock.advance(Self.day * 2)
            #expect(try store.prunable(olderThan: Self.day) == 1)
            #expect(try await store.prune(olderThan: Self.day) == 1)
            #expect(throws: StoreError.noSuchJob(other.id)) { try other.state }
            try await expectEqual(kept.result, 1)
            expectSound(store)
            // Jobs that are there beside it cost no look-up: they run as ever.
            let later = try await store.numbers("echo", [3])[0]
            try await makeRunner(store, [echo]).run { try await expectEqual(later.result, 3) }
            clock.advance(Self.day * 2)
            // Nobody runs the queue: who prunes lets it go.
            try await store.prune(olderThan: Self.day * 30)
            #expect(throws: StoreError.noSuchJob(kept.id)) { try kept.state }
            let tables = store.open.tables
            let left = try store.open.read { (reader) throws(StorageError) in
                (try reader.count(tables.kept), try reader.count(tables.revised))
            }
            #expect(left == (0, 0))
        }
    }

    @Test(
        "a job that runs once more, or whose clock was set back, keeps its result as long as it says"
    )
    func requeued() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let job = try await store.numbers(
                "echo", [1], options: EnqueueOptions(resultRetention: .seconds(600)))[0]
            try await makeRunner(store, [echo]).run {}
            clock.advance(.seconds(500))
            try await store.requeue(job.id)
            try await makeRunner(store, [echo]).run {}
            #expect(try results(store) == 2)
            clock.advance(.seconds(200))
            // The first end's time is over, the second's is not.
            try await store.prune(olderThan: .seconds(86_400))
            try await expectEqual(job.result, 1)
            clock.advance(.seconds(500))
            try await store.prune(olderThan: .seconds(86_400))
            await #expect(throws: JobError.keepsNoResult(job.id)) { try await job.result }
            #expect(try results(store) == 0)
        }
    }

    @Test("what a prune would delete is what it deletes")
    func dryRun() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            let fail = JobClosure(
                "fail",
                retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.seconds(9_000)))
            ) { (number: Int, context) -> Int in
                if context.attempt == 1 { throw Refusal() }
                return number
            }
            try await store.numbers("echo", Array(0..<40))
            try await store.enqueue(name: "echo", payload: "no number", output: Int.self)
            try await store.numbers("echo", Array(0..<20))
            let late = try await store.numbers("fail", [1])[0]
            let runner = try makeRunner(store, [echo, fail])
            async let run: Void = runner.run()
            try await store.untilWaiting(late.id, attempts: 1)
            while try store.counts().unfinished > 1 { try await turn() }
            runner.stop()
            try await run
            #expect(try store.prunable(olderThan: Self.day) == 0)
            clock.advance(Self.day * 2)
            for expected in [60, 0, 1] {
                let found = try store.prunable(olderThan: Self.day)
                #expect(try await store.prune(olderThan: Self.day) == found)
                #expect(found == expected)
                if expected == 0 {
                    // What was kept apart ends, and is old in its turn.
                    try await makeRunner(store, [echo, fail]).run {}
                    clock.advance(Self.day * 2)
                }
            }
        }
    }
}
