import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Schedules in trouble") struct ScheduleTroubleTests {
    @Test("a definition that changes loses no time that has come and was not decided about")
    func changed() async throws {
        try await withScheduleStore { store, runner, clock in
            func add(_ configure: (inout Schedule) -> Void) async throws {
                try await store.add(
                    schedule: .note("daily", .cron("0 13 * * *"), configure), replacing: true)
            }
            try await add { _ in }
            clock.advance(to: "2026-11-27 13:00:30")
            // Nobody has looked yet.
            try await add { $0.excludedDates = [CivilDate(year: 2_026, month: 12, day: 24)] }
            try await expectEqual(runner.planned(), ["13:00"])
            // Fired later than planned, it is not overtaken by the same schedule once more.
            try await add { $0.jitter = .seconds(3_600) }
            let due = try #require(try store.schedule(named: "daily").next)
            #expect(due == instant("2026-11-28 13:00:00"))
            clock.advance(to: "2026-11-28 13:00:00")
            let before = try store.dueOf("daily")
            try #require(before > clock.now)
            try await add { $0.jitter = .seconds(3_600) }
            #expect(try store.dueOf("daily") == before)
            clock.advance(.seconds(3_600))
            try await expectEqual(runner.planned(), ["13:00"])
            // Another rule: what has come of the old one is enqueued, and the new one goes on.
            clock.advance(to: "2026-11-29 14:30:00")
            try await store.add(schedule: .note("daily", .cron("0 20 * * *")), replacing: true)
            try await expectEqual(runner.planned(), ["13:00"])
            #expect(try store.schedule(named: "daily").next == instant("2026-11-29 20:00:00"))
        }
    }

    @Test(
        "a time that waits is woken by the last job's end, whatever the overlap was when that began"
    )
    func overlapChanged() async throws {
        try await withScheduleStore(closures: [], runner: { $0.queues = ["default"] }) {
            store, runner, clock in
            func add(_ overlap: Schedule.Overlap) async throws {
                try await store.add(
                    schedule: .note("last", .cron("*/10 * * * *")) {
                        $0.overlap = overlap
                        $0.end = instant("2026-11-27 12:25:00")
                    }, replacing: true)
            }
            try await add(.allow)
            clock.advance(.seconds(600))
            _ = try await runner.drain()
            let first = try #require(try store.schedule(named: "last").lastJob)
            try await add(.queueOne)
            clock.advance(.seconds(600))
            _ = try await runner.drain()
            // There is no other time to come.
            let status = try store.schedule(named: "last")
            #expect(status.next == nil && status.waiting == instant("2026-11-27 12:20:00"))
            #expect(try await store.cancel(first) == .cancelled)
            _ = try await runner.drain()
            #expect(try store.schedule(named: "last").firedCount == 2)
        }
    }

    @Test("a time that waits for a job that is dropped in the same transaction goes on")
    func dropped() async throws {
        try await withScheduleStore(closures: [], runner: { $0.queues = ["default"] }) {
            store, runner, clock in
            try await store.add(
                schedule: .note("a", .cron("*/10 * * * *")) { $0.overlap = .queueOne })
            clock.advance(.seconds(600))
            // Nobody knows the job: it is parked, and so waits.
            _ = try await runner.drain()
            try await store.setCapacity(
                Capacity(jobs: 1, whenFull: .dropOldest), queue: "default")
            try await store.add(schedule: .note("b", .at(instant("2026-11-27 12:20:00"))))
            clock.advance(.seconds(600))
            for _ in 0..<5 { _ = try await runner.drain() }
            #expect(try store.schedule(named: "a").waiting == nil)
            #expect(try store.schedule(named: "a").firedCount == 2)
        }
    }

    @Test("no time comes twice, though the clock is set back while it waits")
    func clockWhileWaiting() async throws {
        try await withScheduleStore(closures: [], runner: { $0.queues = ["default"] }) {
            store, runner, clock in
            try await store.add(
                schedule: .note("hourly", .cron("@hourly")) { $0.overlap = .queueOne })
            for _ in 0..<2 {
                clock.advance(.seconds(3_600))
                _ = try await runner.drain()
            }
            #expect(try store.schedule(named: "hourly").waiting == instant("2026-11-27 14:00:00"))
            clock.set(by: .seconds(-3_300))
            try await store.pause(schedule: "hourly")
            try await store.resume(schedule: "hourly")
            for _ in 0..<3 {
                let last = try #require(try store.schedule(named: "hourly").lastJob)
                _ = try await store.cancel(last)
                clock.advance(.seconds(3_600))
                _ = try await runner.drain()
            }
            let times = try store.plannedRuns().map { $0.time }
            #expect(Set(times).count == times.count && times.count >= 3)
            #expect(times == times.sorted())
        }
    }

    @Test("when a clock was far ahead and is set right, a schedule that goes on comes again")
    func farFuture() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            clock.set(by: .seconds(24 * 366 * 86_400))
            try await expectEqual(runner.planned().count, 1)
            clock.set(to: "2026-11-27 12:30:00")
            try await store.pause(schedule: "hourly")
            try await store.resume(schedule: "hourly")
            #expect(try store.schedule(named: "hourly").next == instant("2026-11-27 13:00:00"))
            clock.advance(.seconds(1_800))
            try await expectEqual(runner.planned(), ["13:00"])
        }
    }

    @Test("times that come close together are not missed while a runner is there")
    func dense() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("often", .every(.milliseconds(100))))
            clock.advance(.seconds(2))
            #expect(try await runner.drain().steps.count == 20)
            clock.advance(.seconds(60))
            // Behind a pause of a minute those of five seconds, which are not late.
            #expect(try await runner.drain().steps.count == 51)
            #expect(try store.schedule(named: "often").missedCount == 600 - 51)
        }
    }

    @Test("a last job that cannot be read keeps neither its schedule nor others waiting")
    func damagedJob() async throws {
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        // Not looked at as a whole at the end: it is damaged.
        try await withTestStore(clock: clock, runner: { $0.queues = ["default"] }) {
            store, runner in
            for name in ["a", "b"] {
                try await store.add(
                    schedule: .note(name, .cron("@hourly")) { $0.overlap = .skip })
            }
            clock.advance(.seconds(3_600))
            _ = try await runner.drain()
            let job = try #require(try store.schedule(named: "a").lastJob)
            try store.open.performBlocking { (transaction, state) throws(StorageError) in
                guard let block = try Lookup.block(job.rawValue, transaction, state.tables) else {
                    return
                }
                let first = block.first
                try withBytes(Array("rubbish".utf8)) { (value) throws(StorageError) in
                    try transaction.put(state.tables.jobs, Key(first), value)
                }
            }
            clock.advance(.seconds(3_600))
            while try await runner.step() != nil {}
            #expect(try store.schedules().map(\.firedCount) == [2, 2])
            try await store.remove(schedule: "a")
        }
    }

    @Test(
        "a full store keeps nobody from starting, and a large payload no other schedule from firing"
    )
    func full() async throws {
        let faults = FaultPlan()
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        try await withTestStore(clock: clock, faults: faults, closures: [noting]) { store, _ in
            func start(_ rule: String) async throws {
                let runner = try makeRunner(store, [noting]) {
                    $0.program = "etl"
                    $0.schedules = [.note("declared", .cron(rule))]
                }
                try await runner.run {}
            }
            try await start("@hourly")
            faults.fill(.store)
            try await start("@hourly")
            // What is new is said in the log, and is there when there is room.
            try await start("@daily")
            #expect(try store.schedule(named: "declared").rule == "@hourly")
            faults.makeRoom()
            try await start("@daily")
            #expect(try store.schedule(named: "declared").rule == "@daily")
        }
    }

    @Test("a runner whose queue was taken by another fires nothing, and one that dies has fired")
    func fenced() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            _ = try await runner.step()
            clock.advance(.seconds(3_600))
            let dead = try #require(try await runner.stepAndDie())
            #expect(dead.state == .ready)
            try await expectEqual(runner.planned(), ["13:00"])
            #expect(try store.schedule(named: "hourly").firedCount == 1)
        }
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            _ = try await runner.step()
            try await store.open.perform { (transaction, state) throws(StorageError) in
                var row = try state.queue(named: "default", &transaction)
                row.epoch += 1
                try state.put(row, named: "default", &transaction)
            }
            clock.advance(.seconds(3_600))
            await #expect(throws: RunnerError.fenced(queue: "default")) {
                while true { _ = try await runner.step() }
            }
            #expect(try store.schedule(named: "hourly").firedCount == 0)
        }
    }

    @Test("what middleware makes of the enqueue holds for each job, and for none its time alone")
    func middleware() async throws {
        struct Expiring: EnqueueMiddleware {
            func willEnqueue(_ call: inout EnqueueCall) {
                call.options.expiry = .after(.seconds(60))
                call.options.due = .after(.seconds(10))
                call[header: "by"] = "middleware"
            }
        }
        try await withScheduleStore(options: { $0.enqueueMiddleware = [Expiring()] }) {
            store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            for time in ["13:00", "14:00"] {
                clock.advance(.seconds(3_600))
                try await expectEqual(runner.planned(), [time])
            }
            let job = try #require(try store.schedule(named: "hourly").lastJob)
            #expect(try store.toldOptions(of: job).metadata?.headers == ["by": "middleware"])
            try await store.pause(jobType: "note")
            clock.advance(.seconds(3_600))
            _ = try await runner.drain()
            clock.advance(.seconds(61))
            _ = try await runner.drain()
            let late = try #require(try store.schedule(named: "hourly").lastJob)
            #expect(try store.outcome(of: late)?.kind == .expired)
        }
    }

    @Test("a thousand missed jobs with large payloads go in more than one transaction")
    func large() async throws {
        try await withScheduleStore { store, runner, clock in
            let text = String(repeating: "x", count: 400_000)
            var schedule = Schedule(
                job: "note", json: "\"\(text)\"", .cron("* * * * *"), in: "UTC", name: "large")
            schedule.missed = .all(atMost: 60)
            try await store.add(schedule: schedule)
            clock.advance(.seconds(3_600))
            // 8 MiB a transaction: some twenty jobs of this size.
            #expect(try await Firings(store, clock).next(before: .max))
            let first = try store.schedule(named: "large").firedCount
            #expect((15..<30).contains(first))
            let planned = try await runner.planned()
            #expect(planned.count == 60)
            #expect(planned == planned.sorted())
            #expect(try store.schedule(named: "large").missedCount == 0)
        }
    }
}

extension JobStore {
    /// When a schedule is looked at next.
    func dueOf(_ name: String) throws -> WallTime {
        let tables = open.tables
        let state = try open.read { (reader) throws(StorageError) in
            try ScheduleRows.state(name, reader, tables)
        }
        return WallTime(microseconds: state?.due ?? 0)
    }
}
