import Logging
import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Declared schedules", .timeLimit(.minutes(10))) struct DeclaredScheduleTests {
    struct Cleanup: Job {
        static let retryPolicy = RetryPolicy.never
        var folder = "/tmp"
        func run(_ context: JobContext) throws -> String { context.plannedTime?.description ?? "" }
    }

    /// Starts a runner with some schedules, and stops it when it has run what is due.
    private func start(
        _ store: JobStore, _ program: String?, _ schedules: [Schedule], queue: String? = nil
    ) async throws {
        let runner = try makeRunner(store, [noting], jobs: [Cleanup.self]) {
            $0.program = program
            $0.schedules = schedules
        }
        try await runner.run {}
    }

    private func withClock(
        _ body: (JobStore, TestClock) async throws -> Void
    ) async throws {
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        try await withStore(clock: clock) { store in try await body(store, clock) }
    }

    @Test("new ones are added, changed ones changed, vanished ones disabled, others left alone")
    func reconciled() async throws {
        try await withClock { store, clock in
            try await store.add(schedule: .note("by-hand", .cron("@daily")))
            try await start(
                store, "other", [.cron("@weekly", in: "UTC", job: Cleanup(), name: "theirs")])
            let nightly = Schedule.cron("0 3 * * *", in: "Europe/Berlin", job: Cleanup())
            try await start(
                store, "etl",
                [nightly, .every(.seconds(90), job: Cleanup(folder: "/var"), name: "often")])
            func summary() throws -> [String] {
                try store.schedules().map {
                    "\($0.name) \($0.program ?? "-") \($0.rule) \($0.next?.description ?? "-")"
                        + ($0.isDisabled ? " disabled" : "")
                }
            }
            let added = [
                "Cleanup etl 0 3 * * * 2026-11-28T02:00:00Z",
                "by-hand - @daily 2026-11-28T00:00:00Z",
                "often etl every 1 min 30 s 2026-11-27T12:01:30Z",
                "theirs other @weekly 2026-11-29T00:00:00Z",
            ]
            #expect(try summary() == added)
            // The same once more changes nothing; pauses stay.
            try await store.pause(schedule: "Cleanup")
            try await start(
                store, "etl",
                [nightly, .every(.seconds(90), job: Cleanup(folder: "/var"), name: "often")])
            #expect(try store.schedule(named: "Cleanup").isPaused)
            try await store.resume(schedule: "Cleanup")
            #expect(try summary() == added)
            // One is changed, one is gone.
            try await start(
                store, "etl", [.cron("30 4 * * *", in: "Europe/Berlin", job: Cleanup())])
            #expect(
                try summary() == [
                    "Cleanup etl 30 4 * * * 2026-11-28T03:30:00Z", added[1],
                    "often etl every 1 min 30 s - disabled", added[3],
                ])
            clock.advance(.seconds(3_600))
            try await start(store, "etl", [])
            #expect(try store.schedules().filter(\.isDisabled).map(\.name) == ["Cleanup", "often"])
            #expect(try store.counts().accepted == 0)
            // Back again, with the next time from now on.
            try await start(store, "etl", [nightly])
            #expect(try summary()[0] == added[0])
            // A program without schedules, and without a name, touches none.
            try await start(store, nil, [])
            #expect(try store.schedules().filter(\.isDisabled).map(\.name) == ["often"])
        }
    }

    @Test("what was missed while the program was away is found out when it starts")
    func missed() async throws {
        try await withClock { store, clock in
            let hourly = Schedule.cron("@hourly", in: "UTC", job: Cleanup())
            try await start(store, "etl", [hourly])
            clock.advance(to: "2026-11-27 15:20:00")
            let runner = try makeRunner(store, jobs: [Cleanup.self]) {
                $0.program = "etl"
                $0.schedules = [hourly]
            }
            try await runner.run {
                while try store.schedule(named: "Cleanup").firedCount == 0 { try await turn() }
            }
            let status = try store.schedule(named: "Cleanup")
            #expect(status.lastPlanned == instant("2026-11-27 15:00:00"))
            #expect(status.missedCount == 2)
            // Another payload is no other plan: what has come by then is not lost.
            clock.advance(to: "2026-11-27 16:00:00")
            try await start(
                store, "etl", [.cron("@hourly", in: "UTC", job: Cleanup(folder: "/new"))])
            let after = try store.schedule(named: "Cleanup")
            #expect(after.lastPlanned == instant("2026-11-27 16:00:00"))
            let job = try #require(after.lastJob)
            #expect(try store.details(of: job).payloadJSON() == #"{"folder":"/new"}"#)
        }
    }

    @Test("a rule of the program's own is asked for each time, and waits for its program elsewhere")
    func ownRule() async throws {
        try await withClock { store, clock in
            let asked = Trace<WallTime>()
            // Each prime minute of the hour.
            let primes = Schedule(
                Cleanup(),
                .own { after in
                    asked.add(after)
                    var minute = after.microseconds / 60_000_000 + 1
                    while ![2, 3, 5, 7, 11, 13, 17, 19].contains(minute % 60) { minute += 1 }
                    return WallTime(microseconds: minute * 60_000_000)
                }, in: "UTC", name: "primes")
            func runUntil(_ fired: Int, _ schedules: [Schedule], program: String?) async throws {
                let runner = try makeRunner(store, jobs: [Cleanup.self]) {
                    $0.program = program
                    $0.schedules = schedules
                }
                try await runner.run {
                    while try store.schedule(named: "primes").firedCount < fired {
                        try await turn()
                    }
                }
            }
            try await start(store, "etl", [primes])
            #expect(try store.schedule(named: "primes").next == instant("2026-11-27 12:02:00"))
            clock.advance(to: "2026-11-27 12:02:00")
            try await runUntil(1, [primes], program: "etl")
            clock.advance(to: "2026-11-27 12:06:00")
            // Another program runs the queue: it does not know when.
            let stranger = try makeRunner(store, jobs: [Cleanup.self])
            try await stranger.run {
                while try store.dueOf("primes") < instant("2026-11-27 12:06:30") {
                    try await turn()
                }
            }
            #expect(try store.schedule(named: "primes").firedCount == 1)
            clock.advance(to: "2026-11-27 12:07:30")
            try await runUntil(2, [primes], program: "etl")
            let status = try store.schedule(named: "primes")
            #expect(status.lastPlanned == instant("2026-11-27 12:07:00"))
            #expect(status.missedCount == 2)
            #expect(!asked.items.isEmpty)
            // Paused and resumed by who does not know the rule, it goes on when its program looks.
            try await store.pause(schedule: "primes")
            try await store.resume(schedule: "primes")
            #expect(try store.schedule(named: "primes").next == nil)
            clock.advance(to: "2026-11-27 12:11:00")
            try await runUntil(3, [primes], program: "etl")
            #expect(
                try store.schedule(named: "primes").lastPlanned == instant("2026-11-27 12:11:00"))
        }
    }

    @Test("what cannot be is refused before anything runs")
    func refused() async throws {
        try await withClock { store, _ in
            #expect(throws: RunnerError.self) {
                try makeRunner(store, jobs: [Cleanup.self]) {
                    $0.schedules = [.cron("@daily", in: "UTC", job: Cleanup())]
                }
            }
            let twice = Schedule.cron("@daily", in: "UTC", job: Cleanup())
            #expect(
                throws: RunnerError.schedule(.exists(schedule: "Cleanup", program: "etl"))
            ) {
                try makeRunner(store, jobs: [Cleanup.self]) {
                    $0.program = "etl"
                    $0.schedules = [twice, twice]
                }
            }
            #expect(throws: RunnerError.self) {
                try makeRunner(store, jobs: [Cleanup.self]) {
                    $0.program = "etl"
                    $0.schedules = [.cron("0 0 31 2 *", in: "UTC", job: Cleanup())]
                }
            }
            // The name is somebody else's: found out at the start, before it owns anything.
            try await store.add(schedule: .note("Cleanup", .cron("@daily")))
            await #expect(
                throws: RunnerError.schedule(.exists(schedule: "Cleanup", program: nil))
            ) {
                try await start(store, "etl", [twice])
            }
            try await store.remove(schedule: "Cleanup")
            try await start(store, "etl", [twice])
            await #expect(
                throws: ScheduleError.declared(schedule: "Cleanup", program: "etl")
            ) {
                try await store.remove(schedule: "Cleanup")
            }
            await #expect(throws: ScheduleError.exists(schedule: "Cleanup", program: "etl")) {
                try await store.add(schedule: .note("Cleanup", .cron("@daily")), replacing: true)
            }
            // Paused, it may be removed, though its program would add it again.
            try await store.pause(schedule: "Cleanup")
            try await store.remove(schedule: "Cleanup")
            try await start(store, "etl", [twice])
            try await start(store, "etl", [])
            try await store.remove(schedule: "Cleanup")
            #expect(try store.schedules().isEmpty)
        }
    }
}
