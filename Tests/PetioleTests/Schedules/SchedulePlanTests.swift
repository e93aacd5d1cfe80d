import Testing

@testable import Petiole

@Suite("Plans of schedules") struct SchedulePlanTests {
    private func plan(
        _ rule: String, in zone: String = "UTC", seconds: Bool = false
    ) throws -> SchedulePlan {
        SchedulePlan(
            PlannedTimes(.cron(try CronRule(rule, hasSeconds: seconds)), in: try .named(zone)))
    }

    private func times(_ plan: SchedulePlan, after: String, count: Int) -> [String] {
        var last = instant(after).microseconds
        var times: [String] = []
        while times.count < count, let next = plan.first(after: last) {
            times.append(WallTime(microseconds: next).description)
            last = next
        }
        return times
    }

    @Test("no time lies before the start, behind the end, or on an excluded date of the zone")
    func bounds() throws {
        var plan = try plan("0 0,12 * * *", in: "Asia/Tokyo")
        plan.start = instant("2026-12-24 03:00:00").microseconds
        plan.end = instant("2026-12-27 15:00:00").microseconds
        plan.excluded = [
            CivilDate(year: 2_026, month: 12, day: 25), CivilDate(year: 2_026, month: 12, day: 26),
        ].map { Int32($0.days) }
        // Midnight in Tokyo is at 15:00 of the day before.
        #expect(
            times(plan, after: "2026-11-27 12:00:00", count: 10) == [
                "2026-12-24T03:00:00Z", "2026-12-26T15:00:00Z", "2026-12-27T03:00:00Z",
                "2026-12-27T15:00:00Z",
            ])
        plan.excluded = (0..<1_000).map { Int32($0 + 20_000) }
        plan.end = .max
        #expect(times(plan, after: "2020-01-01 00:00:00", count: 1) == ["2027-06-30T15:00:00Z"])
    }

    @Test(
        "an excluded date of every second is passed over at once, also where clocks are set at midnight"
    )
    func excludedSeconds() throws {
        for zone in ["America/Asuncion", "America/Havana", "Asia/Beirut", "Pacific/Apia"] {
            var plan = try plan("* * * * * *", in: zone, seconds: true)
            let days = [
                CivilDate(year: 2_011, month: 12, day: 29),
                CivilDate(year: 2_012, month: 4, day: 1),
                CivilDate(year: 2_012, month: 3, day: 31),
            ]
            plan.excluded = days.map { Int32($0.days) }.sorted()
            for day in days {
                let noon = CivilTime(day, 12, 0, 0).seconds
                guard case .at(let second, _) = plan.times.zone.showing(noon) else { continue }
                let next = try #require(plan.first(after: second * 1_000_000)) / 1_000_000
                let local = CivilTime(seconds: plan.times.zone.local(next))
                #expect(!days.contains(local.date), "\(zone)")
                // The very first second that is not excluded.
                let before = CivilTime(seconds: plan.times.zone.local(next - 1))
                #expect(days.contains(before.date), "\(zone)")
            }
        }
    }

    @Test("the last time before an instant is the one that going through all of them comes to")
    func last() throws {
        let start = instant("2026-01-01 00:00:00").microseconds
        let end = instant("2027-01-01 00:00:00").microseconds
        var random = SeededRandom(26)
        let rules = ["0 3 29 2,3 *", "*/15 * * * *", "30 2 * * *", "0 0 1 1 *", "59 23 31 * *"]
        for rule in rules {
            let plan = try plan(rule, in: "Europe/Berlin")
            var all: [Int64] = []
            var time = start
            while let next = plan.first(after: time), next <= end {
                all.append(next)
                time = next
            }
            for _ in 0..<100 {
                let instant = Int64.random(in: start...end, using: &random)
                #expect(
                    plan.last(notAfter: instant, laterThan: start)
                        == all.last { $0 <= instant }, "\(rule) \(instant)")
            }
            for exact in all.prefix(20) {
                #expect(plan.last(notAfter: exact, laterThan: start) == exact)
                #expect(plan.last(notAfter: exact, laterThan: exact) == nil)
            }
        }
    }

    @Test("what has come is found alike by going through it and from behind")
    func due() throws {
        let plan = try plan("*/10 * * * * *", seconds: true)
        let first = instant("2026-11-27 12:00:00").microseconds
        let step: Int64 = 10_000_000
        for come in [1, 2, 3, 999, 1_000, 1_001, 1_002, 50_000] as [Int64] {
            let now = first + (come - 1) * step + 9_999_999
            let newest = first + (come - 1) * step
            let once = DueTimes(plan, from: first, now: now, .once)
            #expect(once.runs == [newest] && once.next == newest + step, "\(come)")
            #expect(once.missed == (come <= 1_000 ? Int(come) - 1 : 1_000), "\(come)")
            let all = DueTimes(plan, from: first, now: now, .all(atMost: 5))
            let wanted = (0..<min(come, 5)).reversed().map { newest - $0 * step }
            #expect(all.runs == wanted && all.next == newest + step, "\(come)")
            let skip = DueTimes(plan, from: first, now: now, .skip(laterThan: .seconds(9)))
            #expect(skip.runs.isEmpty && skip.next == newest + step)
            let close = DueTimes(plan, from: first, now: now, .skip(laterThan: .seconds(10)))
            #expect(close.runs == [newest])
        }
        // Years of seconds are not gone through.
        let each = try self.plan("* * * * * *", seconds: true)
        let far = instant("2096-01-01 00:00:00").microseconds
        let late = DueTimes(each, from: first, now: far, .all(atMost: 3))
        #expect(late.runs == [far - 2_000_000, far - 1_000_000, far])
        #expect(late.missed == 1_000)
    }

    @Test("jitter is drawn once for a time, is less than it may be, and ends before the next time")
    func jitter() throws {
        var plan = try plan("*/5 * * * *")
        plan.jitter = 3_600_000_000
        plan.seed = 42
        var other = plan
        other.seed = 43
        var time = instant("2026-11-27 12:00:00").microseconds
        var offsets: Set<Int64> = []
        var last: Int64 = 0
        for _ in 0..<200 {
            let next = try #require(plan.first(after: time))
            let firing = plan.firing(of: next)
            #expect(firing >= next && firing < next + 300_000_000 && firing > last)
            #expect(firing == plan.firing(of: next))
            #expect(firing != other.firing(of: next))
            offsets.insert(firing - next)
            (time, last) = (next, firing)
        }
        // Spread over all of it.
        #expect(offsets.count == 200)
        #expect(offsets.min()! < 30_000_000 && offsets.max()! > 270_000_000)
        // The newest has come and is not to be fired yet: it is the next one, the one before is due.
        for _ in 0..<50 {
            let next = try #require(plan.first(after: time))
            let firing = plan.firing(of: next)
            let early = DueTimes(plan, from: time, now: firing - 1, .once)
            #expect(early.next == next)
            let far = DueTimes(plan, from: time - 100_000 * 300_000_000, now: firing - 1, .once)
            #expect(far.next == next && far.runs == [time])
            time = next
        }
    }
}
