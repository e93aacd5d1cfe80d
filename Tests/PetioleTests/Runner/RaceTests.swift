import PetioleStorage
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One at a time, the last of many. The first ends when it is asked to stop.
private struct Renewal: Job {
    var number: Int
    var uniqueness: Uniqueness? { Uniqueness(key: "one", onConflict: .replace) }

    func run(_ context: JobContext) throws -> Int {
        if number == 1 {
            while !context.isCancelled { sched_yield() }
            try context.checkCancellation()
        }
        return number
    }
}

@Suite("Races", .timeLimit(.minutes(10))) struct RaceTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    private var note: JobClosure { gatedNote(ran, begun, gate) }

    /// An hour between its attempts.
    private static let patient = RetryPolicy(
        maxAttempts: 3, backoff: .constant(.seconds(3_600)), maxDelay: .seconds(3_600))

    // MARK: Retry and cancel

    @Test(
        "a job that fails, or snoozes, behind a cancel is cancelled, and has no other attempt",
        arguments: [false, true])
    func cancelThenRetry(snoozes: Bool) async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let job = JobClosure("job", retryPolicy: Self.patient) {
                [ran, begun, gate] (number: Int, _) -> Int in
                ran.add(number)
                begun.open()
                gate.block()
                // It does not heed the request.
                if snoozes { throw JobControl.snooze(for: .seconds(3_600)) }
                throw Refusal()
            }
            let handle = try await store.numbers("job", [7])[0]
            try await makeRunner(store, [job]).run {
                await begun.wait()
                try await expectEqual(store.cancel(handle.id), .stopping)
                gate.open()
                await #expect(throws: JobError.cancelled(handle.id)) { try await handle.result }
            }
            #expect(ran.items == [7])
            #expect(try store.counts().waiting == 0 && store.counts().cancelled == 1)
            // What a snooze does not count is not counted.
            let outcome = try #require(try store.outcome(of: handle.id))
            #expect(outcome.kind == .cancelled && outcome.attempt == (snoozes ? 0 : 1))
            #expect(try store.history(of: handle.id).map { $0.attempt } == (snoozes ? [] : [1]))
        }
    }

    @Test("a job that waits is cancelled at once, though a slot still names the attempt before")
    func retryThenCancel() async throws {
        try await withStore { store in
            let fail = JobClosure("fail", retryPolicy: Self.patient) { (_: Int, _) -> Int in
                throw Refusal()
            }
            let job = try await store.numbers("fail", [1])[0]
            let runner = try makeRunner(store, [fail])
            try await runner.run {
                try await store.untilWaiting(job.id, attempts: 1)
                // A worker leaves its slot after it has handed over what the attempt came to: the moment in between.
                let queue = try #require(runner.core.claims.ownedQueues.first)
                let lent = runner.core.places.takeSlots(upTo: 1)
                let slot = try #require(lent.first)
                slot.prepare(queue: queue.id, epoch: queue.epoch, attempt: 1, flags: 0)
                slot.publish(job.id.rawValue, startedAt: store.open.clock.now)
                try await expectEqual(store.cancel(job.id), .cancelled)
                expectEqual(try store.outcome(of: job.id)?.kind, .cancelled)
                slot.clear()
                runner.core.places.giveSlots(lent)
                // Should it wait all the same, the runner would wait with it.
                try await expectEqual(store.cancel(job.id), .alreadyEnded)
            }
            #expect(try store.counts().waiting == 0)
        }
    }

    // MARK: Cancel and requeue

    @Test("a worker's late word of a cancel does not end a job that was requeued since")
    func cancelThenRequeue() async throws {
        try await withStore { store in
            let job = try await store.numbers("note", [1])[0]
            try await expectEqual(store.cancel(job.id), .cancelled)
            try await store.pause(queue: "default")
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let queue = try #require(runner.core.claims.ownedQueues.first)
                try await expectEqual(store.requeue(job.id), .requeued)
                // A worker whose view is from between the request and the end has met the job, and its word comes now.
                let late = OutcomeSubmission(queue, OutcomeBlockBuilder())
                late.transitions = [Transition(id: job.id.rawValue, priority: 4, step: .cancel)]
                store.open.writer.submit(late)
                try await store.open.perform { (_, _) throws(StorageError) in }
                expectEqual(try job.state, .ready)
                try await store.resume(queue: "default")
                try await expectEqual(job.result, 1)
            }
            #expect(ran.items == [1])
        }
    }

    // MARK: Expiry and start

    @Test(
        "a job that has run when its expiry passes has not expired, though its outcome is not recorded yet"
    )
    func endThenExpiry() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            struct Number: Job {
                var number: Int
                func run(_ context: JobContext) throws -> Int { number }
            }
            let closure = JobClosure("Number") {
                [ran, begun, gate] (payload: [String: Int], _) -> Int in
                let number = payload["number"]!
                if number >= 100 { ran.add(number) }
                if number == 101 {
                    begun.open()
                    gate.block()
                }
                return number
            }
            let runner = try makeRunner(store, [closure])
            try await runner.run {
                // Measured as fast, so that both lie in one ticket and the first's outcome waits for the second's.
                let fast = try await store.enqueue(contentsOf: (0..<50).map { Number(number: $0) })
                _ = try await fast[49].result
                let jobs = try await store.enqueue(
                    contentsOf: [100, 101].map { Number(number: $0) },
                    options: EnqueueOptions(expiry: .after(.seconds(10))))
                await begun.wait()
                clock.advance(.seconds(11))
                // The one worker is busy: what it would do when it has found nothing.
                _ = try await store.fireTimers(runner)
                try await expectEqual(jobs[0].result, 100)
                gate.open()
                try await expectEqual(jobs[1].result, 101)
            }
            #expect(ran.items == [100, 101])
            #expect(try store.counts().expired == 0)
        }
    }

    // MARK: Replace and start

    @Test("a job that starts in the very commit that replaces it is asked to stop, and both end")
    func startsAsItIsReplaced() async throws {
        try await withStore { store in
            let slots = store.open.slots
            let runner = try makeRunner(store, [note], jobs: [Renewal.self])
            let first = try await runner.run {
                let hold = try await store.numbers("note", [0])[0]
                await begun.wait()
                let first = try await store.enqueue(Renewal(number: 1))
                let id = first.id.rawValue
                // The writer is held until both lie in its inbox, so that one commit takes them: the successor, and then what
                // lets the first one start.
                let (isHeld, goOn) = (Gate(), Gate())
                store.open.writer.submit(
                    OperationSubmission { (_, _) throws(StorageError) in
                        isHeld.open()
                        goOn.block()
                    } completion: { _ in
                    })
                await isHeld.wait()
                let second = try store.enqueue(Renewal(number: 2), durability: .buffered)
                store.open.writer.submit(
                    OperationSubmission { [gate] (_, _) throws(StorageError) in
                        // It was in no slot when the successor was decided about; control moves behind the commit.
                        gate.open()
                        while slots.slot(of: id) == nil { sched_yield() }
                    } completion: { _ in
                    })
                goOn.open()
                let accepted = try await second.accepted
                #expect(accepted.id != first.id)
                _ = try await hold.result
                await #expect(throws: JobError.cancelled(first.id)) { try await first.result }
                try await expectEqual(accepted.result, 2)
                return first.id
            }
            // It had begun: it ended by heeding the request.
            #expect(try store.outcome(of: first)?.attempt == 1)
        }
    }

    // MARK: Prune and claim

    @Test("a claimed job whose block is pruned before it starts runs from what was kept of it")
    func claimThenPrune() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let old = try await store.numbers("note", [2])[0]
            try await makeRunner(store, [note]).run {}
            // Both are there when the one worker claims: it runs the first, and the other lies claimed behind it.
            let first = try await store.numbers("note", [0])[0]
            try await expectEqual(store.requeue(old.id), .requeued)
            let runner = try makeRunner(store, [note])
            try await runner.run {
                await begun.wait()
                clock.advance(.seconds(86_400))
                try await store.prune(olderThan: .seconds(60))
                let tables = store.open.tables
                let kept = try store.open.read { (reader) throws(StorageError) in
                    try reader.count(tables.kept)
                }
                #expect(kept == 1)
                expectSound(store)
                gate.open()
                try await expectEqual(first.result, 0)
                try await expectEqual(old.result, 2)
            }
            #expect(ran.items == [2, 0, 2])
        }
    }
}
