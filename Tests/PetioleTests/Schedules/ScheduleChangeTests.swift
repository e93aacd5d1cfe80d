import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Schedules that change") struct ScheduleChangeTests {
    @Test("a paused schedule comes at no time, and goes on with the next one")
    func pausing() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("hourly", .cron("@hourly")))
            #expect(try await store.pause(schedule: "hourly"))
            #expect(try await !store.pause(schedule: "hourly"))
            clock.advance(to: "2026-11-27 14:30:00")
            try await expectEqual(runner.planned(), [])
            #expect(try store.schedule(named: "hourly").next == nil)
            #expect(try await store.resume(schedule: "hourly"))
            #expect(try await !store.resume(schedule: "hourly"))
            try await expectEqual(runner.planned(), [])
            #expect(try store.schedule(named: "hourly").next == instant("2026-11-27 15:00:00"))
            clock.advance(to: "2026-11-27 15:00:00")
            try await expectEqual(runner.planned(), ["15:00"])
            #expect(try store.schedule(named: "hourly").missedCount == 0)
        }
    }

    @Test("a schedule has a name alone; replaced, it goes on where the other one was")
    func replacing() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("a", .cron("@hourly")))
            await #expect(throws: ScheduleError.exists(schedule: "a", program: nil)) {
                try await store.add(schedule: .note("a", .cron("@daily")))
            }
            clock.advance(to: "2026-11-27 13:00:00")
            try await expectEqual(runner.planned(), ["13:00"])
            // Back before what has come, and in another queue.
            clock.set(by: .seconds(-1_800))
            let other = Schedule(
                job: "note", json: "\"b\"", .cron("*/20 * * * *"), in: "UTC", name: "a",
                options: EnqueueOptions(queue: "other"))
            try await store.add(schedule: other, replacing: true)
            let status = try store.schedule(named: "a")
            #expect(status.next == instant("2026-11-27 13:20:00"))
            #expect(status.queue == "other" && status.firedCount == 1)
            clock.advance(to: "2026-11-27 13:20:00")
            // Nobody runs that one here.
            try await expectEqual(runner.planned(), [])
            #expect(try store.schedule(named: "a").firedCount == 1)
        }
    }

    @Test("a removed schedule is gone, and what it has enqueued stays")
    func removing() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("a", .cron("@hourly")))
            let job = try await store.runNow(schedule: "a")
            try await store.remove(schedule: "a")
            clock.advance(to: "2026-11-27 14:30:00")
            try await expectEqual(runner.planned(), ["12:00"])
            #expect(try store.outcome(of: job)?.kind == .succeeded)
            #expect(try store.schedules().isEmpty)
            let tables = store.open.tables
            let rows = try store.open.read { (reader) throws(StorageError) in
                try reader.count(tables.schedules)
            }
            #expect(rows == 0)
            await #expect(throws: ScheduleError.noSuchSchedule("a")) {
                try await store.pause(schedule: "a")
            }
            await #expect(throws: ScheduleError.noSuchSchedule("a")) {
                try await store.resume(schedule: "a")
            }
            await #expect(throws: ScheduleError.noSuchSchedule("a")) {
                try await store.remove(schedule: "a")
            }
            await #expect(throws: ScheduleError.noSuchSchedule("a")) {
                try await store.runNow(schedule: "a")
            }
        }
    }

    @Test("run now, its job is enqueued beside the plan, unless it would overlap")
    func runNow() async throws {
        try await withScheduleStore { store, runner, clock in
            try await store.add(schedule: .note("a", .cron("@hourly")) { $0.overlap = .skip })
            clock.advance(to: "2026-11-27 12:30:00")
            let job = try await store.runNow(schedule: "a")
            await #expect(throws: ScheduleError.unfinished(schedule: "a", job)) {
                try await store.runNow(schedule: "a")
            }
            try await expectEqual(runner.planned(), ["12:30"])
            clock.advance(to: "2026-11-27 13:00:00")
            try await expectEqual(runner.planned(), ["13:00"])
            #expect(try store.schedule(named: "a").firedCount == 2)
            try await store.pause(schedule: "a")
            // A person may all the same.
            try await store.runNow(schedule: "a")
            try await expectEqual(runner.planned(), ["13:00"])
            try await store.add(schedule: .note("b", .cron("@hourly")))
            async let one = store.runNow(schedule: "b")
            async let two = store.runNow(schedule: "b")
            let both = try await [one, two]
            #expect(both[0] != both[1])
            #expect(try await runner.drain().steps.count == 2)
            try await store.setCapacity(Capacity(jobs: 1), queue: "default")
            let _: JobHandle<NoResult> = try await store.enqueue(name: "x", payload: 1)
            await #expect(throws: ScheduleError.self) { try await store.runNow(schedule: "a") }
        }
    }

    @Test("what is wrong with a schedule is said, and nothing is added")
    func refused() async throws {
        try await withScheduleStore { store, _, _ in
            func refusal(_ schedule: Schedule) async -> String {
                do throws(ScheduleError) {
                    try await store.add(schedule: schedule)
                    return "added"
                } catch { return error.description }
            }
            var texts: [String] = []
            texts.append(await refusal(.note("no name", .cron("@daily"))))
            texts.append(await refusal(.note("a", .cron("0 0 30 2 *"))))
            texts.append(await refusal(.note("a", .cron("99 * * * *"))))
            texts.append(await refusal(.note("a", .cron("@daily"), in: "Mars/Olympus")))
            texts.append(await refusal(.note("a", .every(.microseconds(1)))))
            texts.append(await refusal(.note("a", .own { _ in nil })))
            texts.append(
                await refusal(.note("a", .cron("@daily")) { $0.jitter = .seconds(-1) }))
            texts.append(
                await refusal(.note("a", .cron("@daily")) { $0.missed = .all(atMost: 0) }))
            texts.append(
                await refusal(
                    .note("a", .cron("@daily")) {
                        $0.start = instant("2026-12-02")
                        $0.end = instant("2026-12-01")
                    }))
            texts.append(
                await refusal(
                    .note("a", .cron("@daily")) { $0.end = instant("2026-11-27 13:00:00") }))
            texts.append(
                await refusal(
                    Schedule(
                        job: "note", json: "{", .cron("@daily"), in: "UTC", name: "a")))
            texts.append(
                await refusal(
                    Schedule(
                        job: "note", json: "1", .cron("@daily"), in: "UTC",
                        options: EnqueueOptions(due: .after(.seconds(1))))))
            texts.append(
                await refusal(
                    Schedule(
                        job: "note", json: "1", .cron("@daily"), in: "UTC",
                        options: EnqueueOptions(unique: Uniqueness(key: "k")))))
            #expect(!texts.contains("added") && Set(texts).count == texts.count)
            #expect(texts[2].contains("99 * * * *\n^ a minute is 0 to 59"))
            #expect(texts[9].contains("none of its times is to come"))
            try expectEqual(store.schedules().count, 0)
        }
    }

    @Test("a schedule that is damaged comes no more, is reported, and can be removed; others go on")
    func damaged() async throws {
        try await withScheduleStore { store, runner, clock in
            for name in ["bad", "good", "worse"] {
                try await store.add(schedule: .note(name, .cron("@hourly")))
            }
            for key in ["nbad", "sworse"] {
                try store.open.performBlocking { (transaction, state) throws(StorageError) in
                    try withBytes(Array("rubbish".utf8)) { (value) throws(StorageError) in
                        try withBytes(Array(key.utf8)) { (key) throws(StorageError) in
                            try transaction.put(state.tables.schedules, key, value)
                        }
                    }
                }
            }
            let check = try StoreCheck.run(directory: store.path)
            #expect(check.findingCount == 2)
            #expect(check.findings.contains { $0.contains("\"worse\"") })
            clock.advance(to: "2026-11-27 13:00:00")
            try await expectEqual(runner.planned(), ["13:00"])
            clock.advance(to: "2026-11-27 14:00:00")
            try await expectEqual(runner.planned(), ["14:00"])
            #expect(throws: StoreError.self) { try store.schedules() }
            for name in ["bad", "worse"] { try await store.remove(schedule: name) }
            #expect(try store.schedules().map(\.name) == ["good"])
        }
    }

    @Test("schedules are found in one opening and another, and by the thousand")
    func listing() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let names = (0..<2_500).map { "s\($0)" }
        do {
            let store = try directory.open()
            for part in stride(from: 0, to: names.count, by: 500) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for name in names[part..<part + 500] {
                        group.addTask {
                            try await store.add(schedule: .note(name, .cron("@yearly")))
                        }
                    }
                    try await group.waitForAll()
                }
            }
            store.close()
        }
        let store = try directory.open()
        defer { store.close() }
        #expect(try store.schedules().map(\.name) == names.sorted())
        #expect(try store.schedule(named: "s17").rule == "@yearly")
    }
}
