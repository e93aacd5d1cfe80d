import PetioleStorage
import Synchronization
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Who changes a job against who runs it, and against others who change it: see `PendingChanges`.
@Suite("Marks of changes", .timeLimit(.minutes(10))) struct MarkTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    /// Waits at the gate in its first run, and then snoozes for a minute if its number is above 100.
    private var job: JobClosure {
        JobClosure("job") { [ran, begun, gate] (number: Int, _) -> Int in
            ran.add(number)
            let isFirst = ran.items.count == 1
            begun.open()
            gate.block()
            if number > 100, isFirst { throw JobControl.snooze(for: .seconds(60)) }
            return number
        }
    }

    private static let changes: [PendingChange] = [.edit(priority: 9, due: 0), .purge]

    @Test(
        "a job that ends behind its owner's answer is not changed as if it had not started",
        arguments: changes)
    func endsMeanwhile(change: PendingChange) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let meanwhile = Meanwhile()
        var options = StoreOptions()
        options.durability = .scratch
        let store = try JobStore(
            at: directory.store, options: options, clock: TestClock().storeClock,
            faults: meanwhile.faults)
        defer { store.close() }
        let handle = try await store.numbers("job", [7])[0]
        try await makeRunner(store, [job]).run {
            await begun.wait()
            let marked = try await store.mark(handle.id, change)
            let open = store.open
            let id = handle.id.rawValue
            let seat = try #require(
                (0..<RunningSlots.seatCount).first { !open.slots.occupied(seat: $0).isEmpty })
            let asked = open.signals.control.value &+ 1
            meanwhile.set { [gate] in
                guard open.slots.answer(seat: seat).isGiven(to: asked) else { return nil }
                // The transaction of who asked, behind the answer: the job ends, and nothing of it is in the log.
                gate.open()
                while open.slots.slot(of: id) != nil { sched_yield() }
                meanwhile.set(nil)
                return .mapFull
            }
            let results = try await open.settle([marked])
            #expect(results == [.started])
            try await expectEqual(handle.result, 7)
        }
        #expect(ran.items == [7])
        #expect(try store.counts().succeeded == 1 && store.counts().waiting == 0)
        expectSound(store)
    }

    @Test("a mark on a job that snoozes is carried out: nobody has to come back for it")
    func snoozes() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let handle = try await store.numbers("job", [101])[0]
            try await makeRunner(store, [job]).run {
                await begun.wait()
                let due = StoreTime(store.open.clock.reading, after: 600_000_000)
                let marked = try await store.mark(handle.id, .edit(priority: 9, due: due))
                gate.open()
                try await store.untilWaiting(handle.id, attempts: 0)
                try await expectEqual(store.open.settle([marked]), [.done])
                expectEqual(
                    try handle.state,
                    .waiting(
                        due: WallTime(microseconds: clock.storeClock.now + 600_000_000), attempts: 0
                    ))
                expectEqual(try store.details(of: handle.id).summary.priority, 9)
                expectEqual(try store.counts().waiting, 1)
                expectSound(store)
                clock.advance(.seconds(601), store)
                try await expectEqual(handle.result, 101)
            }
        }
    }

    @Test("a purge that meets a snooze ends the job there, and is told so")
    func purgedSnooze() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let handle = try await store.numbers("job", [101])[0]
            try await makeRunner(store, [job]).run {
                await begun.wait()
                let marked = try await store.mark(handle.id, .purge)
                gate.open()
                await #expect(throws: JobError.self) { try await handle.result }
                try await expectEqual(store.open.settle([marked]), [.ended])
            }
            #expect(try store.counts().cancelled == 1 && store.counts().waiting == 0)
        }
    }

    @Test("a mark on a job that is parked or paused by who had not seen it is carried out as well")
    func parked() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let jobs = try await store.numbers("job", [1, 2, 3])
            try await store.pause(jobType: "job")
            let open = store.open
            let name = try await open.perform { (transaction, state) throws(StorageError) in
                try state.number(ofName: "job", &transaction)
            }
            let queue = OwnedQueue(name: "default", id: 1, epoch: 0, path: store.path) { _ in }
            var marked: [MarkedJob] = []
            for job in jobs.dropLast() {
                marked.append(try await store.mark(job.id, .edit(priority: 2, due: 0)))
            }
            marked.append(try await store.mark(jobs[2].id, .purge))
            let deadline = StoreTime(open.clock.reading, after: 600_000_000)
            let submission = OutcomeSubmission(
                queue, OutcomeBlockBuilder(capacity: 1), isUrgent: true)
            submission.transitions = [
                Transition(id: 1, priority: 4, step: .park(name: name, deadline: deadline)),
                Transition(id: 2, priority: 4, step: .pause(name: name)),
                Transition(id: 3, priority: 4, step: .park(name: name, deadline: deadline)),
            ]
            open.writer.submit(submission)
            try await expectEqual(open.settle(marked), [.done, .done, .ended])
            expectEqual(try jobs[0].state, .ready)
            expectEqual(try store.details(of: jobs[1].id).summary.priority, 2)
            expectEqual(try store.counts().parked, 0)
            expectEqual(try store.counts().cancelled, 1)
        }
    }

    @Test("a worker who met a job that is purged since leaves nothing of it behind")
    func metWhenGone() async throws {
        try await withStore { store in
            let handle = try await store.numbers("job", [1])[0]
            let id = handle.id.rawValue
            try await expectEqual(store.purge(JobFilter()).deleted, 1)
            let tables = store.open.tables
            try await store.open.perform { (transaction, state) throws(StorageError) in
                try PendingChanges.met(
                    id, position: 0, priority: 4, queue: 1, tables, &transaction, &state)
            }
            #expect(throws: StoreError.noSuchJob(handle.id)) { try handle.state }
        }
    }

    @Test("of two edits at once of a job that is ready both are made")
    func twoEdits() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let handle = try await store.numbers("job", [1])[0]
            let first = try await store.begin(handle.id, priority: 9)
            let second = try await store.begin(handle.id, due: .after(.seconds(60)))
            try await expectEqual(store.open.settle([try #require(first)]), [.done])
            try await expectEqual(store.open.settle([try #require(second)]), [.done])
            expectEqual(try store.details(of: handle.id).summary.priority, 9)
            expectEqual(try store.counts().waiting, 1)
        }
    }

    @Test("of two edits at once of a job that runs neither says that it was made")
    func twoEditsOfRunning() async throws {
        try await withStore { store in
            let handle = try await store.numbers("job", [1])[0]
            try await makeRunner(store, [job]).run {
                await begun.wait()
                for (priorities, results) in [
                    ([9, 9], [ChangeResult.started, .started]), ([8, 9], [.started, .started]),
                ] {
                    var marked: [MarkedJob] = []
                    for priority in priorities {
                        marked.append(
                            try #require(try await store.begin(handle.id, priority: priority)))
                    }
                    for (job, result) in zip(marked, results) {
                        try await expectEqual(store.open.settle([job]), [result])
                    }
                }
                gate.open()
                try await expectEqual(handle.result, 1)
            }
            #expect(ran.items == [1])
        }
    }

    @Test("of an edit and a purge at once the purge stays, whoever came first")
    func editAndPurge() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("job", [1, 2])
            let edited = try #require(try await store.begin(jobs[0].id, priority: 9))
            var purged: [MarkedJob] = []
            for job in jobs { purged.append(try await store.mark(job.id, .purge)) }
            try await expectEqual(store.begin(jobs[1].id, priority: 9), nil)
            try await expectEqual(store.open.settle([edited]), [.ended])
            try await expectEqual(store.open.settle(purged), [.done, .done])
            #expect(try store.counts().cancelled == 2)
        }
    }
}

/// What happens in the transactions of a store, by a word of the test.
final class Meanwhile: Sendable {
    private let action = Mutex<(@Sendable () -> StorageError?)?>(nil)

    func set(_ action: (@Sendable () -> StorageError?)?) { self.action.withLock { $0 = action } }

    var faults: CommitFaults {
        CommitFaults {
            nil
        } beforeCommit: { [self] in
            action.withLock { $0 }?()
        } afterCommit: {
        }
    }
}

extension JobStore {
    /// The first half of a change: its mark.
    fileprivate func mark(_ id: JobID, _ change: PendingChange) async throws -> MarkedJob {
        let tables = open.tables
        let id = id.rawValue
        return try await open.perform { (transaction, state) throws(StorageError) in
            let block = try Lookup.block(id, transaction, tables)!
            let active =
                try Lookup.active(id, transaction, tables)
                ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            return try PendingChanges.mark(id, change, active, tables, &transaction, &state)
        }
    }

    /// The first half of an edit; nil when it was decided there.
    fileprivate func begin(
        _ id: JobID, due: JobTime? = nil, priority: Int? = nil
    ) async throws -> MarkedJob? {
        let edit = try JobEditing(due: due, priority: priority, now: open.clock.reading)
        let tables = open.tables
        return try await open.perform { (transaction, state) throws(StorageError) in
            switch try edit.begin(id.rawValue, tables, &transaction, &state) {
            case .marked(let job): job
            case .decided: nil
            }
        }
    }
}
