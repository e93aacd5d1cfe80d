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
            "The times after this one: now, a while from now (2d), or an instant (2027-03-28T01:00Z).",
            valueName: "time"),
        transform: Moment.future)
    var from: Moment = .after(.zero)

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
        do throws(ScheduleError) {
            let zone = try ScheduleZone.named(zone ?? ScheduleZone.systemName())
            let (times, words) = try planned(zone)
            if !json { Standard.output.line("\(words), \(zone.name)") }
            show(times, zone)
        } catch {
            throw Failure.usage(error.description)
        }
    }

    private func planned(
        _ zone: ScheduleZone
    ) throws(ScheduleError) -> (PlannedTimes, words: String) {
        if let interval = try Self.interval(rule) {
            let microseconds = Int64(interval.wholeMicroseconds)
            let words = "every \(TimeText.duration(interval)) by the clock"
            return (.every(microseconds, alignedToClockIn: zone), words)
        }
        let cron = try CronRule(rule, hasSeconds: seconds, days: bothDays ? .both : .either)
        return (PlannedTimes(.cron(cron), in: zone), cron.description)
    }

    private func show(_ times: PlannedTimes, _ zone: ScheduleZone) {
        var instant = from.instant(WallTime(microseconds: StoreClock().now)).microseconds
        for index in 0..<count {
            guard let next = times.first(after: instant) else {
                if !json {
                    Standard.output.line(index == 0 ? "no time any more" : "no more times")
                }
                return
            }
            instant = next
            Standard.output.line(json ? Self.json(next, zone) : Self.text(next, zone))
        }
    }

    /// `@every` and a while; nil: it is no such rule.
    private static func interval(_ rule: String) throws(ScheduleError) -> Duration? {
        let word = "@every"
        guard rule.lowercased().hasPrefix(word) else { return nil }
        let rest = rule.dropFirst(word.count)
        let text = rest.drop { $0 == " " }
        guard rest.isEmpty || rest.first == " ", let interval = TimeText.age(String(text)),
            interval > .zero
        else {
            throw .unreadableRule(
                rule, at: rule.utf8.count - text.utf8.count,
                expected: "a number of 1 or more and s, m, h, d or w are expected: @every 15m")
        }
        return interval
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

    private static func text(_ instant: Int64, _ zone: ScheduleZone) -> String {
        let (local, offset) = local(instant, zone)
        return "\(weekdays[local.date.weekday]) \(date(local)) \(clock(local)) \(offset)"
    }

    private static func json(_ instant: Int64, _ zone: ScheduleZone) -> String {
        let (local, offset) = local(instant, zone)
        var line = JSONLine()
        line.add("planned", TimeText.iso(WallTime(microseconds: instant)))
        line.add("local", "\(date(local))T\(clock(local))\(offset)")
        return line.line
    }

    private static func local(
        _ instant: Int64, _ zone: ScheduleZone
    ) -> (CivilTime, offset: String) {
        let second = instant / 1_000_000 - (instant % 1_000_000 < 0 ? 1 : 0)
        let offset = Int(zone.offset(at: second))
        let minutes = abs(offset) / 60
        let seconds = abs(offset) % 60
        var text = (offset < 0 ? "-" : "+") + padded(minutes / 60) + ":" + padded(minutes % 60)
        if seconds != 0 { text += ":" + padded(seconds) }
        return (CivilTime(seconds: second + Int64(offset)), text)
    }

    private static func date(_ time: CivilTime) -> String {
        "\(padded(time.date.year, to: 4))-\(padded(time.date.month))-\(padded(time.date.day))"
    }

    private static func clock(_ time: CivilTime) -> String {
        "\(padded(time.hour)):\(padded(time.minute)):\(padded(time.second))"
    }

    private static func padded(_ number: Int, to width: Int = 2) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
