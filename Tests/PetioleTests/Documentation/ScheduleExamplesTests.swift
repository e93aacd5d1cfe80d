import Foundation
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Examples of Schedules.md", .timeLimit(.minutes(10))) struct ScheduleExamplesTests {
    @Test("declared schedules are there, and give what the page says")
    func declared() async throws {
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        try await withStore(clock: clock) { store in
            try await ScheduleExamples.declare(store).run {}
            #expect(
                try store.schedules().map { "\($0.name) \($0.next!)" } == [
                    "Export 2026-11-28T02:00:00Z", "Poll 2026-11-27T12:15:00Z",
                ])
            clock.advance(to: "2026-11-28 02:20:00")
            try await ScheduleExamples.declare(store).run {
                while try store.schedule(named: "Export").firedCount == 0 { try await turn() }
            }
            let job = try #require(try store.schedule(named: "Export").lastJob)
            let result = store.handle(of: job, as: ScheduleExamples.Export.self)
            try await expectEqual(result.result, "orders-2026-11-28.csv")
        }
    }

    @Test("a schedule is added, paused, resumed, run and listed")
    func added() async throws {
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-12-02 12:00:00")
        try await withStore(clock: clock) { store in
            let first = try await ScheduleExamples.add(store)
            // The first of January is excluded.
            #expect(first == instant("2027-02-01 11:30:00"))
            let lines = try await ScheduleExamples.watch(store)
            #expect(lines.count == 1)
            #expect(
                lines[0].hasPrefix(
                    "accounts: at 06:30 on day 1 of the month, next 2027-02-01T11:30:00Z"))
        }
    }

    @Test("a rule of one's own gives the last Fridays")
    func own() throws {
        let days = try ScheduleExamples.fridays().map {
            CivilTime(seconds: $0.microseconds / 1_000_000).date
        }
        #expect(days.allSatisfy { $0.weekday == 5 && $0.day > 21 })
        #expect(days.map(\.month) == [1, 2, 3])
    }

    @Test("commands of the page print what it says")
    func preview() throws {
        let times = try Schedule.cron(
            "30 2 * * *", in: "Europe/Berlin", job: ScheduleExamples.Poll()
        ).plannedTimes(after: instant("2026-10-24 12:00:00"), count: 2)
        #expect(times.map(\.description) == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"])
    }
}
