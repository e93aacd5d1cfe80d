import Testing

@testable import Petiole

@Suite("Planned times at random") struct RandomPlannedTimesTests {
    /// Nil: it never comes true.
    private static func rule(_ drawn: DrawnRule) throws -> CronRule? {
        do {
            return try CronRule(drawn.text, days: drawn.days)
        } catch {
            guard case .neverFires = error else { throw error }
            return nil
        }
    }

    @Test(
        "planned times are those that a search by minute finds, also when clocks are set",
        arguments: 0..<10)
    func random(seed: Int) throws {
        var random = SeededRandom(UInt64(seed))
        // Where clocks are set on a quarter of an hour.
        let names = ScheduleZoneTests.names.filter {
            $0 != "Pacific/Apia" && $0 != "America/St_Johns"
        }
        var searches: [String: (MinuteSearch, [Int])] = [:]
        var count = 0
        while count < 1_000 {
            let drawn = DrawnRule(&random)
            guard let rule = try Self.rule(drawn) else { continue }
            count += 1
            let name = names.randomElement(using: &random)!
            if searches[name] == nil {
                let search = MinuteSearch(name)
                searches[name] = (search, search.transitions)
            }
            let (search, transitions) = searches[name]!
            var start = Int.random(in: 7_889_760..<27_875_520, using: &random)
            if Bool.random(using: &random), let near = transitions.randomElement(using: &random) {
                start = near - Int.random(in: 0..<1_500, using: &random)
            }
            let range = start..<start + 2_160
            let planned = PlannedTimes(.cron(rule), in: try .named(name))
            var ours: [Int] = []
            var last = Int64(range.lowerBound) * 60_000_000 - 1
            while let next = planned.first(after: last), next < Int64(range.upperBound) * 60_000_000
            {
                ours.append(Int(next / 60_000_000))
                last = next
            }
            let theirs = search.planned(drawn, range)
            guard ours == theirs else {
                Issue.record(
                    "\(drawn.text) \(drawn.days) in \(name) from minute \(start): \(ours) for \(theirs)"
                )
                return
            }
        }
    }
}
