import ArgumentParser
import Petiole

/// `petiole schedule preview`: the coming planned times of a rule, without a store.
struct SchedulePreview: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Print the coming planned times of a rule. Needs no store.",
        discussion: """
            A rule is one of cron: minute, hour, day of the month, month and day of the week, as Vixie's cron and Celery \
            read them; or @hourly, @daily, @weekly, @monthly, @yearly; or @every and a while (@every 15m), by the clock.

            A time that the clocks never show, because they are put forward over it, comes when they have been; one \
            that they show twice comes the first time. A rule of every hour, and @every, go on as time goes.

            With --json one object each: v, planned (in UTC) and local (with its offset).

            EXAMPLES
              petiole schedule preview '0 3 * * 1-5' --zone Europe/Berlin
              petiole schedule preview '*/20 30 9 * * mon' --seconds --count 6
              petiole schedule preview '@every 90m' --from 2027-03-28 --json
            """)

    @Argument(help: "The rule, in quotes.")
    var rule: String

    @Option(
        help: ArgumentHelp(
            "The time zone whose clocks count; without it that of this system.", valueName: "zone"))
    var zone: String?

    @Option(
        help: ArgumentHelp(
            "The times after this one: now, a while from now (2d), or an instant (2027-03-28T01:00), by the zone's clocks.",
            valueName: "time"))
    var from = "now"

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many times, 1 to 100,000.", valueName: "n"))
    var count = 10

    @Flag(help: "A sixth field, in front of the others, is for seconds.")
    var seconds = false

    @Flag(
        help: "When day of the month and day of the week are both restricted, both are to be met.")
    var bothDays = false

    @Flag(help: "Print a JSON object for each time.")
    var json = false

    func validate() throws {
        guard (1...100_000).contains(count) else {
            throw ValidationError("--count takes 1 to 100000")
        }
    }

    func run() throws {
        let zone = try ScheduleZone.named(zone ?? ScheduleZone.systemName())
        let now = WallTime(microseconds: StoreClock().now)
        let from = try ScheduleText.instant(from, of: "--from", in: zone, now)
        let (times, words) = try planned(zone)
        if !json { Standard.output.line("\(words), \(zone.name)") }
        show(times, after: from, zone)
    }

    private func planned(
        _ zone: ScheduleZone
    ) throws(ScheduleError) -> (PlannedTimes, words: String) {
        if let interval = try ScheduleText.every(rule) {
            let microseconds = Int64(interval.wholeMicroseconds)
            let words = "every \(IntervalText.text(microseconds)) by the clock"
            return (.every(microseconds, alignedToClockIn: zone), words)
        }
        let cron = try CronRule(rule, hasSeconds: seconds, days: bothDays ? .both : .either)
        return (PlannedTimes(.cron(cron), in: zone), cron.description)
    }

    private func show(_ times: PlannedTimes, after from: WallTime, _ zone: ScheduleZone) {
        var instant = from.microseconds
        for index in 0..<count {
            guard let next = times.first(after: instant) else {
                if !json {
                    Standard.output.line(index == 0 ? "no time any more" : "no more times")
                }
                return
            }
            instant = next
            let time = WallTime(microseconds: next)
            guard json else {
                Standard.output.line(ZoneTime.text(time, zone))
                continue
            }
            var line = JSONLine()
            ScheduleText.add(time, zone, to: &line)
            Standard.output.line(line.line)
        }
    }
}
