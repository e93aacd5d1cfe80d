import PetioleStorage
import Testing

@testable import Petiole

@Suite("Jobs after others", .timeLimit(.minutes(10))) struct PredecessorTests {
    private let ran = Trace<Int>()

    /// Notes its number; a negative one fails.
    private func note(_ queue: String = "default", _ name: String = "note") -> JobClosure {
        JobClosure(name, queue: queue, retryPolicy: .never) { [ran] (number: Int, _) -> Int in
            ran.add(number)
            if number < 0 { throw Refusal() }
            return number
        }
    }

    private func after(_ jobs: JobID..., queue: String? = nil) -> EnqueueOptions {
        EnqueueOptions(queue: queue, after: jobs.map { .success(of: $0) })
    }

    @Test("a job runs when all that it comes after have succeeded, in whatever queue they are")
    func acrossQueues() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1])[0]
            let second = try await store.numbers(
                "aside", [2], options: EnqueueOptions(queue: "other"))[0]
            let third = try await store.numbers(
                "note", [3], options: after(first.id, second.id))[0]
            expectEqual(try third.state, .held(after: [first.id, second.id]))
            expectEqual(try store.counts().parked, 1)
            expectSound(store)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [1])
            expectEqual(try third.state, .held(after: [second.id]))
            // The two queues have two runners: the commit of one wakes the other.
            try await makeRunner(store, [note()]).run {
                try await makeRunner(store, [note("other", "aside")]).run {}
                try await expectEqual(third.result, 3)
            }
            expectEqual(ran.items, [1, 2, 3])
            expectEqual(try store.counts().parked, 0)
        }
    }

    @Test(
        "a job whose predecessor does not succeed is cancelled, those behind it too, and says why")
    func failure() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [-1])[0]
            let second = try await store.numbers("note", [2], options: after(first.id))[0]
            let third = try await store.numbers("note", [3], options: after(second.id))[0]
            var options = EnqueueOptions()
            options.after = [.end(of: third.id)]
            let always = try await store.numbers("note", [4], options: options)[0]
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [-1, 4])
            let outcome = try store.outcome(of: second.id)
            expectEqual(outcome?.kind, .cancelled)
            expectEqual(outcome?.attempt, 0)
            expectEqual(
                outcome?.failure?.message,
                "job \(first.id), which it was to come after, failed")
            expectEqual(
                try store.outcome(of: third.id)?.failure?.message,
                "job \(second.id), which it was to come after, was cancelled")
            expectEqual(try store.outcome(of: always.id)?.kind, .succeeded)
            expectEqual(try store.failureKinds().map(\.count), [1])
        }
    }

    @Test("what has ended counts at once: as awaited it runs, otherwise it is cancelled")
    func ended() async throws {
        try await withStore { store in
            let good = try await store.numbers("note", [1])[0]
            let bad = try await store.numbers("note", [-2])[0]
            try await makeRunner(store, [note()]).run {}
            let ready = try await store.numbers("note", [3], options: after(good.id))[0]
            expectEqual(try ready.state, .ready)
            let vain = try await store.numbers("note", [4], options: after(good.id, bad.id))[0]
            expectEqual(try store.outcome(of: vain.id)?.kind, .cancelled)
            expectEqual(
                try store.outcome(of: vain.id)?.failure?.message,
                "job \(bad.id), which it was to come after, failed")
            // A key that it held is free again.
            var unique = after(bad.id)
            unique.unique = Uniqueness(key: "one")
            let held = try await store.numbers("note", [5], options: unique)[0]
            unique.after = []
            let next = try await store.numbers("note", [6], options: unique)[0]
            #expect(held.id != next.id)
            expectSound(store)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [1, -2, 3, 6])
            // Somebody wants it all the same.
            try await store.requeue(vain.id)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items.last, 4)
        }
    }

    @Test(
        "what follows a success is let go also when that job is deleted in the same commit",
        arguments: [false, true])
    func deletedAtOnce(isPurge: Bool) async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1])[0]
            let second = try await store.numbers("note", [2], options: after(first.id))[0]
            let tables = store.open.tables
            let id = first.id.rawValue
            try await store.open.perform { (transaction, state) throws(StorageError) in
                let active = ActiveRecord(state: .ready, queue: 1, priority: 4)
                try OutcomeRecording.record(
                    id, .succeeded, nil, active, tables, &transaction, &state)
                if isPurge {
                    _ = try Purging.delete([id], tables, &transaction, &state)
                } else {
                    _ = try Pruning.prune(before: .max, &transaction, &state)
                }
            }
            #expect(throws: StoreError.noSuchJob(first.id)) { try store.state(of: first.id) }
            expectEqual(try second.state, .ready)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [2])
        }
    }

    @Test("of two conditions for one job the one that asks for more holds")
    func both() async throws {
        try await withStore { store in
            let bad = try await store.numbers("note", [-1])[0]
            var options = EnqueueOptions()
            options.after = [.success(of: bad.id), .end(of: bad.id)]
            let second = try await store.numbers("note", [2], options: options)[0]
            expectEqual(try store.predecessors(of: second.id), [.success(of: bad.id)])
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [-1])
            expectEqual(try store.outcome(of: second.id)?.kind, .cancelled)
        }
    }

    @Test("who follows a job anew, behind its requeue, is not let go by the end before")
    func newFollower() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [-1])[0]
            let count = HeldJobs.limit + 1
            var options = EnqueueOptions()
            options.after = [.end(of: first.id)]
            let jobs = try await store.enqueue(
                contentsOf: (1...count).map { Doubling(number: $0) }, options: options)
            let last = JobID(rawValue: jobs.idRanges.last!.upperBound)
            let tables = store.open.tables
            let id = first.id.rawValue
            // All in the commit that cannot let all go.
            try await store.open.perform { (transaction, state) throws(StorageError) in
                let active = ActiveRecord(state: .ready, queue: 1, priority: 4)
                try OutcomeRecording.record(
                    id, .failed, FailureRecord(type: "Refusal", message: ""), active, tables,
                    &transaction, &state)
                try HeldJobs.follow(tables, &transaction, &state)
                _ = try Requeue.requeue(
                    [Requeue.Listed(id: id)], tables, &transaction, &state)
                // Who comes behind that.
                try transaction.put(
                    tables.parked, HeldJobs.follower(id, last.rawValue + 1), count: 1
                ) { $0.storeBytes(of: 2, as: UInt8.self) }
            }
            JobStore.finishFollowers()
            expectEqual(try store.counts().parked, 0)
            let isThere = try store.open.read { (reader) throws(StorageError) in
                try reader.value(tables.parked, HeldJobs.follower(id, last.rawValue + 1)) != nil
            }
            #expect(isThere)
            try await store.open.perform { (transaction, _) throws(StorageError) in
                _ = try transaction.delete(
                    tables.parked, HeldJobs.follower(id, last.rawValue + 1))
            }
        }
    }

    @Test("a predecessor that there is not refuses the enqueue, and nothing is accepted")
    func unknown() async throws {
        try await withStore { store in
            await #expect(throws: EnqueueError.self) {
                try await store.numbers("note", [1], options: after(JobID(rawValue: 99)))
            }
            do throws(EnqueueError) {
                _ = try await store.enqueue(
                    name: "note", payload: 1, options: after(JobID(rawValue: 99)))
                Issue.record("it was accepted")
            } catch {
                if case .refused(_, _, .noSuchJob(let id)) = error {
                    expectEqual(id, JobID(rawValue: 99))
                } else {
                    Issue.record(error)
                }
            }
            expectEqual(try store.counts().accepted, 0)
        }
    }

    @Test("a retry is no end, and a requeue of what has counted changes nothing")
    func retriesAndRequeues() async throws {
        try await withStore { store in
            let twice = JobClosure(
                "twice",
                retryPolicy: RetryPolicy(
                    maxAttempts: 2, backoff: .exponential(.milliseconds(1)),
                    maxDelay: .milliseconds(1))
            ) { [ran] (number: Int, context) -> Int in
                ran.add(number * 10 + context.attempt)
                if context.attempt == 1 { throw Refusal() }
                return number
            }
            let first = try await store.numbers("twice", [1])[0]
            let slow = try await store.numbers(
                "aside", [7], options: EnqueueOptions(queue: "other"))[0]
            let second = try await store.numbers(
                "note", [2], options: after(first.id, slow.id))[0]
            try await makeRunner(store, [note(), twice]).run {}
            expectEqual(ran.items, [11, 12])
            expectEqual(try second.state, .held(after: [slow.id]))
            try await store.requeue(first.id)
            expectEqual(try second.state, .held(after: [slow.id]))
            try await makeRunner(store, [note("other", "aside")]).run {}
            expectEqual(try second.state, .ready)
        }
    }

    @Test("one that is held is cancelled, expires, is purged and edited like one that waits")
    func otherEnds() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let first = try await store.numbers("note", [1])[0]
            var options = after(first.id)
            let cancelled = try await store.numbers("note", [2], options: options)[0]
            try await expectEqual(store.cancel(cancelled.id), .cancelled)
            options.expiry = .after(.seconds(60))
            let expiring = try await store.numbers("note", [3], options: options)[0]
            options.expiry = nil
            let purged = try await store.numbers("note", [4], options: options)[0]
            var filter = JobFilter()
            filter.states = [.held]
            filter.after = expiring.id
            try await expectEqual(store.purge(filter).deleted, 1)
            #expect(throws: StoreError.noSuchJob(purged.id)) { try store.state(of: purged.id) }
            let moved = try await store.numbers("note", [5], options: options)[0]
            try await expectEqual(store.edit(moved.id, priority: 0), .edited)
            let late = try await store.numbers("note", [6], options: options)[0]
            try await expectEqual(
                store.edit(late.id, due: .after(.seconds(3_600))), .edited)
            expectSound(store)
            clock.advance(.seconds(120))
            try await makeRunner(store, [note()]).run {
                _ = try await first.result
                _ = try await store.waitForEnd(of: expiring.id)
                try await expectEqual(moved.result, 5)
                _ = try await store.cancel(late.id)
            }
            expectEqual(try store.outcome(of: expiring.id)?.kind, .expired)
            expectEqual(ran.items, [1, 5])
        }
    }

    @Test("12,000 jobs after one are let go in several transactions, and all of them run")
    func many() async throws {
        try await withStore { store in
            let count = 12_000
            let first = try await store.numbers("note", [0])[0]
            let options = after(first.id)
            let jobs = try await store.enqueue(
                contentsOf: (1...count).map { Doubling(number: $0) }, options: options)
            expectEqual(try store.counts().parked, count)
            let runner = try makeRunner(store, [note()], jobs: [Doubling.self], workers: 2)
            try await runner.run {
                // A drain alone does not wait for what is parked.
                for range in jobs.idRanges {
                    for id in range { _ = try await store.waitForEnd(of: JobID(rawValue: id)) }
                }
            }
            expectEqual(try store.counts().succeeded, count + 1)
            expectEqual(try store.counts().parked, 0)
        }
    }

    @Test("within a job, for a workflow and for a schedule it is refused")
    func refused() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1])[0]
            let options = after(first.id)
            let spawning = JobClosure("spawn", retryPolicy: .never) { (_: Int, context) -> Int in
                try context.enqueue(name: "note", payload: 2, options: options)
                return 0
            }
            let job = try await store.numbers("spawn", [0])[0]
            try await makeRunner(store, [note(), spawning]).run {}
            let outcome = try store.outcome(of: job.id)
            #expect(outcome?.failure?.message.contains("workflow") == true)
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(
                    Workflow(Doubling(number: 1)), name: "flow", options: options)
            }
            var many = EnqueueOptions()
            many.after = (1...1_001).map { .end(of: JobID(rawValue: $0)) }
            await #expect(throws: EnqueueError.self) {
                try await store.numbers("note", [1], options: many)
            }
        }
    }

    private struct Doubling: Job {
        var number: Int
        func run(_ context: JobContext) throws -> Int { number * 2 }
    }
}

