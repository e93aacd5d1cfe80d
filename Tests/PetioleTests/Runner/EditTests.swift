import PetioleStorage
import Testing

@testable import Petiole

@Suite("Edit", .timeLimit(.minutes(10))) struct EditTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    private var note: JobClosure { gatedNote(ran, begun, gate) }

    private func due(_ seconds: Int) -> EnqueueOptions {
        EnqueueOptions(due: .after(.seconds(seconds)))
    }

    // MARK: Jobs that wait

    @Test("a delayed job runs at its new due time, be it earlier or later, and in its new lane")
    func waiting() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers("note", [1, 2, 3], options: due(60))
            let now = clock.storeClock.now
            try await expectEqual(store.edit(jobs[0].id, due: .after(.seconds(600))), .edited)
            try await expectEqual(store.edit(jobs[1].id, due: .after(.seconds(10))), .edited)
            try await expectEqual(store.edit(jobs[2].id, priority: 0), .edited)
            expectEqual(
                try jobs.map { try $0.state },
                [600, 10, 60].map {
                    .waiting(due: WallTime(microseconds: now + $0 * 1_000_000), attempts: 0)
                })
            expectEqual(try store.details(of: jobs[2].id).summary.priority, 0)
            expectEqual(try store.counts().waiting, 3)
            expectSound(store)
            let other = try await store.numbers("note", [4], options: due(60))[0]
            let runner = try makeRunner(store, [note])
            try await runner.run {
                clock.advance(.seconds(11), store)
                try await expectEqual(jobs[1].result, 2)
                clock.advance(.seconds(50), store)
                try await expectEqual(other.result, 4)
                clock.advance(.seconds(540), store)
                try await expectEqual(jobs[0].result, 1)
            }
            #expect(ran.items == [2, 3, 4, 1])
        }
    }

    @Test("a delayed job that is to run now does, though its enqueue said later")
    func now() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let job = try await store.numbers("note", [1], options: due(3_600))[0]
            try await expectEqual(store.edit(job.id, due: .after(.zero)), .edited)
            expectEqual(try job.state, .ready)
            expectEqual(try store.counts().waiting, 0)
            try await makeRunner(store, [note]).run { try await expectEqual(job.result, 1) }
        }
    }

    @Test("a job that waits for its next attempt keeps its attempts, and has that one when told")
    func retry() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let policy = RetryPolicy(
                maxAttempts: 3, backoff: .constant(.seconds(3_600)), maxDelay: .seconds(3_600))
            let fail = JobClosure("fail", retryPolicy: policy) { (number: Int, context) -> Int in
                if context.attempt < 2 { throw Refusal() }
                return context.attempt
            }
            let job = try await store.numbers("fail", [1])[0]
            try await makeRunner(store, [fail]).run {
                try await store.untilWaiting(job.id, attempts: 1)
                try await expectEqual(store.edit(job.id, due: .after(.zero)), .edited)
                try await expectEqual(job.result, 2)
            }
            expectEqual(try store.history(of: job.id).map { $0.attempt }, [1])
        }
    }

    @Test("a parked job takes its new priority along, and one that is to be due later waits")
    func parked() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers("note", [1, 2, 3])
            try await makeRunner(store).run {}
            try await makeRunner(store, [JobClosure("other") { (_: Int, _) in 0 }]).run {}
            expectEqual(try store.counts().parked, 3)
            try await expectEqual(store.edit(jobs[2].id, priority: 1), .edited)
            try await expectEqual(store.edit(jobs[0].id, due: .after(.seconds(60))), .edited)
            expectEqual(try jobs[2].state, .parked(name: "note"))
            expectEqual(try store.counts().parked, 2)
            expectEqual(try store.counts().waiting, 1)
            expectSound(store)
            try await makeRunner(store, [note]).run {
                try await expectEqual(jobs[1].result, 2)
                clock.advance(.seconds(61), store)
            }
            #expect(ran.items == [3, 2, 1])
        }
    }

    @Test("an edit and a timer meet in one order: what waited is ready, or waits anew")
    func timer() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers("note", [1, 2, 3], options: due(60))
            let tables = store.open.tables
            let queue = try #require(try store.queueRows().first).record.id
            func fire() async throws {
                _ = try await store.open.perform { (transaction, state) throws(StorageError) in
                    try Timers.fire(queue, tables, &transaction, &state)
                }
            }
            // The edit comes first: the timer finds nothing.
            try await store.edit(jobs[0].id, due: .after(.seconds(120)))
            clock.advance(.seconds(61))
            try await fire()
            guard case .waiting = try jobs[0].state else {
                Issue.record("it does not wait")
                return
            }
            // The timer came first: the job is ready, and is moved, or waits again.
            expectEqual(try jobs[1].state, .ready)
            try await expectEqual(store.edit(jobs[2].id, priority: 0), .edited)
            try await expectEqual(store.edit(jobs[1].id, due: .after(.seconds(60))), .edited)
            expectSound(store)
            try await makeRunner(store, [note]).run { clock.advance(.seconds(61), store) }
            #expect(ran.items.first == 3 && ran.items.sorted() == [1, 2, 3])
        }
    }

    @Test("an edit and a cancel meet in one order: what is cancelled stays so")
    func cancel() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let jobs = try await store.numbers("note", [1, 2, 3, 4])
            let waiting = try await store.numbers("note", [5, 6], options: due(60))
            for job in [jobs[0], waiting[0]] {
                try await expectEqual(store.cancel(job.id), .cancelled)
                try await expectEqual(store.edit(job.id, priority: 0), .ended)
            }
            for job in [jobs[1], waiting[1]] {
                try await expectEqual(store.edit(job.id, priority: 0), .edited)
                try await expectEqual(store.cancel(job.id), .cancelled)
            }
            // Marked for a cancel that has not come back yet; and a cancel that meets the mark of an edit.
            try await store.mark(jobs[2]) { $0.isCancelRequested = true }
            try await expectEqual(store.edit(jobs[2].id, priority: 0), .ended)
            try await expectEqual(store.begin(jobs[3].id, priority: 0), 1)
            try await expectEqual(store.cancel(jobs[3].id), .cancelled)
            expectSound(store)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [])
            #expect(try store.counts().cancelled == 6)
        }
    }

    // MARK: Jobs that are ready

    @Test("a ready job that is moved to another priority runs in the order of that")
    func ready() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2, 3, 4, 5])
            try await expectEqual(store.edit(jobs[2].id, priority: 0), .edited)
            try await expectEqual(store.edit(jobs[1].id, priority: 9), .edited)
            // Once more, from a row of its own.
            try await expectEqual(store.edit(jobs[2].id, priority: 9), .edited)
            try await expectEqual(store.edit(jobs[4].id, priority: 0), .edited)
            expectSound(store)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [5, 1, 4, 2, 3])
            #expect(try store.counts().succeeded == 5)
        }
    }

    @Test("a job that is claimed and has not started is moved, and does not start where it was")
    func claimed() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let runner = try makeRunner(store, [note], workers: 1)
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...120)) {
                    _ = try await job.result
                }
                let jobs = try await store.numbers("note", [0, 1, 2, 3])
                await begun.wait()
                try await expectEqual(store.edit(jobs[1].id, due: .after(.seconds(60))), .edited)
                try await expectEqual(store.edit(jobs[2].id, priority: 9), .edited)
                try await expectEqual(store.edit(jobs[0].id, priority: 9), .started)
                gate.open()
                try await expectEqual(jobs[2].result, 2)
                guard case .waiting(_, 0) = try jobs[1].state else {
                    Issue.record("it does not wait")
                    return
                }
                clock.advance(.seconds(61), store)
                try await expectEqual(jobs[1].result, 1)
            }
            #expect(ran.items.filter { $0 < 100 } == [0, 3, 2, 1])
        }
    }

    @Test("a job that has started is not edited, and goes on as it was after a failure")
    func started() async throws {
        try await withStore { store in
            let policy = RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
            let job = JobClosure("job", retryPolicy: policy) {
                [begun, gate] (number: Int, context) -> Int in
                begun.open()
                gate.block()
                if context.attempt == 1 { throw Refusal() }
                return number
            }
            let handle = try await store.numbers("job", [7])[0]
            try await makeRunner(store, [job]).run {
                await begun.wait()
                try await expectEqual(
                    store.edit(handle.id, due: .after(.seconds(3_600)), priority: 0), .started)
                gate.open()
                try await expectEqual(handle.result, 7)
            }
            try await expectEqual(store.edit(handle.id, priority: 0), .ended)
        }
    }

    @Test("the mark of one who died while he edited is carried out by whoever meets the job")
    func abandoned() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2, 3])
            try await expectEqual(store.begin(jobs[0].id, priority: 9), 1)
            expectEqual(try jobs[0].state, .ready)
            expectSound(store)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [2, 3, 1])
            #expect(try store.counts().succeeded == 3)
        }
    }

    @Test("a job that was met with a mark which is taken back since runs all the same, once")
    func takenBack() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2])
            let id = jobs[0].id.rawValue
            try await expectEqual(store.begin(jobs[0].id, priority: 9), 1)
            let tables = store.open.tables
            let results = try await store.open.perform {
                (transaction, state) throws(StorageError) -> [ChangeResult] in
                // As when its slot was seen at just that moment.
                let marked = MarkedJob(
                    id: id, queue: 1, attempts: 0, generation: 0,
                    change: .edit(priority: 9, due: 0))
                let result = try PendingChanges.settle(
                    marked, isCertain: false, running: [], tables, &transaction, &state)
                // Met elsewhere than it lies now: somebody else may have it.
                let before = try Lookup.active(id, transaction, tables)!
                try PendingChanges.met(
                    id, position: 1, priority: 4, queue: 1, tables, &transaction, &state)
                let moved = try Lookup.active(id, transaction, tables)!
                try PendingChanges.met(
                    id, position: 1, priority: 4, queue: 1, tables, &transaction, &state)
                let again = try Lookup.active(id, transaction, tables)!
                expectEqual(before.position, 0)
                expectEqual(before.pending, nil)
                expectEqual(moved.position > 0 && moved.priority == 4, true)
                expectEqual(again, moved)
                return [result]
            }
            guard case .unanswered = results[0] else {
                Issue.record("it was not taken back")
                return
            }
            expectSound(store)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [2, 1])
        }
    }

    @Test("edited again and again while jobs run, every job runs once")
    func manyTimes() async throws {
        try await withStore { store in
            let count = 2_000
            let runner = try makeRunner(store, [note], workers: 3)
            try await runner.run {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await store.numbers("note", Array(1...count)) }
                    for priority in [3, 5] {
                        group.addTask {
                            for _ in 0..<30 {
                                _ = try await store.edit(
                                    matching: JobFilter(), priority: priority)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            #expect(ran.items.sorted() == Array(1...count))
        }
    }

    // MARK: Many, and bounds

    @Test(
        "of many jobs those that a filter lets pass are edited, and those that would expire are not"
    )
    func many() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let tagged = EnqueueOptions(metadata: JobMetadata(tags: ["later"]))
            var expiring = tagged
            expiring.expiry = .after(.seconds(30))
            try await store.numbers("note", [1, 2, 3])
            let later = try await store.numbers("note", [4, 5], options: tagged)
            let soon = try await store.numbers("note", [6], options: expiring)[0]
            var filter = JobFilter()
            filter.tag = "later"
            let counts = try await store.edit(matching: filter, due: .after(.seconds(60)))
            #expect(counts.edited == 2 && counts.expiring == 1 && counts.started == 0)
            expectEqual(try store.counts().waiting, 2)
            try await expectEqual(store.edit(soon.id, due: .after(.seconds(30))), .expiresBefore)
            expectEqual(try soon.state, .ready)
            try await store.cancel(later[0].id)
            try await store.cancel(later[1].id)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [1, 2, 3, 6])
        }
    }

    @Test("an edit out of its bounds is refused with what is allowed, and of no job with its id")
    func bounds() async throws {
        try await withStore { store in
            let job = try await store.numbers("note", [1])[0]
            for edit: @Sendable () async throws -> EditResult in [
                { try await store.edit(job.id) },
                { try await store.edit(job.id, priority: 10) },
                { try await store.edit(job.id, due: .after(.seconds(-1))) },
                { try await store.edit(job.id, due: .at(WallTime(microseconds: 0))) },
            ] {
                let error = await #expect(throws: StoreError.self) { try await edit() }
                guard case .invalidOption? = error else {
                    Issue.record("\(error!) is another error")
                    continue
                }
            }
            let missing = JobID(rawValue: 99)
            await #expect(throws: StoreError.noSuchJob(missing)) {
                try await store.edit(missing, priority: 1)
            }
            try await store.cancel(job.id)
        }
    }
}

extension JobStore {
    /// The first half of an edit, as if who asks dies then. Returns how many jobs were marked.
    fileprivate func begin(_ id: JobID, priority: Int) async throws -> Int {
        let edit = try JobEditing(due: nil, priority: priority, now: open.clock.reading)
        let tables = open.tables
        return try await open.perform { (transaction, state) throws(StorageError) in
            switch try edit.begin(id.rawValue, tables, &transaction, &state) {
            case .marked: 1
            case .decided: 0
            }
        }
    }

    /// Changes the row of a ready job.
    fileprivate func mark(
        _ job: JobHandle<Int>, _ change: @escaping @Sendable (inout ActiveRecord) -> Void
    ) async throws {
        let tables = open.tables
        let id = job.id.rawValue
        try await open.perform { (transaction, _) throws(StorageError) in
            let block = try Lookup.block(id, transaction, tables)!
            var active = ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            change(&active)
            try active.put(&transaction, tables.active, id)
        }
    }
}
