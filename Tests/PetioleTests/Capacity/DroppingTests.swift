import PetioleStorage
import Testing

@testable import Petiole

@Suite("Dropping", .timeLimit(.minutes(10))) struct DroppingTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    private var note: JobClosure { gatedNote(ran, begun, gate) }

    private func drop(_ jobs: Int) -> Capacity { Capacity(jobs: jobs, whenFull: .dropOldest) }

    private func kinds(_ store: JobStore, _ jobs: [JobHandle<Int>]) throws -> [Outcome.Kind?] {
        try jobs.map { try store.outcome(of: $0.id)?.kind }
    }

    @Test("the oldest of the lowest priority goes first, never for one of a lower priority")
    func order() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            func enqueue(_ number: Int, _ priority: Int) async throws -> JobHandle<Int> {
                try await store.numbers(
                    "note", [number], options: EnqueueOptions(priority: priority))[0]
            }
            let high = try await enqueue(1, 0)
            let low = [try await enqueue(2, 8), try await enqueue(3, 8)]
            let middle = try await enqueue(4, 4)
            try await store.setCapacity(drop(4), queue: "default")
            var new: [JobHandle<Int>] = []
            for number in 5...7 { new.append(try await enqueue(number, 4)) }
            #expect(try kinds(store, low) == [.dropped, .dropped])
            #expect(try kinds(store, [middle, high]) == [.dropped, nil])
            // Three of priority 4 and one of 0: there is nothing that one of 5 may take the room of.
            await store.expectNoRoom("default") { _ = try await enqueue(8, 5) }
            await #expect(throws: JobError.dropped(middle.id)) { try await middle.result }
            #expect(try store.counts().dropped == 3)
            var filter = JobFilter()
            filter.states = [.dropped]
            var listed: [JobID] = []
            try store.forEachJob(filter) {
                listed.append($0.id); return true
            }
            #expect(listed == (low + [middle]).map(\.id))
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [1, 5, 6, 7])
        }
    }

    @Test("what is enqueued in vain needs no room, and nothing is dropped for it")
    func vain() async throws {
        try await withStore { store in
            let gone = try await store.numbers("note", [1])[0]
            try await store.cancel(gone.id)
            let waiting = try await store.numbers("note", [2])[0]
            try await store.setCapacity(drop(1), queue: "default")
            var options = EnqueueOptions(after: [.success(of: gone.id)])
            let vain = try await store.numbers("note", [3], options: options)[0]
            options.unique = Uniqueness(key: "one")
            let other = try await store.numbers("note", [4], options: options)[0]
            #expect(try kinds(store, [waiting, vain, other]) == [nil, .cancelled, .cancelled])
            expectEqual(try store.counts().dropped, 0)
        }
    }

    @Test("what waits for its time and what is parked is dropped when nothing is ready")
    func waiting() async throws {
        try await withStore { store in
            func delayed(_ number: Int, _ delay: Int) async throws -> JobHandle<Int> {
                try await store.numbers(
                    "note", [number], options: EnqueueOptions(due: .after(.seconds(delay))))[0]
            }
            let parked = try await store.numbers("nobody", [1])[0]
            try await makeRunner(store, [note]).run {}
            #expect(try store.counts().parked == 1)
            let late = try await delayed(2, 9_000)
            let soon = try await delayed(3, 3_000)
            let ready = try await store.numbers("note", [4])[0]
            try await store.setCapacity(drop(4), queue: "default")
            var expected: [Outcome.Kind?] = [nil, nil, nil, nil]
            // Each new one takes the room of the next; those that are new are ready, and would be the first.
            for (index, kind) in [3, 2, 1, 0].enumerated() {
                let new = try await store.numbers(
                    "note", [10 + index], options: EnqueueOptions(priority: 4))[0]
                expected[kind] = .dropped
                #expect(try kinds(store, [parked, late, soon, ready]) == expected)
                // Out of the way for the next one to be found.
                try await store.cancel(new.id)
                if index < 3 { try await store.setCapacity(drop(3 - index), queue: "default") }
            }
            #expect(try store.counts().unfinished == 0)
        }
    }

    @Test("a claimed job that is dropped before it starts does not start; who awaits it is told")
    func claimed() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note])
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...120)) {
                    _ = try await job.result
                }
                let jobs = try await store.numbers("note", [0, 1, 2, 3])
                await begun.wait()
                try await store.setCapacity(drop(4), queue: "default")
                let new = try await store.numbers("note", [4])[0]
                // The steward records it, while the worker is busy.
                await #expect(throws: JobError.dropped(jobs[1].id)) { try await jobs[1].result }
                #expect(try store.counts().unfinished == 4)
                gate.open()
                try await expectEqual(new.result, 4)
                for job in [jobs[0], jobs[2], jobs[3]] { _ = try await job.result }
            }
            #expect(ran.items.filter { $0 < 10 } == [0, 2, 3, 4])
        }
    }

    @Test("a job that runs is not dropped: without another there is no room")
    func running() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let job = try await store.numbers("note", [0])[0]
                await begun.wait()
                try await store.setCapacity(drop(1), queue: "default")
                await store.expectNoRoom("default") { try await store.numbers("note", [1]) }
                gate.open()
                try await expectEqual(job.result, 0)
            }
            #expect(ran.items == [0])
        }
    }

    /// Marks a job as one that was in no slot when the transaction looked.
    private func mark(_ id: JobID, _ store: JobStore) async throws {
        let tables = store.open.tables
        let number = id.rawValue
        try await store.open.perform { (transaction, state) throws(StorageError) in
            let block = try Lookup.block(number, transaction, tables)!
            let active =
                try Lookup.active(number, transaction, tables)
                ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            try Dropping.mark(
                DropSearch.Found(
                    id: number, active: active, bytes: UInt64(block.contentSize(number))),
                &transaction, &state)
        }
    }

    @Test("a job that starts as it is marked goes on, and ends as it does")
    func startsMeanwhile() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let job = try await store.numbers("note", [0])[0]
                await begun.wait()
                try await mark(job.id, store)
                // What the steward does when it is woken; and once more.
                try await onThread("test-settle") { DropSettling.settle(runner.core) }
                #expect(try store.counts().dropped == 0)
                gate.open()
                try await expectEqual(job.result, 0)
            }
            #expect(try store.counts().succeeded == 1)
        }
    }

    @Test("a job that was marked while it ran and fails has no other attempt, and keeps this one")
    func failsMarked() async throws {
        try await withStore { store in
            let fail = JobClosure("fail") { [begun, gate] (_: Int, _) -> Int in
                begun.open()
                gate.block()
                throw Refusal()
            }
            try await makeRunner(store, [fail]).run {
                let job = try await store.numbers("fail", [0])[0]
                await begun.wait()
                try await mark(job.id, store)
                gate.open()
                await #expect(throws: JobError.dropped(job.id)) { try await job.result }
                #expect(try store.history(of: job.id).map { $0.attempt } == [1])
            }
        }
    }

    @Test("what a dead owner was to drop, the next one does not start")
    func nextOwner() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2, 3])
            try await store.setCapacity(drop(3), queue: "default")
            // An owner that does nothing: marks stay marks.
            let queue = try #require(try store.queueRows().first).record.id
            let byte = StoreFormat.queueLock(queue)
            #expect(try store.open.locks.tryLock(byte) == .taken)
            try await store.numbers("note", [4, 5])
            #expect(try kinds(store, jobs) == [nil, nil, nil])
            expectSound(store)
            #expect(try store.counts().dropped == 0 && store.counts().unfinished == 5)
            store.open.locks.unlock(byte)
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [3, 4, 5])
            #expect(try kinds(store, jobs) == [.dropped, .dropped, .succeeded])
        }
    }

    @Test("a cancel of a marked job, and its expiry, leave no mark behind")
    func cancelledMarked() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers(
                "note", [1, 2], options: EnqueueOptions(expiry: .after(.seconds(5))))
            for job in jobs { try await mark(job.id, store) }
            #expect(try await store.cancel(jobs[0].id) == .cancelled)
            clock.advance(.seconds(6))
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == [])
            #expect(try kinds(store, jobs)[0] == .cancelled)
            #expect(try store.counts().unfinished == 0)
        }
    }

    @Test("as many are dropped as it takes, in bounded transactions, also for what is staged")
    func many() async throws {
        try await withStore { store in
            func enqueue(_ count: Int, bytes: Int) async throws {
                let content = [UInt8](repeating: 1, count: bytes)
                try await store.enqueue(Cargo.self, count: count) { _, payload in
                    payload.append(contentsOf: content)
                }
            }
            try await enqueue(25_000, bytes: 4)
            try await store.setCapacity(drop(1_000), queue: "default")
            let before = store.open.environment.usage.lastCommit
            try await store.enqueue(Cargo.self, payload: [1])
            // 24,001 in parts of 10,000.
            #expect(store.open.environment.usage.lastCommit - before == 3)
            #expect(try store.counts().dropped == 24_001 && store.counts().unfinished == 1_000)
            try await enqueue(300, bytes: 64 << 10)
            #expect(try store.counts().dropped == 24_301)
            // Where nobody owns the queue, nothing of what was dropped is left in its lane.
            let tables = store.open.tables
            let rows = try store.open.read { (reader) throws(StorageError) in
                try reader.count(tables.lanes)
            }
            #expect(rows == 3)
            try await makeRunner(store, jobs: [Cargo.self]).run {}
            #expect(try store.counts().succeeded == 1_000)
        }
    }

    @Test(
        "of jobs that wait at a limit the oldest of each key are dropped in turn, before what lies in the lane",
        arguments: [true, false])
    func keys(isOwned: Bool) async throws {
        try await withStore { store in
            let held = JobClosure(
                "held", limits: JobLimits(concurrencyPerKey: 1)
            ) { [ran, begun, gate] (number: Int, _) -> Int in
                ran.add(number)
                if number == 0 {
                    begun.open()
                    gate.block()
                }
                return number
            }
            func enqueue(_ number: Int, _ key: String?) async throws -> JobHandle<Int> {
                try await store.numbers(
                    "held", [number], options: EnqueueOptions(limitKey: key))[0]
            }
            func waiting() throws -> Int {
                let tables = store.open.tables
                return try store.open.read { (reader) throws(StorageError) in
                    try reader.count(tables.parked)
                }
            }
            let runner = try makeRunner(store, [held])
            // One thread, which is held: what it claims next it moves to the keys that are full.
            let blocking = try await enqueue(0, "a")
            let first = Task { try await runner.run() }
            await begun.wait()
            var jobs: [JobHandle<Int>] = []
            for number in 1...6 {
                jobs.append(try await enqueue(number, number % 2 == 0 ? "b" : "a"))
            }
            if !isOwned {
                runner.stop()
                gate.open()
                try await first.value
            }
            // As claims move them: what waits of `a` and of `b`.
            let queue = try #require(try store.queueRows().first).record.id
            let tables = store.open.tables
            let ids = jobs.map { $0.id.rawValue }
            try await store.open.perform { (transaction, state) throws(StorageError) in
                let rows = try transaction.cursor(tables.lanes)
                var found: [LaneRow] = []
                var entry = try rows.first()
                while let next = entry {
                    found.append(try formatted { () throws(FormatError) in try LaneRow(next) })
                    entry = try rows.next()
                }
                for row in found where ids.contains(row.first) {
                    var row = row
                    try transaction.delete(tables.lanes, row.key)
                    row.gate = .key(Array(row.first % 2 == 0 ? "a".utf8 : "b".utf8), of: 1)
                    try row.put(&transaction, tables)
                }
            }
            #expect(try waiting() == 6)
            let last = try await enqueue(7, nil)
            try await store.setCapacity(drop(isOwned ? 8 : 7), queue: "default")
            var new: [JobHandle<Int>] = []
            for number in 8...10 { new.append(try await enqueue(number, nil)) }
            if isOwned {
                // The steward records what was marked.
                for index in [0, 1, 3] { _ = try await store.waitForEnd(of: jobs[index].id) }
            }
            let dropped = try jobs.map { try store.outcome(of: $0.id)?.kind == .dropped }
            // Of `b`, of `a`, and of `b` again: keys take turns in the order of their hashes.
            #expect(dropped == [true, true, false, true, false, false])
            expectSound(store)
            if isOwned {
                runner.stop()
                gate.open()
                try await first.value
            }
            _ = (blocking, queue, last, new)
            try await makeRunner(store, [held]).run {}
            #expect(Set(ran.items) == [0, 3, 5, 6, 7, 8, 9, 10])
        }
    }

    @Test("bytes are dropped for bytes")
    func bytes() async throws {
        try await withStore { store in
            func enqueue(_ bytes: Int) async throws -> JobHandle<[UInt8]> {
                try await store.enqueue(
                    Cargo.self, payload: [UInt8](repeating: 1, count: bytes))
            }
            let small = [try await enqueue(10), try await enqueue(10), try await enqueue(80)]
            try await store.setCapacity(
                Capacity(bytes: 100, whenFull: .dropOldest), queue: "default")
            let new = try await enqueue(15)
            #expect(
                try small.map { try store.outcome(of: $0.id)?.kind } == [.dropped, .dropped, nil])
            _ = try await enqueue(100)
            #expect(try store.counts().unfinished == 1)
            #expect(try store.outcome(of: new.id)?.kind == .dropped)
        }
    }

    @Test("each job that is enqueued into a queue that drops has run or was dropped, one of both")
    func crowd() async throws {
        try await withStore { store in
            try await store.setCapacity(drop(20), queue: "default")
            let note = JobClosure("note") { [ran] (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            let accepted = Trace<(number: Int, id: JobID)>()
            let runner = try makeRunner(store, [note], workers: 2)
            try await runner.run {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<8 {
                        group.addTask {
                            for number in 0..<100 {
                                let number = task * 100 + number
                                // All that is there may be running, or on its way out.
                                guard
                                    let job = try? await store.numbers("note", [number])[0]
                                else { continue }
                                accepted.add((number, job.id))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            let counts = try store.counts()
            #expect(counts.unfinished == 0 && counts.accepted == accepted.items.count)
            let hasRun = Set(ran.items)
            #expect(hasRun.count == ran.items.count)
            for (number, id) in accepted.items {
                let kind = try store.outcome(of: id)?.kind
                #expect(kind == (hasRun.contains(number) ? .succeeded : .dropped))
            }
        }
    }
}
