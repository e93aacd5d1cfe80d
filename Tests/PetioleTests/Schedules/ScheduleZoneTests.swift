import Foundation
import Testing

@testable import Petiole

@Suite("Time zones of schedules") struct ScheduleZoneTests {
    /// Whose rules have not changed since Foundation's and any system's data were made.
    static let names = [
        "UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles",
        "America/St_Johns", "Australia/Lord_Howe", "Australia/Sydney", "Asia/Kathmandu",
        "Asia/Kolkata", "Asia/Tokyo", "America/Asuncion", "America/Havana", "Asia/Beirut",
        "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Atlantic/Azores", "Africa/Cairo",
        "America/Santiago",
    ]

    @Test("offsets are those that Foundation has", arguments: names)
    func offsets(name: String) throws {
        let zone = try ScheduleZone.named(name)
        let other = try #require(TimeZone(identifier: name))
        var random = SeededRandom(UInt64(name.count))
        // Before 1980 the two keep different pasts.
        for _ in 0..<500 {
            let second = Int64.random(in: 315_532_800...1_700_000_000, using: &random)
            let offset = other.secondsFromGMT(for: Date(timeIntervalSince1970: Double(second)))
            #expect(zone.offset(at: second) == Int64(offset), "at \(second)")
        }
    }

    @Test("clocks go on being set behind the last transition of the file")
    func far() throws {
        let berlin = try ScheduleZone.named("Europe/Berlin")
        // 2999-07-01 and 2999-12-01.
        #expect(
            berlin.offset(at: CivilTime(CivilDate(year: 2_999, month: 7, day: 1), 0, 0).seconds)
                == 7_200)
        #expect(
            berlin.offset(at: CivilTime(CivilDate(year: 2_999, month: 12, day: 1), 0, 0).seconds)
                == 3_600)
        let howe = try ScheduleZone.named("Australia/Lord_Howe")
        #expect(
            howe.offset(at: CivilTime(CivilDate(year: 2_500, month: 1, day: 1), 0, 0).seconds)
                == 39_600)
        #expect(howe.offset(at: .max) == 37_800 || howe.offset(at: .max) == 39_600)
        #expect(howe.offset(at: .min) != 0)
    }

    @Test(
        "rules of POSIX are read",
        arguments: [
            ("CET-1CEST,M3.5.0,M10.5.0/3", 3_600, 2_026, [1_774_746_000, 1_792_890_000]),
            (
                "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 37_800, 2_026,
                [1_775_314_800, 1_791_041_400]
            ),
            ("EST5EDT,J60/-1,300/167:30", -18_000, 2_024, []),
            ("JST-9", 32_400, 2_026, []),
        ] as [(String, Int64, Int, [Int64])])
    func rules(text: String, standard: Int64, year: Int, transitions: [Int64]) throws {
        let rule = try #require(TimeZoneRule(text))
        #expect(rule.standard == standard)
        if !transitions.isEmpty { #expect(rule.transitions(year).map { $0.at } == transitions) }
    }

    @Test(
        "what is no rule of POSIX is refused",
        arguments: [
            "", "CET", "C-1", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
            "CET-25", "<+03", "CET-1CEST,M3.5.0,M10.5.0/168", "CET-1CEST,J0,J1", "CET-1 ",
        ])
    func noRules(text: String) {
        #expect(TimeZoneRule(text) == nil)
    }

    @Test("a zone that is none is refused with what names are like")
    func unknown() {
        for name in ["", "Europe/Nowhere", "../etc/passwd", "/etc/passwd", "Europe", "zone.tab"] {
            #expect(throws: ScheduleError.self, "\(name)") { try ScheduleZone.named(name) }
        }
    }

    @Test("whatever the bytes of a zone's file are, reading them gives a zone or none")
    func bytes() throws {
        let paths = [
            "/usr/share/zoneinfo/Europe/Berlin", "/var/db/timezone/zoneinfo/Europe/Berlin",
        ]
        let data = try #require(paths.compactMap { FileManager.default.contents(atPath: $0) }.first)
        let whole = Array(data)
        #expect(TimeZoneFile(whole) != nil)
        for end in stride(from: 0, to: whole.count, by: 7) {
            #expect(TimeZoneFile(Array(whole[..<end])) == nil)
        }
        var random = SeededRandom(1)
        for _ in 0..<2_000 {
            var changed = whole
            changed[Int.random(in: 0..<whole.count, using: &random)] = .random(
                in: 0...255, using: &random)
            _ = TimeZoneFile(changed)
        }
    }

    @Test("days of the calendar are counted as they come, over leap days and centuries")
    func days() {
        var date = CivilDate(year: 1_599, month: 12, day: 31)
        var days = date.days
        #expect(CivilDate(year: 1_970, month: 1, day: 1).days == 0)
        #expect(CivilDate(year: 2_000, month: 2, day: 29).weekday == 2)
        while date.year < 2_101 {
            let isLast = date.day == CivilDate.daysIn(month: date.month, of: date.year)
            date = CivilDate(
                year: isLast && date.month == 12 ? date.year + 1 : date.year,
                month: isLast ? date.month % 12 + 1 : date.month, day: isLast ? 1 : date.day + 1)
            days += 1
            guard date.days == days, CivilDate(days: days) == date else {
                Issue.record("\(date) is day \(days)")
                return
            }
        }
    }
}
