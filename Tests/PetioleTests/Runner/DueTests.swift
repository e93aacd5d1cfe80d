import PetioleStorage
import Testing

@testable import Petiole

@Suite("Due time and expiry") struct DueTests {
    private static let echo = JobClosure("echo") { (number: Int, _) in number }

    private func after(_ duration: Duration) -> EnqueueOptions {
        EnqueueOptions(due: .after(duration))
    }

    @Test("a delayed job waits until it is due, and joins the end of its lane then")
    func delayed() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let order = Trace<Int>()
            let note = JobClosure("note") { (number: Int, _) -> Int in
                order.add(number)
                return number
            }
            let late = try await store.numbers("note", [1], options: after(.seconds(60)))[0]
            let later = try await store.numbers("note", [2], options: after(.seconds(61)))[0]
            let now = try await store.numbers("note", [3])[0]
            expectEqual(
                try late.state,
                .waiting(
                    due: WallTime(microseconds: clock.storeClock.now + 60_000_000), attempts: 0))
            expectEqual(try store.counts().waiting, 2)
            let runner = try makeRunner(store, [note])
            try await runner.run {
                try await expectEqual(now.result, 3)
                clock.advance(.seconds(60) - .microseconds(1), store)
                try await expectEqual(store.numbers("note", [4])[0].result, 4)
                expectEqual(order.items, [3, 4])
                clock.advance(.microseconds(1), store)
                try await expectEqual(late.result, 1)
                clock.advance(.seconds(1), store)
                try await expectEqual(later.result, 2)
            }
            #expect(order.items == [3, 4, 1, 2])
        }
    }

    @Test("a due time that has passed is none")
    func passed() async throws {
        try await withStore { store in
            let options = EnqueueOptions(due: .at(WallTime(microseconds: 1)))
            let job = try await store.numbers("echo", [1], options: options)[0]
            #expect(try job.state == .ready)
        }
    }

    @Test(
        "many delayed jobs accepted at once wait as well, more than a transaction holds too",
        arguments: [100, 60_000])
    func many(count: Int) async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            struct Long: Job {
                var number: Int
                var filler = [UInt8](repeating: 1, count: 200)
                func run(_ context: JobContext) -> Int { number }
            }
            let jobs = try await store.enqueue(
                contentsOf: (0..<count).lazy.map { Long(number: $0) },
                options: after(.seconds(60)))
            for index in [0, count - 1] {
                guard case .waiting(_, 0) = try jobs[index].state else {
                    Issue.record("job \(index) does not wait")
                    continue
                }
            }
            let runner = try makeRunner(store, [Self.echo], jobs: [Long.self], workers: 2)
            try await runner.run {
                // Whoever meets those that were published as a range lets them wait.
                try await expectEqual(store.numbers("echo", [1])[0].result, 1)
                expectEqual(try store.counts().succeeded, 1)
                clock.advance(.seconds(61), store)
            }
            #expect(try store.counts().succeeded == count + 1)
            #expect(try store.counts().waiting == 0)
        }
    }

    @Test("a job that has not started by its expiry ends as expired: waiting, ready, or met later")
    func expired() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let ran = Trace<Int>()
            let note = JobClosure("note") { (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            let gate = Gate()
            let begun = Gate()
            let hold = JobClosure("hold") { (number: Int, _) -> Int in
                begun.open()
                gate.block()
                return number
            }
            let soon = EnqueueOptions(expiry: .after(.seconds(10)))
            let running = try await store.numbers("hold", [0], options: soon)[0]
            let ready = try await store.numbers("note", [1], options: soon)[0]
            let delayed = try await store.numbers(
                "note", [2],
                options: EnqueueOptions(due: .after(.seconds(5)), expiry: .after(.seconds(10))))[0]
            let unlimited = try await store.numbers("note", [3])[0]
            let runner = try makeRunner(store, [note, hold], workers: 2) { $0.asyncLimit = 1 }
            // One thread is held by the job that runs; the other fires the timers.
            try await runner.run {
                await begun.wait()
                try await expectEqual(unlimited.result, 3)
                // Claimed before it, and so it has run.
                try await expectEqual(ready.result, 1)
                clock.advance(.seconds(11), store)
                await #expect(throws: JobError.expired(delayed.id)) { try await delayed.result }
                gate.open()
                // It had started.
                try await expectEqual(running.result, 0)
            }
            #expect(ran.items == [1, 3] || ran.items == [3, 1])
            #expect(try store.counts().expired == 1)

            // With nobody there to fire a timer, the next owner finds it out.
            let met = try await store.numbers("note", [4], options: soon)[0]
            clock.advance(.seconds(11))
            let next = try makeRunner(store, [note, hold])
            try await next.run {
                _ = await #expect(throws: JobError.expired(met.id)) { try await met.result }
            }
            #expect(!ran.items.contains(4))
            let outcome = try #require(try store.outcome(of: met.id))
            #expect(outcome.kind == .expired && outcome.attempt == 0)
        }
    }

    @Test("a job that is claimed and has not started when its expiry passes never starts")
    func claimed() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let ran = Trace<Int>()
            let gate = Gate()
            let begun = Gate()
            let note = JobClosure("note") { (number: Int, _) -> Int in
                ran.add(number)
                if number == 100 {
                    begun.open()
                    gate.block()
                }
                return number
            }
            // Measured, so that they are handed out in one ticket.
            let runner = try makeRunner(store, [note])
            try await runner.run {
                for job in try await store.numbers("note", Array(0..<20)) {
                    _ = try await job.result
                }
                let options = EnqueueOptions(expiry: .after(.seconds(10)))
                let jobs = try await store.numbers("note", [100, 101, 102], options: options)
                await begun.wait()
                clock.advance(.seconds(11))
                // The one worker is busy: what it would do when it has found nothing.
                try await expectEqual(store.fireTimers(runner), 3)
                await #expect(throws: JobError.expired(jobs[1].id)) { try await jobs[1].result }
                await #expect(throws: JobError.expired(jobs[2].id)) { try await jobs[2].result }
                gate.open()
                try await expectEqual(jobs[0].result, 100)
            }
            #expect(!ran.items.contains(101) && !ran.items.contains(102))
        }
    }

    @Test("a job that fails after its expiry is not tried again, and keeps its attempt")
    func failsAfterwards() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let gate = Gate()
            let begun = Gate()
            let fail = JobClosure("fail") { (_: Int, _) -> Int in
                begun.open()
                gate.block()
                throw Refusal()
            }
            let job = try await store.numbers(
                "fail", [1], options: EnqueueOptions(expiry: .after(.seconds(10))))[0]
            let runner = try makeRunner(store, [fail, Self.echo], workers: 2)
            try await runner.run {
                await begun.wait()
                clock.advance(.seconds(11), store)
                // Behind it the timer has been fired: the same worker looks for timers when it finds nothing.
                while try store.open.read({ (reader) throws(StorageError) in
                    try Lookup.active(job.id.rawValue, reader, store.open.tables)?.isExpired
                        != true
                }) { try await turn() }
                gate.open()
                _ = await #expect(throws: JobError.expired(job.id)) { try await job.result }
            }
            #expect(try store.history(of: job.id).map { $0.attempt } == [1])
        }
    }

    @Test("what becomes due while there is always something to run does not wait for the end of it")
    func underLoad() async throws {
        try await withStore { store in
            let stop = SharedFlag()
            // Each enqueues the next: the lane never runs dry.
            let busy = JobClosure("busy") { (number: Int, context) -> Int in
                if !stop.isSet {
                    let _: JobHandle<NoResult> = try context.store.enqueueBlocking(
                        name: "busy", payload: number + 1)
                }
                return number
            }
            let runner = try makeRunner(store, [busy, Self.echo])
            try await runner.run {
                try await store.numbers("busy", Array(0..<64))
                let late = try await store.numbers("echo", [7], options: after(.milliseconds(50)))[
                    0]
                try await expectEqual(late.result, 7)
                stop.set()
            }
        }
    }

    @Test("a delayed job that was cut short while it was put off waits all the same")
    func cutShort() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let job = try await store.numbers("echo", [1], options: after(.seconds(60)))[0]
            // As takeover leaves one that a dead runner had in a slot just then: ready, alone, with an attempt.
            let tables = store.open.tables
            try await store.open.perform { (transaction, state) throws(StorageError) in
                var active = try Lookup.active(job.id.rawValue, transaction, tables)!
                try OutcomeRecording.removeRows(job.id.rawValue, active, tables, &transaction)
                active.state = .ready
                active.due = 0
                active.attempts = 1
                active.position = try state.makeReady(
                    &transaction, queue: active.queue, priority: active.priority,
                    first: job.id.rawValue, count: 1)
                try active.put(&transaction, tables.active, job.id.rawValue)
                try state.count(transaction, active.queue) { $0.waiting -= 1 }
            }
            let runner = try makeRunner(store, [Self.echo])
            try await runner.run {
                try await expectEqual(store.numbers("echo", [2])[0].result, 2)
                guard case .waiting = try job.state else {
                    Issue.record("it does not wait")
                    return
                }
                clock.advance(.seconds(61), store)
                try await expectEqual(job.result, 1)
            }
        }
    }

    @Test(
        "options out of bounds are refused where they are written, with what is allowed",
        arguments: [
            EnqueueOptions(priority: 10), EnqueueOptions(priority: -1),
            EnqueueOptions(maxAttempts: 0), EnqueueOptions(maxAttempts: 256),
            EnqueueOptions(due: .after(.seconds(-1))), EnqueueOptions(expiry: .after(.seconds(-1))),
            EnqueueOptions(due: .at(WallTime(microseconds: -5))),
            EnqueueOptions(due: .after(.seconds(2)), expiry: .after(.seconds(2))),
        ])
    func bounds(options: EnqueueOptions) async throws {
        try await withStore { store in
            let error = await #expect(throws: EnqueueError.self) {
                try await store.numbers("echo", [1], options: options)
            }
            #expect("\(error!)".contains("allowed") || "\(error!)".contains("never start"))
            expectEqual(try store.counts().accepted, 0)
        }
    }

    @Test("a delayed job is cancelled like any other, and its timers do nothing more")
    func cancelled() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let job = try await store.numbers(
                "echo", [1],
                options: EnqueueOptions(due: .after(.seconds(5)), expiry: .after(.seconds(9))))[0]
            try await expectEqual(store.cancel(job.id), .cancelled)
            clock.advance(.seconds(10))
            let runner = try makeRunner(store, [Self.echo])
            try await runner.run {
                try await expectEqual(store.numbers("echo", [2])[0].result, 2)
            }
            let counts = try store.counts()
            #expect(counts.cancelled == 1 && counts.expired == 0 && counts.waiting == 0)
        }
    }
}
