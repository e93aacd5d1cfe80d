import PetioleStorage
import Testing

@testable import Petiole

@Suite("Purge", .timeLimit(.minutes(10))) struct PurgeTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    /// Notes its number; 0 waits at the gate, multiples of 10 fail.
    private var note: JobClosure {
        JobClosure("note", retryPolicy: .never) { [ran, begun, gate] (number: Int, _) -> Int in
            ran.add(number)
            if number == 0 {
                begun.open()
                gate.block()
            } else if number % 10 == 0 {
                throw Refusal()
            }
            return number
        }
    }

    private struct Numbered: Job {
        static let retryPolicy = RetryPolicy.never
        var number: Int
        func run(_ context: JobContext) throws -> Int {
            if number % 10 == 0 { throw Refusal() }
            return number
        }
    }

    private func filter(_ states: Set<JobFilter.State>) -> JobFilter {
        var filter = JobFilter()
        filter.states = states
        return filter
    }

    @Test("of jobs in one block those that are purged are gone, and their neighbours are whole")
    func neighbours() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(contentsOf: (1...1_000).map { Numbered(number: $0) })
            try await makeRunner(store, jobs: [Numbered.self], workers: 2).run {}
            let dry = try await store.purge(filter([.failed]), dryRun: true)
            #expect(dry.deleted == 100 && dry.cancelled == 0)
            expectEqual(try store.jobs(limit: 2_000).count, 1_000)
            let counts = try await store.purge(filter([.failed]))
            #expect(counts == dry)
            expectSound(store)
            for (index, job) in jobs.enumerated() {
                if (index + 1) % 10 == 0 {
                    #expect(throws: StoreError.noSuchJob(job.id)) { try job.state }
                } else {
                    try await expectEqual(job.result, index + 1)
                }
            }
            // What was counted stays counted.
            expectEqual(try store.counts().failed, 100)
            expectEqual(try store.counts().accepted, 1_000)
            try await expectEqual(store.purge(filter([.failed])).deleted, 0)
            try await expectEqual(store.requeue(matching: JobFilter()), 0)
            await #expect(throws: StoreError.noSuchJob(jobs[9].id)) {
                try await store.requeue(jobs[9].id)
            }
            try await expectEqual(store.requeue(jobs[10].id), .requeued)
            try await makeRunner(store, jobs: [Numbered.self]).run {}
            try await expectEqual(store.purge(JobFilter()).deleted, 900)
            expectEqual(try store.jobs().count, 0)
        }
    }

    @Test("jobs that have not started are cancelled and gone, and leave no key and no timer behind")
    func unfinished() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let unique = EnqueueOptions(unique: Uniqueness(key: "one"))
            let ready = try await store.numbers("note", [1], options: unique)[0]
            let parked = try await store.numbers("nobody", [3])[0]
            let paused = try await store.numbers("aside", [4])[0]
            try await store.pause(jobType: "aside")
            try await store.pause(jobType: "note")
            try await makeRunner(store, [note, JobClosure("aside") { (_: Int, _) in 0 }]).run {}
            try await store.resume(jobType: "note")
            let delayed = try await store.numbers(
                "note", [2],
                options: EnqueueOptions(due: .after(.seconds(60)), expiry: .after(.seconds(90))))[0]
            expectEqual(
                try [parked, paused].map { try $0.state },
                [.parked(name: "nobody"), .paused(name: "aside")])
            let end = Task { try await delayed.result }
            let counts = try await store.purge(JobFilter())
            #expect(counts.deleted == 4 && counts.cancelled == 4 && counts.running == 0)
            // Told, if he looks in time: what he looks for is gone.
            await #expect(throws: JobError.self) { try await end.value }
            for job in [ready, delayed, parked, paused] {
                #expect(throws: StoreError.noSuchJob(job.id)) { try job.state }
            }
            expectSound(store)
            #expect(try store.counts().cancelled == 4 && store.counts().unfinished == 0)
            let again = try await store.numbers("note", [5], options: unique)[0]
            #expect(again.id != ready.id)
            clock.advance(.seconds(100))
            try await makeRunner(store, [note]).run { try await expectEqual(again.result, 5) }
            #expect(ran.items == [5])
        }
    }

    @Test(
        "a claimed job that has not started is purged and never starts, one that runs is left alone"
    )
    func claimed() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note], workers: 1)
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...109)) {
                    _ = try await job.result
                }
                let jobs = try await store.numbers("note", [0, 1, 2, 3])
                await begun.wait()
                var unfinished = filter([.ready, .running])
                unfinished.after = JobID(rawValue: jobs[0].id.rawValue - 1)
                let dry = try await store.purge(unfinished, dryRun: true)
                #expect(dry.deleted == 3 && dry.cancelled == 3 && dry.running == 1)
                try await expectEqual(store.purge(unfinished), dry)
                gate.open()
                try await expectEqual(jobs[0].result, 0)
                await #expect(throws: JobError.noSuchJob(jobs[1].id)) { try await jobs[1].result }
            }
            #expect(ran.items.filter { $0 < 100 } == [0])
        }
    }

    @Test("a job that was requeued after it was found is not deleted, and runs")
    func requeued() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2, 3])
            try await makeRunner(store, [note]).run {}
            try await store.requeue(jobs[1].id)
            let tables = store.open.tables
            let ids = jobs.map { $0.id.rawValue }
            let step = try await store.open.perform { (transaction, state) throws(StorageError) in
                try Purging.delete(ids, tables, &transaction, &state)
            }
            #expect(step.deleted == 2 && step.passed == 3)
            expectEqual(try jobs[1].state, .ready)
            expectSound(store)
            try await makeRunner(store, [note]).run {}
            try await expectEqual(jobs[1].result, 2)
        }
    }

    @Test("dead letters that outlived their block are purged, and the log is pruned as before")
    func kept() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let poison = JobClosure("poison") { (_: Int, _) -> Int in
                throw JobControl.deadLetter("never")
            }
            let dead = try await store.numbers("poison", [1, 2, 3])
            let others = try await store.numbers("note", Array(1...9))
            try await makeRunner(store, [poison, note]).run {}
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectEqual(try store.jobs().map { $0.id }, dead.map { $0.id })
            let more = try await store.numbers("note", Array(11...19))
            try await makeRunner(store, [note]).run {}
            try await expectEqual(store.purge(filter([.deadLetter])).deleted, 3)
            #expect(throws: StoreError.noSuchJob(dead[0].id)) { try dead[0].state }
            // In the midst of the log.
            var some = JobFilter()
            some.after = more[2].id
            try await expectEqual(store.purge(some).deleted, 6)
            expectSound(store)
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectSound(store)
            expectEqual(try store.jobs().count, 0)
            #expect(throws: StoreError.noSuchJob(others[0].id)) { try others[0].state }
        }
    }

    @Test("20,000 ready jobs are purged in bounded transactions, and what comes behind them runs")
    func many() async throws {
        try await withStore { store in
            let count = 20_000
            try await store.enqueue(contentsOf: (1...count).map { Numbered(number: $0) })
            let behind = try await store.numbers("note", [7])[0]
            var bulk = JobFilter()
            bulk.name = Numbered.jobName
            try await expectEqual(store.purge(bulk).deleted, count)
            expectSound(store)
            try await makeRunner(store, [note], jobs: [Numbered.self], workers: 2).run {
                try await expectEqual(behind.result, 7)
            }
            #expect(ran.items == [7])
            #expect(try store.counts().cancelled == count)
        }
    }

    @Test("of jobs with large payloads only some are deleted in a transaction")
    func large() async throws {
        try await withStore { store in
            let payload = [UInt8](repeating: 1, count: 1 << 20)
            for _ in 1...12 { try await store.enqueue(Cargo.self, payload: payload) }
            try await makeRunner(store, jobs: [Cargo.self]).run {}
            let tables = store.open.tables
            let (step, hasRoom) = try await store.open.perform {
                (transaction, state) throws(StorageError) in
                let step = try Purging.delete(Array(1...12), tables, &transaction, &state)
                return (step, state.hasRoom)
            }
            #expect(step.passed == 8 && step.deleted == 8)
            // Who waits for room in the file is told.
            #expect(hasRoom)
            expectSound(store)
            try await expectEqual(store.purge(JobFilter()).deleted, 4)
        }
    }

    @Test("beside a job that cannot be read nothing is deleted, and that is said behind the rest")
    func unreadable() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(contentsOf: (1...5).map { Numbered(number: $0) })
            let others = try await store.enqueue(contentsOf: (6...9).map { Numbered(number: $0) })
            try await makeRunner(store, jobs: [Numbered.self]).run {}
            let tables = store.open.tables
            @Sendable func flip() async throws {
                try await store.open.perform { (transaction, _) throws(StorageError) in
                    var bytes = Array(try transaction.value(tables.jobs, Key(1))!)
                    // The last byte of the last job.
                    bytes[bytes.count - 1] ^= 1
                    try withBytes(bytes) { (bytes) throws(StorageError) in
                        try transaction.put(tables.jobs, Key(1), bytes)
                    }
                }
            }
            try await flip()
            var some = JobFilter()
            // Which job it is that cannot be read is not known.
            some.name = Numbered.jobName
            await #expect(throws: StoreError.self) { try await store.purge(some) }
            try await flip()
            expectSound(store)
            for job in jobs { expectEqual(try job.state.isEnded, true) }
            for job in others { #expect(throws: StoreError.self) { try job.state } }
        }
    }
}

