import PetioleStorage
import Testing

@testable import Petiole

@Suite("Events", .timeLimit(.minutes(10))) struct FollowTests {
    private static let job = JobClosure(
        "job", retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.seconds(60)))
    ) {
        (number: Int, _) -> Int in
        if number < 0 { throw Refusal() }
        return number
    }

    /// Takes events until one is of a kind.
    private func take(
        _ iterator: inout AsyncStream<JobEvent>.Iterator, until last: JobEvent.Kind
    ) async -> [JobEvent] {
        var events: [JobEvent] = []
        while let event = await iterator.next() {
            events.append(event)
            if event.kind == last { break }
        }
        return events
    }

    private func words(_ events: [JobEvent]) -> [String] {
        events.flatMap { event in
            event.ids.map { "\(event.kind) \($0)" }
        }
    }

    @Test(
        "who comes back with a position that the store has not reached is told so, and goes on",
        arguments: [UInt64.max, 1_000])
    func beyond(position: UInt64) async throws {
        try await withStore { store in
            try await store.numbers("job", [0])
            var events = try await store.events(after: position).makeAsyncIterator()
            #expect(await events.next()?.kind == .missed)
            try await store.numbers("job", [1])
            let told = words(await take(&events, until: .accepted))
            #expect(told == ["accepted 2"])
        }
    }

    @Test("what happens to jobs is told in the order in which it is committed, whoever does it")
    func order() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            try await store.numbers("job", [0])
            var events = try await store.events().makeAsyncIterator()
            let jobs = try await store.numbers("job", [1, 2])
            try await store.edit(jobs[0].id, priority: 0)
            try await store.cancel(jobs[1].id)
            try await store.requeue(jobs[1].id)
            try await store.pause(jobType: "job")
            let runner = try makeRunner(store, [Self.job])
            try await runner.run {}
            try await store.resume(jobType: "job")
            let delayed = try await store.numbers(
                "job", [-3], options: EnqueueOptions(due: .after(.seconds(60))))[0]
            let next = try makeRunner(store, [Self.job])
            try await next.run {
                _ = try await jobs[1].result
                clock.advance(.seconds(61), store)
                try await store.untilWaiting(delayed.id, attempts: 1)
                clock.advance(.seconds(61), store)
            }
            try await store.numbers("nobody", [5])
            try await makeRunner(store, [Self.job]).run {}
            try await store.purge(JobFilter())
            let told = words(await take(&events, until: .deleted))
            let of4 = told.filter { $0.hasSuffix(" 4") }
            expectEqual(
                of4,
                [
                    "accepted 4", "ready 4", "retried 4", "ready 4",
                    "ended(Petiole.Outcome.Kind.deadLetter) 4",
                    "deleted 4",
                ])
            expectEqual(
                told.filter { $0.hasSuffix(" 3") },
                [
                    "accepted 3", "ended(Petiole.Outcome.Kind.cancelled) 3", "requeued 3",
                    "paused 3",
                    "ready 3", "ended(Petiole.Outcome.Kind.succeeded) 3", "deleted 3",
                ])
            expectEqual(
                told.filter { $0.hasSuffix(" 2") },
                [
                    "accepted 2", "edited 2", "paused 2", "ready 2",
                    "ended(Petiole.Outcome.Kind.succeeded) 2", "deleted 2",
                ])
            #expect(told.contains("parked 5"))
        }
    }

    @Test("many jobs of one commit are one event, and nothing is written when nobody follows")
    func many() async throws {
        struct Bulk: Job {
            var number: Int
            func run(_ context: JobContext) -> Int { number }
        }
        try await withStore { store in
            func rows() throws -> Int {
                try store.open.read { (reader) throws(StorageError) in
                    try reader.count(store.open.tables.events)
                }
            }
            try await store.numbers("job", [1])
            expectEqual(try rows(), 0)
            do {
                var events = try await store.events().makeAsyncIterator()
                let jobs = try await store.enqueue(
                    contentsOf: (0..<5_000).map { Bulk(number: $0) })
                let accepted = try #require(await events.next())
                #expect(accepted.kind == .accepted && accepted.ids == jobs.idRanges[0])
            }
            // The iterator is gone, and with it the last follower.
            while store.open.signals.followed != 0 { try await turn() }
            let before = try rows()
            try await makeRunner(store, [Self.job], jobs: [Bulk.self]).run {}
            expectEqual(try rows(), before)
        }
    }

    @Test(
        "who comes back is told that he has missed something, unless events were kept, or others followed"
    )
    func comesBack() async throws {
        try await withStore { store in
            func follow(after position: UInt64?) async throws -> AsyncStream<JobEvent>.Iterator {
                try await store.events(after: position).makeAsyncIterator()
            }
            var position: UInt64 = 0
            do {
                var events = try await follow(after: nil)
                try await store.numbers("job", [1])
                position = try #require(await events.next()).position
            }
            while store.open.signals.followed != 0 { try await turn() }
            try await store.numbers("job", [2])
            try await store.keepEvents(true)
            do {
                var events = try await follow(after: position)
                let missed = try #require(await events.next())
                #expect(missed.kind == .missed && missed.position > position)
                position = missed.position
            }
            try await store.numbers("job", [3])
            do {
                var events = try await follow(after: position)
                let accepted = try #require(await events.next())
                #expect(accepted.kind == .accepted && accepted.ids == 3...3)
                position = accepted.position
                var others = try await follow(after: 0)
                // From the oldest that is known; what was before is not.
                await expectEqual(others.next()?.kind, .missed)
                await expectEqual(others.next()?.ids, 1...1)
            }
            try await expectEqual(store.keepEvents(false), true)
            try await expectEqual(store.keepEvents(false), false)
            while store.open.signals.followed != 0 { try await turn() }
            try await store.purge(JobFilter())
        }
    }

    @Test("the log of events gives way to new ones at its limit, and who was too slow is told")
    func limit() async throws {
        try await withStore { store in
            let tables = store.open.tables
            let rows = 200
            try await store.open.perform { (transaction, state) throws(StorageError) in
                for row in 0..<rows {
                    var log = EventLog()
                    // 4,000 entries that do not follow each other: some 24 pages.
                    for id in 0..<4_000 { log.add(EventCode.accepted, UInt64(2 * id + row), 1) }
                    try log.append(at: 1, &transaction, tables)
                }
            }
            let (pages, count) = try store.open.read { (reader) throws(StorageError) in
                (try reader.pageCount(tables.events), try reader.count(tables.events))
            }
            #expect(pages <= EventLog.pageLimit + 32 && count < rows && count > 100)
            var events = try await store.events(after: 0).makeAsyncIterator()
            let first = try #require(await events.next())
            #expect(first.kind == .missed && first.position == UInt64(rows - count) + 1)
        }
    }

    @Test("a follower that dies leaves nobody to write for, as soon as somebody looks")
    func dead() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let child = try Child(["follow", directory.store])
        try await expectEqual(child.line(), "follows")
        try await store.numbers("job", [1])
        try await expectEqual(child.line(), "accepted 1")
        store.open.forgetDeadFollowers()
        #expect(store.open.signals.followed != 0)
        child.kill()
        try await child.end()
        #expect(store.open.signals.followed != 0)
        store.open.forgetDeadFollowers()
        #expect(store.open.signals.followed == 0)
    }

    @Test("when a follower has stopped, nobody writes for him any more")
    func leavesNoWord() async throws {
        try await withStore { store in
            for _ in 0..<100 {
                let events = try await store.events()
                let task = Task { for await _ in events {} }
                task.cancel()
                await task.value
                #expect(store.open.signals.followed == 0)
            }
        }
    }

    @Test("who is cancelled while he follows stops")
    func cancelled() async throws {
        try await withStore { store in
            let events = try await store.events()
            let task = Task {
                var count = 0
                for await _ in events { count += 1 }
                return count
            }
            try await store.numbers("job", [1])
            task.cancel()
            #expect(await task.value <= 1)
            try await store.cancel(JobID(rawValue: 1))
        }
    }
}
