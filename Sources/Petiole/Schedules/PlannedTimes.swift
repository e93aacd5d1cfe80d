/// The planned times of a rule, one after the other: a pure function of rule, zone and instant.
package struct PlannedTimes: Sendable {
    /// When something comes.
    package enum Rule: Sendable {
        case cron(CronRule)
        /// Each so many microseconds, 1 or more, counted from an instant.
        case every(Int64, from: Int64)
        /// One instant.
        case at(Int64)
        /// A program's own.
        case own(@Sendable (WallTime) -> WallTime?)
    }

    package let rule: Rule
    package let zone: ScheduleZone

    package init(_ rule: Rule, in zone: ScheduleZone) {
        self.rule = rule
        self.zone = zone
    }

    /// Each so many microseconds by the clock: counted from a midnight of the zone's time as it is now when the clocks are not
    /// put forward, so that a quarter of an hour comes on the quarter. The clocks being set changes nothing.
    package static func every(
        _ microseconds: Int64, alignedToClockIn zone: ScheduleZone
    ) -> PlannedTimes {
        PlannedTimes(.every(microseconds, from: -zone.standardOffset * 1_000_000), in: zone)
    }

    /// The first planned time after an instant, both in microseconds since 1970; nil: there is none any more. No more than some
    /// hundreds of steps, whatever the rule.
    package func first(after instant: Int64) -> Int64? {
        switch rule {
        case .at(let time): return time > instant ? time : nil
        case .own(let next):
            // One that is not later is none: it would come again and again.
            guard let time = next(WallTime(microseconds: instant))?.microseconds else { return nil }
            return time > instant ? time : nil
        case .every(let interval, let start):
            let (ahead, overflow) = instant.subtractingReportingOverflow(start)
            guard !overflow else { return nil }
            let count = Int(ahead).floorDivided(by: Int(interval))
            let (sum, isTooFar) = (start + Int64(count) * interval)
                .addingReportingOverflow(interval)
            return isTooFar ? nil : sum
        case .cron(let rule):
            // What comes within this second has come.
            let second = Int64(Int(instant).floorDivided(by: 1_000_000))
            // Sums with years and offsets are to fit.
            guard abs(second) < 1 << 41 else { return nil }
            let found =
                rule.isEveryHour ? elapsing(rule, from: second + 1) : shown(rule, after: second)
            return found.map { $0 * 1_000_000 }
        }
    }

    /// As the clocks show it: what they never show comes when they have been put forward over it, what they show twice comes the
    /// first time.
    private func shown(_ rule: CronRule, after second: Int64) -> Int64? {
        var local = zone.local(second) + 1
        while let next = rule.firstLocal(from: local) {
            switch zone.showing(next) {
            case .skipped(let at):
                if at > second { return at }
                local = next + 1
            case .at(let found, let until):
                if found > second { return found }
                // It is being shown a second time, as is all until then.
                local = max(next + 1, until ?? 0)
            }
        }
        return nil
    }

    /// As time goes: each second at which the clocks show it.
    private func elapsing(_ rule: CronRule, from first: Int64) -> Int64? {
        var second = first
        var before: Int64?
        while true {
            let period = zone.period(at: second)
            guard let next = rule.firstLocal(from: second + period.offset) else { return nil }
            let found = next - period.offset
            if found < period.end { return found }
            // Looked for from a time that the clocks were set to, it is still the next one: so nothing comes before, and they are
            // put back by a day at most.
            second = next == before ? max(period.end, found - 4 * 86_400) : period.end
            before = next
        }
    }
}
