import PetioleStorage
import Synchronization
import Testing

@testable import Petiole

@Suite("Unique keys") struct UniquenessTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    private var note: JobClosure { gatedNote(ran, begun, gate) }

    private func options(
        _ key: String = "k", _ hold: Uniqueness.Hold = .untilFinished,
        _ onConflict: Uniqueness.Conflict = .giveBack, delay: Duration? = nil
    ) -> EnqueueOptions {
        EnqueueOptions(
            due: delay.map { .after($0) },
            unique: Uniqueness(key: key, hold: hold, onConflict: onConflict))
    }

    @Test("while a job holds its key, another is given back the first, also one that came with it")
    func givenBack() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1], options: options())[0]
            let second = try await store.numbers("note", [2], options: options())[0]
            #expect(second.id == first.id)
            // Another key, and another name, are others.
            let others = [
                try await store.numbers("note", [3], options: options("other"))[0].id,
                try await store.numbers("echo", [4], options: options())[0].id,
            ]
            #expect(Set(others + [first.id]).count == 3)
            // Many in one commit, from threads that wait for each other.
            let ids = try await withThrowingTaskGroup(of: JobID.self) { group in
                for number in 10..<40 {
                    group.addTask {
                        try await store.numbers("note", [number], options: options("crowd"))[0].id
                    }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try store.uniqueRows() == 4)
            let echo = JobClosure("echo") { (number: Int, _) in number }
            try await makeRunner(store, [note, echo]).run {}
            #expect(try store.counts().accepted == 4 && store.counts().succeeded == 4)
            // No key is left behind, and the next job takes it.
            #expect(try store.uniqueRows() == 0)
            let again = try await store.numbers("note", [5], options: options())[0]
            #expect(again.id != first.id)
        }
    }

    @Test("a refused enqueue names the job that holds the key, waiting for the disk or not")
    func refused() async throws {
        try await withStore { store in
            let first = try await store.numbers("note", [1], options: options())[0]
            let refuse = options("k", .untilFinished, .refuse)
            let expected = EnqueueError.notUnique(job: "note", existing: first.id)
            await #expect(throws: expected) {
                try await store.numbers("note", [2], options: refuse)
            }
            let error = try await onThread("test-enqueue") {
                #expect(throws: expected) {
                    let _: JobHandle<Int> = try store.enqueueBlocking(
                        name: "note", payload: 3, output: Int.self, options: refuse)
                }
            }
            #expect(error == expected)
            #expect(try store.counts().accepted == 1)
        }
    }

    @Test("a key that is held until the start is free while its job runs, one until the end is not")
    func started() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let first = try await store.numbers(
                    "note", [0], options: options("a", .untilStarted))
                await begun.wait()
                let second = try await store.numbers(
                    "note", [1], options: options("a", .untilStarted))
                let third = try await store.numbers(
                    "note", [2], options: options("a", .untilStarted))
                #expect(second[0].id != first[0].id)
                #expect(third[0].id == second[0].id)
                gate.open()
                try await expectEqual(third[0].result, 1)
            }
            #expect(ran.items == [0, 1])
            #expect(try store.uniqueRows() == 0)
        }
    }

    @Test(
        "a key is held for a time after the end, also when the job was pruned, and freed by a timer"
    )
    func afterFinish() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let held = options("k", .afterFinish(.seconds(86_400)))
            let first = try await store.numbers("note", [1], options: held)[0]
            try await makeRunner(store, [note]).run {}
            clock.advance(.seconds(80_000))
            try await store.prune(olderThan: .seconds(60))
            #expect(throws: StoreError.noSuchJob(first.id)) { try first.state }
            let second = try await store.numbers("note", [2], options: held)[0]
            #expect(second.id == first.id)
            clock.advance(.seconds(6_401))
            let third = try await store.numbers("note", [3], options: held)[0]
            #expect(third.id != first.id)
            try await makeRunner(store, [note]).run {}
            #expect(try store.uniqueRows() == 1)
            clock.advance(.seconds(86_401))
            try await store.numbers("note", [4])
            // The timer is fired by a worker that finds nothing ready.
            let runner = try makeRunner(store, [note])
            try await runner.run {
                while try store.uniqueRows() > 0 { try await turn() }
            }
            #expect(ran.items == [1, 3, 4])
        }
    }

    @Test("a replaced job never runs, whether it waits or is ready, and the last of many does")
    func replaced() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            // Debounce: each puts the one before off.
            var waiting: [JobHandle<Int>] = []
            for number in 1...5 {
                waiting += try await store.numbers(
                    "note", [number],
                    options: options("d", .untilStarted, .replace, delay: .seconds(9)))
                clock.advance(.seconds(5), store)
            }
            // The same with jobs that are ready.
            var ready: [JobHandle<Int>] = []
            for number in 11...15 {
                ready += try await store.numbers(
                    "note", [number], options: options("r", .untilFinished, .replace))
            }
            #expect(try store.counts().cancelled == 8)
            clock.advance(.seconds(9))
            try await makeRunner(store, [note]).run {}
            #expect(ran.items.sorted() == [5, 15])
            for job in waiting.dropLast() + ready.dropLast() {
                expectEqual(try store.outcome(of: job.id)?.kind, .cancelled)
            }
            #expect(try store.uniqueRows() == 0)
        }
    }

    @Test("a job that has started is not replaced: who would is refused, and it ends in peace")
    func replaceStarted() async throws {
        try await withStore { store in
            let replace = options("k", .untilFinished, .replace)
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let first = try await store.numbers("note", [0], options: replace)[0]
                await begun.wait()
                await #expect(throws: EnqueueError.notUnique(job: "note", existing: first.id)) {
                    try await store.numbers("note", [1], options: replace)
                }
                gate.open()
                try await expectEqual(first.result, 0)
            }
            #expect(ran.items == [0])
        }
    }

    @Test("a claimed job that is replaced before it starts does not start")
    func replaceClaimed() async throws {
        try await withStore { store in
            let replace = options("k", .untilFinished, .replace)
            let runner = try makeRunner(store, [note])
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...120)) {
                    _ = try await job.result
                }
                let hold = try await store.numbers("note", [0])[0]
                let first = try await store.numbers("note", [1], options: replace)[0]
                await begun.wait()
                // In the same ticket as the one that runs, or in its lane.
                let second = try await store.numbers("note", [2], options: replace)[0]
                gate.open()
                _ = try await hold.result
                try await expectEqual(second.result, 2)
                await #expect(throws: JobError.cancelled(first.id)) { try await first.result }
            }
            #expect(!ran.items.contains(1))
        }
    }

    @Test("the key of a value is taken by every way to enqueue it")
    func byValue() async throws {
        struct Sync: Job {
            var tenant: String
            var uniqueness: Uniqueness? { Uniqueness(key: tenant) }
            func run(_ context: JobContext) -> NoResult { NoResult() }
        }
        let spawn = JobClosure("spawn") { (count: Int, context) -> Int in
            for _ in 0..<count { try context.enqueue(Sync(tenant: "spawned")) }
            return count
        }
        try await withStore { store in
            let first = try await store.enqueue(Sync(tenant: "a"))
            let second = try await store.enqueue(Sync(tenant: "a"), durability: .buffered).accepted
            #expect(second.id == first.id)
            let many = try await store.enqueue(contentsOf: [Sync(tenant: "b"), Sync(tenant: "a")])
            #expect(many.acceptedCount == 1 && many[1].id == first.id)
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Sync(tenant: ""))
            }
            try await store.numbers("spawn", [3])
            try await makeRunner(store, [spawn], jobs: [Sync.self]).run {}
            #expect(try store.counts().accepted == 4)
            #expect(try store.uniqueRows() == 0)
        }
    }

    @Test("a job that is met as expired frees its own key, and not that of the job before it")
    func ownKey() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let fail = JobClosure(
                "note", retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.seconds(60)))
            ) { (_: Int, _) -> Int in throw Refusal() }
            let first = try await store.numbers("note", [1], options: options("first"))[0]
            var soon = options("second")
            soon.expiry = .after(.seconds(1))
            let second = try await store.numbers("note", [2], options: soon)[0]
            clock.advance(.seconds(2))
            // As a runner leaves it that dies between the mark and the end.
            let queue = try #require(try store.queueRows().first).record.id
            let tables = store.open.tables
            try await store.open.perform { (transaction, state) throws(StorageError) in
                _ = try Timers.fire(queue, tables, &transaction, &state)
            }
            let runner = try makeRunner(store, [fail])
            try await runner.run {
                await #expect(throws: JobError.expired(second.id)) { try await second.result }
                #expect(try store.uniqueRows() == 1)
                let again = try await store.numbers("note", [3], options: options("first"))[0]
                #expect(again.id == first.id)
                try await store.cancel(first.id)
            }
        }
    }

    @Test("a key that is held until the start is free as soon as its job has run")
    func freeWhenItHasRun() async throws {
        try await withStore { store in
            let rule = options("k", .untilStarted)
            let runner = try makeRunner(store, [note])
            try await runner.run {
                // The outcome lies gathered when the next one asks, or is on its way.
                for number in 1...200 {
                    let job = try await store.numbers("note", [number], options: rule)[0]
                    while !ran.items.contains(number) { try await turn() }
                    let next = try await store.numbers("note", [1_000 + number], options: rule)[0]
                    #expect(next.id != job.id)
                    _ = try await next.result
                }
            }
        }
    }

    @Test("cancelled, expired and dead jobs free their keys")
    func freed() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let poison = JobClosure("note", retryPolicy: .never) { (_: Int, _) -> Int in
                throw Refusal()
            }
            let cancelled = try await store.numbers("note", [1], options: options("c"))[0]
            try await store.cancel(cancelled.id)
            var soon = options("e")
            soon.expiry = .after(.seconds(1))
            try await store.numbers("note", [2], options: soon)
            try await store.numbers("note", [3], options: options("f"))
            clock.advance(.seconds(2))
            try await makeRunner(store, [poison]).run {}
            #expect(try store.counts().ended == 3)
            #expect(try store.uniqueRows() == 0)
        }
    }
}
