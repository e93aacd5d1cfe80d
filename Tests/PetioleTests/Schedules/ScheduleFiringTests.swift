import PetioleTesting
import Testing

@testable import Petiole

@Suite("Schedules that fire") struct ScheduleFiringTests {
    @Test(
        "each planned time enqueues a job when it has come, which is told for when it was planned")
    func firing() async throws {
        try await withScheduleStore { store, runner, clock in
            let first = try await store.add(
                schedule: .note("quarter", .cron("*/15 * * * *"), in: "Europe/Berlin"))
            #expect(first == instant("2026-11-27 12:15:00"))
            try await expectEqual(runner.planned(), [])
            clock.advance(to: "2026-11-27 12:14:59")
            try await expectEqual(runner.planned(), [])
            clock.advance(to: "2026-11-27 12:15:00")
            let step = try #require(try await runner.step())
            let handle = store.handle(of: step.id, output: String.self)
            try await expectEqual(handle.result, "quarter quarter 2026-11-27T12:15:00Z")
            #expect(try await runner.step() == nil)
            clock.advance(to: "2026-11-27 12:30:03")
            try await expectEqual(runner.planned(), ["12:30"])
            let status = try store.schedule(named: "quarter")
            #expect(status.firedCount == 2 && status.missedCount == 0)
            #expect(status.next == instant("2026-11-27 12:45:00"))
            #expect(status.lastPlanned == instant("2026-11-27 12:30:00"))
            #expect(status.lastFired == instant("2026-11-27 12:30:03"))
            #expect(status.description == "every 15 minutes")
            #expect(try store.outcome(of: #require(status.lastJob))?.kind == .succeeded)
        }
    }

