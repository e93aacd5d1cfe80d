import CYardsticks
import Foundation
import Petiole

/// What schedules cost: finding the next time of a rule; and with 100,000 of them opening the store, firing a thousand that are due
/// in the same second, and having none due.
extension Family {
    static let schedules = Family(name: "schedules") { setup in
        let count = setup.count(100_000, quick: 5_000)
        let searches = [try search(setup), try hardestSearch(setup)]
        return try await setup.withPath("schedules") { path in
            try await fill(path, count)
            let opening = try openRow(path, "\(count.formatted()) schedules")
            let idle = try Idle(setup, path)
            let firing = try await firing(setup, path, beside: count)
            return searches + [
                opening, firing,
                Row(
                    name:
                        "idle runner, \(count.formatted()) schedules, wake-ups in 10 s, over \(idle.seconds) s",
                    figure: idle.waits, yardstick: Yardstick("without a runner", idle.bareWaits),
                    target: .yardstickPlus(1)),
            ]
        }
    }

    /// What people write, and where clocks are set.
    private static let common = [
        "*/5 * * * *", "0 * * * *", "0 3 * * *", "30 2 * * 1-5", "0 9 1 * *",
        "15,45 8-18 * * mon-fri",
    ]

    private static func search(_ setup: Setup) throws -> Row {
        let count = setup.count(10_000, quick: 1_000)
        var times: [Double] = []
        for rule in common {
            let schedule = Schedule(
                Noop.self, payload: [], .cron(rule), in: "Europe/Berlin")
            let from = WallTime(microseconds: 1_800_000_000_000_000)
            var best = Double.infinity
            for _ in 0..<3 {
                let start = now_nanoseconds()
                let found = try schedule.plannedTimes(after: from, count: count)
                best = min(best, Double(now_nanoseconds() - start) / Double(found.count))
            }
            times.append(best)
        }
        return Row(
            name: "the next planned time of a common rule of cron, mean of \(common.count)",
            figure: Figure(times.reduce(0, +) / Double(times.count) / 1_000, .microseconds),
            target: .atMost(Figure(5, .microseconds)))
    }

    /// Those that are known to be far apart, each excluded as often as may be.
    private static func hardestSearch(_ setup: Setup) throws -> Row {
        let hard: [(String, CronDays)] = [
            ("0 0 29 2 1", .both), ("30 2 29 2 *", .either), ("59 23 31 12 5", .both),
            ("* * * * *", .either), ("30 2 * * 7", .either),
        ]
        var worst = 0.0
        for (rule, days) in hard {
            for zone in ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"] {
                var schedule = Schedule(
                    Noop.self, payload: [], .cron(rule, days: days), in: zone)
                let from = WallTime(microseconds: 1_800_000_000_000_000)
                // The thousand dates that come first are excluded.
                var dates: Set<CivilDate> = []
                for time in try schedule.plannedTimes(after: from, count: 100_000) {
                    if dates.count == 1_000 { break }
                    let day = Date(timeIntervalSince1970: Double(time.microseconds) / 1e6 + 7_200)
                    let parts = Calendar(identifier: .iso8601).dateComponents(
                        in: TimeZone(identifier: "UTC")!, from: day)
                    dates.insert(
                        CivilDate(year: parts.year!, month: parts.month!, day: parts.day!))
                }
                for excluded in [[], dates] {
                    schedule.excludedDates = excluded
                    var best = Double.infinity
                    for _ in 0..<5 {
                        let start = now_nanoseconds()
                        _ = try schedule.plannedTimes(after: from, count: 1)
                        best = min(best, Double(now_nanoseconds() - start))
                    }
                    worst = max(worst, best)
                }
            }
        }
        return Row(
            name: "the same of the hardest that are known, with 1,000 excluded dates",
            figure: Figure(worst / 1_000, .microseconds),
            target: .atMost(Figure(1_000, .microseconds)))
    }

    private static func fill(_ path: String, _ count: Int) async throws {
        let store = try JobStore(at: path)
        defer { store.close() }
        let far = WallTime(microseconds: Int64(Date().timeIntervalSince1970 + 86_400) * 1_000_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<64 {
                group.addTask {
                    for number in stride(from: task, to: count, by: 64) {
                        var schedule = Schedule(
                            Noop.self, payload: Noop.payload(number), .cron("*/5 * * * *"),
                            in: "Europe/Berlin", name: "s\(number)")
                        schedule.start = far
                        try await store.add(schedule: schedule)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// From the second in which they are due to the last outcome of their jobs.
    private static func firing(
        _ setup: Setup, _ path: String, beside others: Int
    ) async throws -> Row {
        let count = setup.count(1_000, quick: 100)
        let store = try JobStore(at: path)
        defer { store.close() }
        let runner = try JobRunner(store, jobs: [Noop.self])
        return try await runner.run {
            var best = Double.infinity
            for round in 0..<setup.rounds {
                // Three seconds, in which they are added.
                let due = Int64(Date().timeIntervalSince1970 + 3) * 1_000_000
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<32 {
                        group.addTask {
                            for number in stride(from: task, to: count, by: 32) {
                                try await store.add(
                                    schedule: Schedule(
                                        Noop.self, payload: Noop.payload(number),
                                        .at(WallTime(microseconds: due)), in: "UTC",
                                        name: "at-\(round)-\(number)"))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let wanted = count * (round + 1)
                for await counts in store.countsStream() where counts.succeeded >= wanted { break }
                let now = Date().timeIntervalSince1970 * 1_000_000
                best = min(best, now - Double(due))
            }
            return Row(
                name:
                    "\(count.formatted()) schedules due in one second beside \(others.formatted()), until all their jobs have ended",
                figure: Figure(best / 1_000, .milliseconds),
                target: .atMost(Figure(100, .milliseconds)))
        }
    }
}
