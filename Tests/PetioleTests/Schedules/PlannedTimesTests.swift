import Testing

@testable import Petiole

@Suite("Planned times") struct PlannedTimesTests {
    /// The times of the clocks at which a rule comes, after an instant in UTC.
    private func times(
        _ text: String, _ zone: String, after instant: (Int, Int, Int, Int, Int), count: Int = 3,
        days: CronDays = .either, hasSeconds: Bool = false
    ) throws -> [String] {
        let zone = try ScheduleZone.named(zone)
        let rule = try CronRule(text, hasSeconds: hasSeconds, days: days)
        let planned = PlannedTimes(.cron(rule), in: zone)
        let date = CivilDate(year: instant.0, month: instant.1, day: instant.2)
        var last = CivilTime(date, instant.3, instant.4).seconds * 1_000_000
        var list: [String] = []
        while list.count < count, let next = planned.first(after: last) {
            let local = CivilTime(seconds: zone.local(next / 1_000_000))
            func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
            list.append(
                "\(local.date.year)-\(two(local.date.month))-\(two(local.date.day)) "
                    + "\(two(local.hour)):\(two(local.minute))"
                    + (hasSeconds ? ":\(two(local.second))" : ""))
            last = next
        }
        return list
    }

    @Test("a time that does not exist comes at the first instant after the gap, and once")
    func gap() throws {
        // Berlin, 2026-03-29: 02:00 becomes 03:00.
        #expect(
            try times("30 2 * * *", "Europe/Berlin", after: (2026, 3, 28, 0, 0))
                == ["2026-03-28 02:30", "2026-03-29 03:00", "2026-03-30 02:30"])
        #expect(
            try times("0,15,30 2-3 29 3 *", "Europe/Berlin", after: (2026, 3, 28, 0, 0), count: 4)
                == [
                    "2026-03-29 03:00", "2026-03-29 03:15", "2026-03-29 03:30", "2027-03-29 02:00",
                ])
        // Half an hour: Lord Howe, 2026-10-04 02:00 becomes 02:30.
        #expect(
            try times("10 2 * * *", "Australia/Lord_Howe", after: (2026, 10, 3, 0, 0))
                == ["2026-10-04 02:30", "2026-10-05 02:10", "2026-10-06 02:10"])
        // At midnight: Asuncion, 2023-10-01.
        #expect(
            try times("0 0 * * *", "America/Asuncion", after: (2023, 9, 30, 12, 0), count: 2)
                == ["2023-10-01 01:00", "2023-10-02 00:00"])
        // A day that never was: Apia, 2011-12-30.
        #expect(
            try times("0 12 * * *", "Pacific/Apia", after: (2011, 12, 29, 12, 0))
                == ["2011-12-29 12:00", "2011-12-31 00:00", "2011-12-31 12:00"])
    }

    @Test("a time that comes twice comes once, the first time")
    func fold() throws {
        // Berlin, 2026-10-25: 03:00 becomes 02:00.
        #expect(
            try times("30 2 * * *", "Europe/Berlin", after: (2026, 10, 24, 12, 0), count: 2)
                == ["2026-10-25 02:30", "2026-10-26 02:30"])
        let planned = PlannedTimes(
            .cron(try CronRule("30 2 * * *")), in: try .named("Europe/Berlin"))
        // 00:30 UTC is the first of both.
        let first = CivilTime(CivilDate(year: 2026, month: 10, day: 25), 0, 30).seconds * 1_000_000
        #expect(planned.first(after: first - 1) == first)
        #expect(planned.first(after: first) == first + (25 * 3_600) * 1_000_000)
        // Asked while it is shown the second time.
        #expect(planned.first(after: first + 1_800_000_000) == first + (25 * 3_600) * 1_000_000)
        #expect(
            try times("*/20 0 * * *", "America/Havana", after: (2026, 11, 1, 3, 50), count: 4)
                == ["2026-11-01 00:00", "2026-11-01 00:20", "2026-11-01 00:40", "2026-11-02 00:00"])
    }

    @Test("a rule of every hour goes on as time goes, when the clocks are set")
    func everyHour() throws {
        #expect(
            try times("30 * * * *", "Europe/Berlin", after: (2026, 3, 29, 0, 0))
                == ["2026-03-29 01:30", "2026-03-29 03:30", "2026-03-29 04:30"])
        #expect(
            try times("0,30 * 25 10 *", "Europe/Berlin", after: (2026, 10, 24, 23, 45), count: 5)
                == [
                    "2026-10-25 02:00", "2026-10-25 02:30", "2026-10-25 02:00", "2026-10-25 02:30",
                    "2026-10-25 03:00",
                ])
    }

    @Test("leap days, the 31st, the end of the year, and the two rules of days")
    func calendar() throws {
        #expect(
            try times("0 0 29 2 *", "UTC", after: (2026, 1, 1, 0, 0))
                == ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"])
        #expect(
            try times("0 0 29 2 *", "UTC", after: (2096, 3, 1, 0, 0), count: 1) == [
                "2104-02-29 00:00"
            ])
        #expect(
            try times("0 0 31 * *", "UTC", after: (2026, 1, 31, 0, 0))
                == ["2026-03-31 00:00", "2026-05-31 00:00", "2026-07-31 00:00"])
        #expect(
            try times("59 23 31 12 *", "UTC", after: (2026, 12, 31, 23, 58), count: 2)
                == ["2026-12-31 23:59", "2027-12-31 23:59"])
        #expect(
            try times("0 0 13 * fri", "UTC", after: (2026, 2, 7, 0, 0))
                == ["2026-02-13 00:00", "2026-02-20 00:00", "2026-02-27 00:00"])
        #expect(
            try times("0 0 13 * fri", "UTC", after: (2026, 3, 14, 0, 0), days: .both)
                == ["2026-11-13 00:00", "2027-08-13 00:00", "2028-10-13 00:00"])
        // A field that begins with a star restricts nothing, so both are met.
        #expect(
            try times("0 0 */7 * mon", "UTC", after: (2026, 6, 1, 0, 0), count: 2)
                == ["2026-06-08 00:00", "2026-06-15 00:00"])
    }

    @Test("seconds, microseconds, and instants before 1970")
    func seconds() throws {
        #expect(
            try times(
                "*/25 59 23 * * *", "UTC", after: (2026, 1, 1, 0, 0), count: 4, hasSeconds: true)
                == [
                    "2026-01-01 23:59:00", "2026-01-01 23:59:25", "2026-01-01 23:59:50",
                    "2026-01-02 23:59:00",
                ])
        let daily = PlannedTimes(.cron(try CronRule("@daily")), in: .utc)
        #expect(daily.first(after: -1) == 0)
        #expect(daily.first(after: 0) == 86_400_000_000)
        #expect(daily.first(after: -86_400_000_001) == -86_400_000_000)
        #expect(daily.first(after: .max) == nil && daily.first(after: .min) == nil)
    }

    @Test(
        "intervals are counted from their start or by the clock, and not affected when clocks are set"
    )
    func intervals() throws {
        let plain = PlannedTimes(.every(90_000_000, from: 30_000_000), in: .utc)
        #expect(plain.first(after: 29_999_999) == 30_000_000)
        #expect(plain.first(after: 30_000_000) == 120_000_000)
        #expect(plain.first(after: .max) == nil && plain.first(after: .max - 1) == nil)
        // In Kathmandu, 5 h 45 min east, an hour begins at a quarter past.
        let hourly = PlannedTimes.every(
            3_600_000_000, alignedToClockIn: try .named("Asia/Kathmandu"))
        #expect(hourly.first(after: 0) == 900_000_000)
        let berlin = try ScheduleZone.named("Europe/Berlin")
        let twoHours = PlannedTimes.every(7_200_000_000, alignedToClockIn: berlin)
        let march = CivilTime(CivilDate(year: 2026, month: 3, day: 28), 0, 0).seconds * 1_000_000
        var last = march
        for _ in 0..<24 {
            let next = try #require(twoHours.first(after: last))
            if last != march { #expect(next - last == 7_200_000_000) }
            last = next
        }
    }
}