    @Test("of what was missed the newest is enqueued, or each up to a bound, or none")
    func missed() async throws {
        try await withScheduleStore { store, runner, clock in
            func add(_ name: String, _ missed: MissedRuns) async throws {
                try await store.add(
                    schedule: .note(name, .cron("*/15 * * * *")) { $0.missed = missed })
            }
            try await add("once", .once)
            try await add("all", .all(atMost: 3))
            try await add("every", .all(atMost: 1_000))
            try await add("skip", .skip)
            try await add("late", .skip(laterThan: .seconds(600)))
            // Nobody runs the queue meanwhile; the newest is 12 minutes late then.
            clock.advance(to: "2026-11-27 14:12:00")
            let ran = try await runner.drain().steps.map { job in
                let run = try #require(try store.plannedRun(of: job.id))
                return run.schedule
                    + WallTime(microseconds: run.time).description
                    .dropFirst(10).prefix(6)
            }
            let times = [
                "T12:15", "T12:30", "T12:45", "T13:00", "T13:15", "T13:30", "T13:45", "T14:00",
            ]
            #expect(
                ran.sorted()
                    == (["onceT14:00"] + times.suffix(3).map { "all" + $0 }
                    + times.map { "every" + $0 }).sorted())
            let counts = try store.schedules().map { [$0.firedCount, $0.missedCount] }
            #expect(try store.schedules().map(\.name) == ["all", "every", "late", "once", "skip"])
            #expect(counts == [[3, 5], [8, 0], [0, 8], [1, 7], [0, 8]])
            // On time again.
            clock.advance(to: "2026-11-27 14:15:00")
            try await expectEqual(runner.planned(), Array(repeating: "14:15", count: 5))
            clock.advance(to: "2026-11-27 14:39:59")
            try await expectEqual(runner.planned(), ["14:30", "14:30", "14:30", "14:30"])
        }
    }

    @Test("a paused queue fires nothing; when it goes on, what was missed is")
    func pausedQueue() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            try await store.pause(queue: "default")
            clock.advance(to: "2026-11-27 15:30:00")
            try await expectEqual(runner.planned(), [])
            #expect(try store.schedule(named: "hourly").firedCount == 0)
            try await store.resume(queue: "default")
            try await expectEqual(runner.planned(), ["15:00"])
            #expect(try store.schedule(named: "hourly").missedCount == 2)
        }
    }

    @Test("a clock that is set back fires nothing twice; one that is set forward misses times")
    func clock() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("quarter", .cron("*/15 * * * *")))
            clock.advance(to: "2026-11-27 13:00:00")
            try await expectEqual(runner.planned(), ["13:00"])
            clock.set(by: .seconds(-3_600))
            var planned: [String] = []
            for _ in 0..<6 {
                clock.advance(.seconds(900))
                planned += try await runner.planned()
            }
            // It is 13:30 once more, and no time has come twice.
            #expect(planned == ["13:15", "13:30"])
            clock.set(by: .seconds(7_200))
            try await expectEqual(runner.planned(), ["15:30"])
            #expect(try store.schedule(named: "quarter").missedCount == 3 + 7)
        }
    }

    @Test("an interval counts from when it was added, or from its start, or by the clock")
    func intervals() async throws {
        try await withScheduleStore(at: "2026-11-27 12:03:20") { store, runner, clock in
            func add(_ name: String, _ rule: Schedule.Rule, start: String? = nil) async throws
                -> String
            {
                let first = try await store.add(
                    schedule: .note(name, rule) { $0.start = start.map { instant($0) } })
                return first.description
            }
            try await expectEqual(add("a", .every(.seconds(900))), "2026-11-27T12:18:20Z")
            try await expectEqual(
                add("b", .every(.seconds(900), alignedTo: .clock)), "2026-11-27T12:15:00Z")
            try await expectEqual(
                add("c", .every(.seconds(900)), start: "2026-11-27 12:05:00"),
                "2026-11-27T12:05:00Z")
            try await expectEqual(
                add("d", .every(.seconds(900)), start: "2026-11-26 00:00:01"),
                "2026-11-27T12:15:01Z")
            clock.advance(to: "2026-11-27 12:20:00")
            try await expectEqual(
                runner.planned(), ["12:20", "12:15", "12:15", "12:18"])
        }
    }

    @Test("an interval that is counted from when it was added comes once in each")
    func intervalOnce() async throws {
        // By a clock that goes on: it shows another time in the transaction than before it. The
        // interval is longer than a busy machine can keep a test waiting.
        try await withTestStore(clock: TestClock(), closures: [noting]) { store, runner in
            try await store.add(
                schedule: .note("often", .every(.seconds(36_000))) { $0.missed = .all(atMost: 10) })
            for count in 1...3 {
                runner.clock.advance(.seconds(36_000))
                try await expectEqual(runner.planned().count, 1)
                let status = try store.schedule(named: "often")
                #expect(status.firedCount == count && status.missedCount == 0)
            }
        }
    }

    @Test("one instant comes once, and what has an end has no times behind it")
    func ends() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("one", .at(instant("2026-11-27 12:30:00"))))
            try await store.add(
                schedule: .note("some", .cron("*/10 * * * *")) {
                    $0.end = instant("2026-11-27 12:20:00")
                })
            for time in ["12:10", "12:20", "12:30", "12:40"] {
                clock.advance(to: "2026-11-27 \(time):00")
                try await expectEqual(runner.planned(), time < "12:40" ? [time] : [])
            }
            #expect(try store.schedules().allSatisfy { $0.next == nil })
            await #expect(throws: ScheduleError.self) {
                try await store.add(schedule: .note("past", .at(instant("2026-11-27 12:00:00"))))
            }
        }
    }

    @Test("a job that is over its expiry, a while after it was enqueued, does not start")
    func expiry() async throws {
        try await withScheduleStore { store, runner, clock in
            let schedule = Schedule(
                job: "note", json: "\"\"", .cron("@hourly"), in: "UTC", name: "short",
                options: EnqueueOptions(expiry: .after(.seconds(60))))
            try await store.add(schedule: schedule)
            clock.advance(to: "2026-11-27 13:00:00")
            try await store.pause(jobType: "note")
            // It is enqueued, met and parked.
            _ = try await runner.drain()
            clock.advance(.seconds(61))
            _ = try await runner.drain()
            let job = try #require(try store.schedule(named: "short").lastJob)
            #expect(try store.outcome(of: job)?.kind == .expired)
        }
    }

    @Test("when there is no room for its job, a schedule waits for some, and is none the poorer")
    func noRoom() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("quarter", .cron("*/15 * * * *")))
            try await store.setCapacity(Capacity(jobs: 1), queue: "default")
            let other: JobHandle<NoResult> = try await store.enqueue(name: "other", payload: 1)
            clock.advance(to: "2026-11-27 12:15:00")
            try await expectEqual(runner.planned(), [])
            #expect(try store.schedule(named: "quarter").next == instant("2026-11-27 12:15:00"))
            _ = try await store.cancel(other.id)
            try await expectEqual(runner.planned(), [])
            clock.advance(.seconds(5))
            try await expectEqual(runner.planned(), ["12:15"])
            #expect(try store.schedule(named: "quarter").missedCount == 0)
        }
    }

    @Test("on a full disk a schedule waits, while jobs that are due go on")
    func fullStore() async throws {
        let faults = FaultPlan()
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        try await withTestStore(clock: clock, faults: faults, closures: [noting]) { store, runner in
            try await store.add(schedule: .note("quarter", .cron("*/15 * * * *")))
            try await store.enqueue(
                name: "note", payload: "due", output: String.self,
                options: EnqueueOptions(due: .after(.seconds(900))))
            _ = try await runner.drain()
            faults.fill(.disk)
            clock.advance(to: "2026-11-27 12:15:00")
            try await expectEqual(runner.planned(), [])
            #expect(try store.counts().succeeded == 1)
            faults.makeRoom()
            clock.advance(.seconds(1))
            try await expectEqual(runner.planned(), ["12:15"])
        }
    }

    @Test("the payload of a schedule is encrypted in a store that encrypts")
    func encrypted() async throws {
        try await withScheduleStore(
            options: { $0.cipher = SealedPayloadTests.toy("k1", knows: ["k1"]) }
        ) { store, runner, clock in
            try await store.add(schedule: .note("secret-name", .cron("@hourly")))
            clock.advance(to: "2026-11-27 13:00:00")
            let step = try #require(try await runner.step())
            let handle = store.handle(of: step.id, output: String.self)
            try await expectEqual(
                handle.result, "secret-name secret-name 2026-11-27T13:00:00Z")
        }
    }
}