@Suite("Held jobs", .timeLimit(.minutes(10))) struct HoldTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    private func note() -> JobClosure {
        JobClosure("note") { [ran, begun, gate] (number: Int, _) -> Int in
            ran.add(number)
            if number == 0 {
                begun.open()
                gate.block()
            }
            return number
        }
    }

    @Test("a job that is claimed and held does not start, one that runs is left alone")
    func claimed() async throws {
        try await withStore { store in
            try await makeRunner(store, [note()]).run {
                let jobs = try await store.numbers("note", [0, 1, 2])
                await begun.wait()
                try await expectEqual(store.hold(jobs[0].id), .started)
                try await expectEqual(store.hold(jobs[1].id), .held)
                try await expectEqual(store.hold(jobs[1].id), .held)
                expectEqual(try jobs[1].state, .held(after: []))
                gate.open()
                try await expectEqual(jobs[2].result, 2)
                try await expectEqual(store.hold(jobs[2].id), .ended)
                try await expectEqual(store.release(jobs[2].id), .notHeld)
                expectEqual(ran.items, [0, 2])
                try await expectEqual(store.release(jobs[1].id), .released)
                try await expectEqual(jobs[1].result, 1)
            }
            await #expect(throws: StoreError.noSuchJob(JobID(rawValue: 99))) {
                try await store.hold(JobID(rawValue: 99))
            }
        }
    }

    @Test("a hold lasts over owners, and one that waits for others too goes on when both are over")
    func both() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1])[0]
            var options = EnqueueOptions()
            options.after = [.success(of: first.id)]
            let second = try await store.numbers("note", [2], options: options)[0]
            try await expectEqual(store.hold(second.id), .held)
            for _ in 0..<2 { try await makeRunner(store, [note()]).run {} }
            expectEqual(ran.items, [1])
            expectEqual(try second.state, .held(after: []))
            expectSound(store)
            try await expectEqual(store.release(second.id), .released)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [1, 2])

            let third = try await store.numbers("note", [3])[0]
            options.after = [.success(of: third.id)]
            let fourth = try await store.numbers("note", [4], options: options)[0]
            try await store.hold(fourth.id)
            try await expectEqual(store.release(fourth.id), .awaiting)
            try await makeRunner(store, [note()]).run {}
            expectEqual(ran.items, [1, 2, 3, 4])
        }
    }

    @Test("one that is delayed keeps its due time while it is held")
    func delayed() async throws {
        try await withStore { store in
            let job = try await store.numbers(
                "note", [1], options: EnqueueOptions(due: .after(.seconds(3_600))))[0]
            let before = try job.state
            try await expectEqual(store.hold(job.id), .held)
            expectSound(store)
            try await store.release(job.id)
            expectEqual(try job.state, before)
        }
    }
}
