import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Clocks") struct ClockTests {
    private static let hour = Duration.seconds(3_600)
    private static let jumps = [Duration.seconds(-3_600), .seconds(3_600)]
    private static let least = Duration.microseconds(1)

    private let ran = Trace<String>()

    /// Notes its name. `fails` does so at its first attempt, and `snoozes` when it has not done so before.
    private var note: JobClosure {
        JobClosure(
            "note",
            retryPolicy: RetryPolicy(
                maxAttempts: 3, backoff: .constant(.seconds(60)), jitter: .none)
        ) { [ran] (name: String, context) -> String in
            let isFirst = !ran.items.contains(name)
            ran.add(name)
            if name == "fails", isFirst { throw Refusal() }
            if name == "snoozes", isFirst { throw JobControl.snooze(for: .seconds(60)) }
            return name
        }
    }

    @discardableResult
    private func enqueue(
        _ name: String, _ store: JobStore, _ options: EnqueueOptions = EnqueueOptions()
    ) async throws -> JobHandle<String> {
        try await store.enqueue(
            name: "note", payload: name, output: String.self, options: options)
    }

    private func due(_ job: JobHandle<String>) throws -> WallTime? {
        if case .waiting(let due, _) = try job.state { due } else { nil }
    }

    private func inSeconds(_ seconds: Int64, _ clock: TestClock) -> WallTime {
        WallTime(microseconds: clock.now.microseconds + seconds * 1_000_000)
    }

    @Test(
        "when the clock is set, a delay, a retry and a snooze take as long as they were to, and an instant is one of the clock",
        arguments: jumps)
    func waits(jump: Duration) async throws {
        try await withTestStore(closures: [note]) { store, runner in
            let clock = runner.clock
            let retried = try await enqueue("fails", store)
            let snoozed = try await enqueue("snoozes", store)
            try await runner.drain()
            let delayed = try await enqueue(
                "delayed", store, EnqueueOptions(due: .after(.seconds(60))))
            let instant = inSeconds(60, clock)
            let timed = try await enqueue("timed", store, EnqueueOptions(due: .at(instant)))
            for job in [retried, snoozed, delayed, timed] { expectEqual(try due(job), instant) }

            clock.set(by: jump)
            // Shown as the clock will stand then.
            for job in [retried, snoozed, delayed] {
                expectEqual(try due(job), inSeconds(60, clock))
            }
            expectEqual(try due(timed), instant)
            try await runner.drain()
            let isAhead = jump > .zero
            expectEqual(ran.items.dropFirst(2), isAhead ? ["timed"] : [])
            clock.advance(.seconds(60) - Self.least)
            try await runner.drain()
            expectEqual(ran.items.count, isAhead ? 3 : 2)
            clock.advance(Self.least)
            try await runner.drain()
            expectEqual(
                Set(ran.items.suffix(3)), ["fails", "snoozes", "delayed"])
            expectEqual(try timed.state.isEnded, isAhead)
            clock.advance(Self.hour - Self.least)
            try await runner.drain()
            expectEqual(try timed.state.isEnded, isAhead)
            clock.advance(Self.least)
            try await runner.drain()
            expectEqual(try timed.state.isEnded, true)
            expectSound(store)
        }
    }

    @Test(
        "a unique key is held for as long as it was to be, however the clock is set",
        arguments: jumps)
    func unique(jump: Duration) async throws {
        try await withTestStore(closures: [note]) { store, runner in
            let held = EnqueueOptions(
                unique: Uniqueness(key: "k", hold: .afterFinish(.seconds(60))))
            let first = try await enqueue("a", store, held)
            try await runner.drain()
            runner.clock.set(by: jump)
            runner.clock.advance(.seconds(60) - Self.least)
            try await runner.drain()
            try await expectEqual(enqueue("b", store, held).id, first.id)
            runner.clock.advance(Self.least)
            let second = try await enqueue("c", store, held)
            #expect(second.id != first.id)
            runner.clock.advance(.seconds(60))
            try await runner.drain()
            runner.clock.advance(.seconds(60))
            try await runner.drain()
            let rows = try store.open.read { (reader) throws(StorageError) in
                try reader.count(store.open.tables.unique)
                    + reader.count(store.open.tables.timers)
            }
            #expect(rows == 0)
        }
    }

    @Test(
        "an expiry is an instant or the end of a while, and each goes by its own clock",
        arguments: jumps)
    func expiry(jump: Duration) async throws {
        try await withTestStore(closures: [note]) { store, runner in
            let while60 = try await enqueue(
                "while", store, EnqueueOptions(expiry: .after(.seconds(60))))
            let instant = try await enqueue(
                "instant", store, EnqueueOptions(expiry: .at(inSeconds(60, runner.clock))))
            let delayed = try await enqueue(
                "delayed", store,
                EnqueueOptions(due: .after(.seconds(30)), expiry: .after(.seconds(60))))
            runner.clock.set(by: jump)
            runner.clock.advance(.seconds(60) - Self.least)
            try await runner.drain()
            expectEqual(try store.outcome(of: while60.id)?.kind, .succeeded)
            expectEqual(try store.outcome(of: delayed.id)?.kind, .succeeded)
            expectEqual(
                try store.outcome(of: instant.id)?.kind, jump > .zero ? .expired : .succeeded)
        }
    }

    @Test("mixed lines are compared by the clocks as they stand when a job is enqueued")
    func mixed() async throws {
        try await withTestStore(closures: [note]) { store, runner in
            runner.clock.set(by: Self.hour)
            let soon = JobTime.at(inSeconds(60, runner.clock))
            await #expect(throws: EnqueueError.self) {
                try await enqueue(
                    "a", store, EnqueueOptions(due: soon, expiry: .after(.seconds(60))))
            }
            await #expect(throws: EnqueueError.self) {
                try await enqueue(
                    "a", store, EnqueueOptions(due: .after(.seconds(60)), expiry: soon))
            }
            try await enqueue("a", store, EnqueueOptions(due: soon, expiry: .after(.seconds(61))))
            try await enqueue("b", store, EnqueueOptions(due: .after(.seconds(59)), expiry: soon))
            expectEqual(try store.counts().waiting, 2)
        }
    }

    @Test(
        "a policy's time limit, and the time for which a job is parked, are whiles",
        arguments: jumps)
    func policies(jump: Duration) async throws {
        let fails = JobClosure(
            "fails",
            retryPolicy: RetryPolicy(
                maxAttempts: 9, backoff: .constant(.seconds(100)), jitter: .none,
                timeLimit: .seconds(250))
        ) { (_: Int, _) -> Int in throw Refusal() }
        try await withTestStore(closures: [fails], runner: { $0.parkLimit = .seconds(1_000) }) {
            store, runner in
            let job = try await store.numbers("fails", [1])[0]
            let unknown = try await store.numbers("unknown", [1])[0]
            try await runner.drain()
            runner.clock.set(by: jump)
            let drained = try await runner.drain(advancing: true)
            // At 100 and at 200; another one at 300 would be too late.
            #expect(drained.steps.count == 2)
            let outcome = try #require(try store.outcome(of: job.id))
            #expect(outcome.kind == .deadLetter && outcome.attempt == 3)
            runner.clock.advance(.seconds(799))
            try await runner.drain()
            expectEqual(try unknown.state, .parked(name: "unknown"))
            runner.clock.advance(.seconds(1))
            try await runner.drain()
            expectEqual(try store.outcome(of: unknown.id)?.kind, .deadLetter)
        }
    }

    @Test(
        "a while goes on over a restart of the machine, by what its clock has gone on meanwhile",
        arguments: [
            (set: 0, off: 30, lost: 0, left: 70), (0, 200, 0, 0), (3_600, 30, 0, 70),
            (-3_600, 30, 0, 70), (0, 30, -10_000, 100), (3_600, 0, 0, 100),
        ])
    func restart(_ world: (set: Int, off: Int, lost: Int, left: Int)) async throws {
        let clock = TestClock(isFrozen: true)
        try await withTestDirectory { directory in
            let path = directory + "/clock.petiole"
            try await withTestStore(at: path, clock: clock, closures: [note]) { store, _ in
                try await enqueue("delayed", store, EnqueueOptions(due: .after(.seconds(100))))
                clock.set(by: .seconds(world.set))
                // Whoever commits next notes it, or a runner that notices.
                var watch = ClockWatch(store.open)
                clock.set(by: .seconds(world.set))
                watch.look(store.open)
            }
            clock.restartMachine(afterBeingOff: .seconds(world.off))
            clock.set(by: .seconds(world.lost))
            try await withTestStore(at: path, clock: clock, closures: [note]) { store, runner in
                let job = store.handle(of: JobID(rawValue: 1), output: String.self)
                if world.left > 0 {
                    expectEqual(try due(job), inSeconds(Int64(world.left), clock))
                    clock.advance(.seconds(world.left) - Self.least)
                    try await runner.drain()
                    expectEqual(ran.items, [])
                    clock.advance(Self.least)
                }
                try await runner.drain()
                expectEqual(ran.items, ["delayed"])
            }
        }
    }

    @Test("a runner that sleeps until something is due is woken when the clock is set past it")
    func woken() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let runner = try makeRunner(store, [note])
            try await runner.run {
                let delayed = try await enqueue(
                    "delayed", store, EnqueueOptions(due: .after(Self.hour)))
                let timed = try await enqueue(
                    "timed", store, EnqueueOptions(due: .at(inSeconds(60, clock))))
                clock.set(by: .seconds(60))
                try await expectEqual(timed.result, "timed")
                clock.set(by: .seconds(-86_400))
                clock.advance(Self.hour)
                try await expectEqual(delayed.result, "delayed")
            }
        }
    }

    @Test(
        "a store whose row of the steady line holds times that never were is not opened"
    )
    func row() async throws {
        let clock = TestClock(isFrozen: true)
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open(clock: clock)
        try await store.open.perform { (transaction, state) throws(StorageError) in
            var line = SteadyLine(boot: 1, base: .max, steady: 0, wall: 0)
            line.base = .max
            try line.put(&transaction, state.tables.meta)
        }
        store.close()
        #expect(throws: StoreError.self) { try directory.open(clock: clock) }
    }
}
