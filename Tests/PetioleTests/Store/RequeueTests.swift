import PetioleStorage
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Requeue") struct RequeueTests {
    /// Fails, as long as `isBroken` says so; notes which ran.
    private let ran = Trace<Int>()
    private let mended = SharedFlag()

    private var flaky: JobClosure {
        JobClosure("flaky", retryPolicy: .never) { [ran, mended] (number: Int, _) -> Int in
            ran.add(number)
            if number % 10 == 0, !mended.isSet { throw Refusal() }
            return number
        }
    }

    @Test("jobs that failed run once more, and their neighbours in the log do not")
    func failed() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("flaky", Array(1...100))
            try await makeRunner(store, [flaky]).run {}
            expectEqual(try store.counts().failed, 10)
            mended.set()
            let count = try await store.requeue(matching: JobFilter())
            #expect(count == 10)
            expectEqual(try store.counts().failed, 0)
            // Ends are counted that are taken back.
            expectEqual(try store.counts().endsEver, 100)
            expectEqual(try store.counts().failuresEver, 10)
            expectEqual(try store.counts().ready, 10)
            expectEqual(try jobs[9].state, .ready)
            expectEqual(try jobs[8].state.isEnded, true)
            expectSound(store)
            try await makeRunner(store, [flaky]).run {}
            for (index, job) in jobs.enumerated() { try await expectEqual(job.result, index + 1) }
            #expect(ran.items.count == 110)
            #expect(try store.counts().succeeded == 100)
            expectEqual(try store.counts(queue: "default").endsEver, 110)
            expectEqual(try store.counts(queue: "default").failuresEver, 10)
            // What it came to before is not forgotten.
            let history = try store.history(of: jobs[9].id)
            #expect(history.count == 1 && history[0].failure.type == "Refusal")
            let again = try await store.requeue(matching: JobFilter())
            #expect(again == 0)
        }
    }

    @Test(
        "a job runs once more however it ended, whatever its expiry was, and with all its attempts")
    func kinds() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let attempts = Trace<Int>()
            let job = JobClosure(
                "job",
                retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
            ) { [mended] (number: Int, context) -> Int in
                attempts.add(context.attempt)
                if mended.isSet { return number }
                switch number {
                case 1: throw JobControl.discard("no")
                case 2: throw JobControl.deadLetter("never")
                default: return number
                }
            }
            let soon = EnqueueOptions(expiry: .after(.seconds(1)))
            let done = try await store.numbers("job", [0])[0]
            let discarded = try await store.numbers("job", [1])[0]
            let dead = try await store.numbers("job", [2])[0]
            let expired = try await store.numbers("job", [3], options: soon)[0]
            let cancelled = try await store.numbers("job", [4])[0]
            try await store.cancel(cancelled.id)
            clock.advance(.seconds(2))
            try await makeRunner(store, [job]).run {}
            let all = [done, discarded, dead, expired, cancelled]
            expectEqual(
                try all.map { try store.outcome(of: $0.id)?.kind },
                [.succeeded, .discarded, .deadLetter, .expired, .cancelled])
            mended.set()
            for job in all {
                try await expectEqual(store.requeue(job.id), .requeued)
                try await expectEqual(store.requeue(job.id), .notEnded)
            }
            #expect(try store.counts().ended == 0)
            try await makeRunner(store, [job]).run {}
            #expect(try store.counts().succeeded == 5)
            for (number, job) in all.enumerated() { try await expectEqual(job.result, number) }
            #expect(attempts.items.allSatisfy { $0 == 1 })
            let missing = JobID(rawValue: 99)
            await #expect(throws: StoreError.noSuchJob(missing)) {
                try await store.requeue(missing)
            }
        }
    }

    @Test("a job that was asked to stop and is requeued runs to its end, in the same slot")
    func stopped() async throws {
        try await withStore { store in
            let begun = Gate()
            let job = JobClosure("job") { [mended] (number: Int, context) -> Int in
                begun.open()
                while !context.isCancelled, !mended.isSet { sched_yield() }
                try context.checkCancellation()
                return number
            }
            let handle = try await store.numbers("job", [5])[0]
            let runner = try makeRunner(store, [job])
            try await runner.run {
                await begun.wait()
                try await expectEqual(store.cancel(handle.id), .stopping)
                await #expect(throws: JobError.cancelled(handle.id)) { try await handle.result }
                mended.set()
                try await store.requeue(handle.id)
                try await expectEqual(handle.result, 5)
            }
        }
    }

    @Test("a job that has ended otherwise since it was found is left alone")
    func changed() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("flaky", [10])
            try await makeRunner(store, [flaky]).run {}
            let failed = try #require(try store.outcome(of: jobs[0].id))
            mended.set()
            try await store.requeue(jobs[0].id)
            try await makeRunner(store, [flaky]).run {}
            let tables = store.open.tables
            // What another, who has found it failed, asks for now.
            let listed = Petiole.Requeue.Listed(
                id: jobs[0].id.rawValue, startedAt: failed.startedAt.microseconds)
            let step = try await store.open.perform { (transaction, state) throws(StorageError) in
                try Petiole.Requeue.requeue([listed], tables, &transaction, &state)
            }
            #expect(step.count == 0 && step.passed == 1)
            try await expectEqual(jobs[0].result, 10)
        }
    }

    @Test("who awaits a job that was requeued is told of its new end")
    func awaited() async throws {
        try await withStore { store in
            let job = try await store.numbers("flaky", [10])[0]
            let runner = try makeRunner(store, [flaky])
            try await runner.run {
                await #expect(throws: JobError.self) { try await job.result }
                mended.set()
                try await store.requeue(job.id)
                try await expectEqual(job.result, 10)
            }
        }
    }

    @Test("a requeued job is cancelled, retried and pruned like any other")
    func lives() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers("flaky", Array(1...40))
            try await makeRunner(store, [flaky]).run {}
            try await store.requeue(matching: JobFilter())
            try await expectEqual(store.cancel(jobs[9].id), .cancelled)
            // Older than is kept: the log goes, but for what has not ended.
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectSound(store)
            expectEqual(try jobs[19].state, .ready)
            mended.set()
            try await makeRunner(store, [flaky]).run {}
            try await expectEqual(jobs[19].result, 20)
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectSound(store)
            #expect(throws: StoreError.noSuchJob(jobs[19].id)) { try jobs[19].state }
        }
    }

    @Test(
        "a dead letter that outlived its block runs once more, and is pruned when it has succeeded")
    func deadLetter() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let poison = JobClosure("poison", retryPolicy: .never) {
                [mended] (number: Int, _) -> Int in
                if !mended.isSet { throw JobControl.deadLetter("not yet") }
                return number
            }
            let jobs = try await store.numbers("poison", [1, 2])
            try await makeRunner(store, [poison]).run {}
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectEqual(try store.outcome(of: jobs[0].id)?.kind, .deadLetter)
            mended.set()
            try await expectEqual(store.requeue(jobs[0].id), .requeued)
            expectSound(store)
            try await makeRunner(store, [poison]).run {}
            try await expectEqual(jobs[0].result, 1)
            expectEqual(try store.outcome(of: jobs[1].id)?.kind, .deadLetter)
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            #expect(throws: StoreError.noSuchJob(jobs[0].id)) { try jobs[0].state }
            expectEqual(try store.outcome(of: jobs[1].id)?.kind, .deadLetter)
        }
    }

    @Test("failures are told apart by their fingerprints, in which numbers do not count")
    func fingerprints() async throws {
        struct Numbered: Error, CustomStringConvertible {
            var description: String
        }
        try await withStore { store in
            let job = JobClosure("job", retryPolicy: .never) { [mended] (number: Int, _) -> Int in
                if mended.isSet { return number }
                throw Numbered(
                    description: number % 2 == 0
                        ? "line \(number) of part \(number * 111) is bad" : "no room for \(number)")
            }
            let jobs = try await store.numbers("job", Array(1...10))
            try await makeRunner(store, [job]).run {}
            let failure = try #require(try store.outcome(of: jobs[1].id)?.failure)
            #expect(failure.fingerprint.count == 16)
            var filter = JobFilter()
            filter.fingerprint = failure.fingerprint
            mended.set()
            let count = try await store.requeue(matching: filter)
            #expect(count == 5)
            try await makeRunner(store, [job]).run {}
            #expect(try store.counts().succeeded == 5 && store.counts().failed == 5)
            try await expectEqual(jobs[1].result, 2)
        }
    }
}