@Suite("Pruning against others", .timeLimit(.minutes(10))) struct PruningRaceTests {
    private let begun = Gate()
    private let gate = Gate()

    @Test(
        "jobs that are claimed when the log is pruned run, in their range and in rows of their own")
    func claimed() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let policy = RetryPolicy(maxAttempts: 2, backoff: .constant(.seconds(10)))
            let hasFailed = SharedFlag()
            let job = JobClosure("job", retryPolicy: policy) {
                [begun, gate] (number: Int, _) -> Int in
                if number == 0 {
                    begun.open()
                    gate.block()
                }
                if number == 2, !hasFailed.isSet {
                    hasFailed.set()
                    throw Refusal()
                }
                return number
            }
            // One that has a row of its own, since it has failed.
            let failed = try await store.numbers("job", [2])[0]
            let runner = try makeRunner(store, [job], workers: 1)
            try await runner.run {
                try await store.untilWaiting(failed.id, attempts: 1)
                let jobs = try await store.numbers("job", [0, 1])
                await begun.wait()
                clock.advance(.seconds(86_400))
                // Claimed or to be claimed: the log goes up to the job that runs, and the failed one is kept apart.
                try await store.prune(olderThan: .seconds(60))
                expectSound(store)
                expectEqual(try store.jobs().count, 3)
                gate.open()
                for (number, job) in (jobs + [failed]).enumerated() {
                    try await expectEqual(job.result, number)
                }
            }
            // The other order: pruned first, claimed then.
            try await store.requeue(failed.id)
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            try await makeRunner(store, [job]).run {}
            guard case .ended = try failed.state else {
                Issue.record("it has not run")
                return
            }
        }
    }

    @Test("of a requeue and a prune the first decides: the job runs once more, or there is none")
    func requeue() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let job = JobClosure("job", retryPolicy: .never) { (number: Int, _) in number }
            let jobs = try await store.numbers("job", [1, 2])
            try await makeRunner(store, [job]).run {}
            let ended = try #require(try store.outcome(of: jobs[0].id))
            clock.advance(.seconds(86_400))
            try await expectEqual(store.requeue(jobs[1].id), .requeued)
            try await store.prune(olderThan: .seconds(60))
            expectEqual(try jobs[1].state, .ready)
            #expect(throws: StoreError.noSuchJob(jobs[0].id)) { try jobs[0].state }
            await #expect(throws: StoreError.noSuchJob(jobs[0].id)) {
                try await store.requeue(jobs[0].id)
            }
            // Found before it was pruned.
            let tables = store.open.tables
            let listed = Petiole.Requeue.Listed(
                id: jobs[0].id.rawValue, startedAt: ended.startedAt.microseconds)
            let step = try await store.open.perform { (transaction, state) throws(StorageError) in
                try Petiole.Requeue.requeue([listed], tables, &transaction, &state)
            }
            #expect(step.count == 0 && step.passed == 1)
            expectSound(store)
            try await makeRunner(store, [job]).run {}
            try await expectEqual(jobs[1].result, 2)
        }
    }
}
