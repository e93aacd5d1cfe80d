import Foundation
import Petiole

// The examples of Schedules.md: see `Examples.swift`.

enum ScheduleExamples {
    struct Export: Job {
        var table: String

        func run(_ context: JobContext) throws -> String {
            // The day that it is for, also when it runs late.
            let day = context.plannedTime?.description.prefix(10) ?? "today"
            return "\(table)-\(day).csv"
        }
    }

    struct Poll: Job {
        func run(_ context: JobContext) -> Int { 0 }
    }

    static func declare(_ store: JobStore) throws -> JobRunner {
        var options = JobRunner.Options()
        options.program = "etl"
        options.schedules = [
            .cron("0 3 * * *", in: "Europe/Berlin", job: Export(table: "orders")),
            .every(.seconds(900), alignedTo: .clock, job: Poll()),
        ]
        return try JobRunner(store, jobs: [Export.self, Poll.self], options: options)
    }

    static func add(_ store: JobStore) async throws -> WallTime {
        var monthly = Schedule.cron(
            "30 6 1 * *", in: "America/New_York", job: Export(table: "accounts"),
            name: "accounts", options: EnqueueOptions(expiry: .after(.seconds(6 * 3_600))))
        monthly.missed = .all(atMost: 12)
        monthly.overlap = .queueOne
        monthly.jitter = .seconds(300)
        monthly.excludedDates = [CivilDate(year: 2027, month: 1, day: 1)]
        return try await store.add(schedule: monthly)
    }

    static func watch(_ store: JobStore) async throws -> [String] {
        try await store.pause(schedule: "accounts")
        try await store.resume(schedule: "accounts")
        let job = try await store.runNow(schedule: "accounts")
        let state = try store.state(of: job)
        return try store.schedules().map { schedule in
            "\(schedule.name): \(schedule.description), next \(schedule.next?.description ?? "never"), \(state)"
        }
    }

    static func fridays() throws -> [WallTime] {
        // The last Friday of each month: a rule of one's own.
        let calendar = Calendar(identifier: .gregorian)
        let schedule = Schedule(
            Poll(),
            .own { after in
                var day = Date(timeIntervalSince1970: Double(after.microseconds / 1_000_000))
                while true {
                    day = calendar.nextDate(
                        after: day, matching: DateComponents(hour: 17, weekday: 6),
                        matchingPolicy: .nextTime)!
                    let month = calendar.range(of: .day, in: .month, for: day)!
                    if calendar.component(.day, from: day) > month.count - 7 {
                        return WallTime(microseconds: Int64(day.timeIntervalSince1970) * 1_000_000)
                    }
                }
            }, in: "UTC", name: "fridays")
        return try schedule.plannedTimes(
            after: WallTime(microseconds: 1_800_000_000_000_000), count: 3)
    }
}
