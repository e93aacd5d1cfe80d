/// What holds of a day when a rule of cron restricts both the day of the month and the day of the week.
public enum CronDays: Sendable, Hashable {
    /// One of both is met: as Vixie's cron has it.
    case either
    /// Both are met: as Celery has it.
    case both
}

/// Times of the clocks by their fields, as cron has them: `minute hour day month weekday`.
///
/// Read is what Vixie's cron and Celery's `crontab` read: numbers, names of months and weekdays, lists, ranges, also such as go
/// over the end (`fri-mon`), steps, and `@hourly` and its like; with a sixth field in front for seconds when that is asked for.
package struct CronRule: Sendable {
    package let text: String
    package let days: CronDays
    let second, minute, hour, day, month, weekday: CronField

    private static let macros = [
        "yearly": "0 0 1 1 *", "annually": "0 0 1 1 *", "monthly": "0 0 1 * *",
        "weekly": "0 0 * * 0", "daily": "0 0 * * *", "midnight": "0 0 * * *",
        "hourly": "0 * * * *",
    ]

    /// - Parameter hasSeconds: whether there is a sixth field, in front of the others.
    package init(
        _ text: String, hasSeconds: Bool = false, days: CronDays = .either
    ) throws(ScheduleError) {
        self.text = text
        self.days = days
        if text.hasPrefix("@") {
            let name = String(text.dropFirst()).lowercased()
            guard let meaning = Self.macros[name] else {
                throw .unreadableRule(
                    text, at: 1,
                    expected: name == "reboot"
                        ? "there is no reboot for a store: enqueue the job when your program starts"
                        : "hourly, daily, midnight, weekly, monthly, yearly or annually is expected"
                )
            }
            let rule = try CronRule(meaning, days: days)
            (second, minute, hour) = (rule.second, rule.minute, rule.hour)
            (day, month, weekday) = (rule.day, rule.month, rule.weekday)
            return
        }
        var kinds = CronField.Kind.allCases[...]
        if !hasSeconds { kinds = kinds.dropFirst() }
        let parts = text[...].utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        guard parts.count >= kinds.count else {
            let next = CronField.name(kinds[kinds.startIndex + parts.count])
            throw .unreadableRule(
                text, at: text.utf8.count,
                expected:
                    "the field of the \(next) is missing: \(Self.order(kinds)), \(kinds.count) fields"
            )
        }
        if parts.count > kinds.count {
            let extra = parts[kinds.count].startIndex
            let position = text.utf8.distance(from: text.utf8.startIndex, to: extra)
            throw .unreadableRule(
                text, at: position,
                expected: "nothing more is expected: \(Self.order(kinds)), \(kinds.count) fields"
                    + (hasSeconds || parts.count > 6 ? "" : "; six when seconds are asked for"))
        }
        var fields: [CronField] = hasSeconds ? [] : [CronField(.second, only: 0)]
        for (kind, part) in zip(kinds, parts) { fields.append(try CronField(kind, part, in: text)) }
        (second, minute, hour) = (fields[0], fields[1], fields[2])
        (day, month, weekday) = (fields[3], fields[4], fields[5])
        if let reason = neverReason { throw .neverFires(text, reason: reason) }
    }

    private static func order(_ kinds: ArraySlice<CronField.Kind>) -> String {
        kinds.map { CronField.name($0) }.joined(separator: ", ")
    }

    /// Days of the month alone can be such that no month has them.
    private var neverReason: String? {
        guard isDayAlone || days == .both || day.beginsWithStar else { return nil }
        guard let first = day.list.first else { return nil }
        let longest = month.list.map { CivilDate.daysIn(month: $0, of: 2_000) }.max() ?? 0
        guard first > longest else { return nil }
        return "none of its months has a day \(first)"
    }

    /// The weekday is no restriction.
    private var isDayAlone: Bool { weekday.beginsWithStar }

    /// Whether it comes in every hour, so that it goes on when the clocks are set, as an interval does.
    var isEveryHour: Bool { hour.isFull }

    // MARK: Search

    /// A field that begins with a star is no restriction, and then both are met when the other one is.
    var isEither: Bool { days == .either && !day.beginsWithStar && !weekday.beginsWithStar }

    /// The days of a month that are met, each a bit, 1…31.
    private func days(_ month: Int, of year: Int) -> UInt64 {
        let count = CivilDate.daysIn(month: month, of: year)
        let ofMonth = day.numbers & ((UInt64(2) << UInt64(count)) - 2)
        if weekday.isFull && !isEither { return ofMonth }
        // A week from the first of the month on, five times.
        let first = UInt64(CivilDate(year: year, month: month, day: 1).weekday)
        let week = (weekday.numbers >> first | weekday.numbers << (7 - first)) & 0x7F
        let weeks = week | week << 7 | week << 14 | week << 21 | week << 28
        let ofWeek = weeks << 1 & ((UInt64(2) << UInt64(count)) - 2)
        return isEither ? ofMonth | ofWeek : ofMonth & ofWeek
    }

    /// Any pair of a date and a weekday comes within so many years.
    private static let horizon = 400

    /// The first time of the clocks that is met, from one on, in local seconds; nil: there is none in 400 years.
    func firstLocal(from local: Int64) -> Int64? {
        let from = CivilTime(seconds: local)
        var time = (hour: from.hour, minute: from.minute, second: from.second)
        var date = from.date
        // On the first day the time of day counts; on any later one it is the earliest.
        if days(date.month, of: date.year) >> UInt64(date.day) & 1 == 1, month.contains(date.month)
        {
            if let seconds = firstTime(time) { return Int64(date.days) * 86_400 + seconds }
        }
        time = (0, 0, 0)
        guard let seconds = firstTime(time) else { return nil }
        date = CivilDate(days: date.days + 1)
        var (year, number, day) = (date.year, date.month, date.day)
        while year <= from.date.year + Self.horizon {
            guard let next = month.first(from: number) else {
                (year, number, day) = (year + 1, 1, 1)
                continue
            }
            if next != number { (number, day) = (next, 1) }
            let left = days(number, of: year) >> UInt64(day)
            if left != 0 {
                let found = CivilDate(
                    year: year, month: number, day: day + left.trailingZeroBitCount)
                return Int64(found.days) * 86_400 + seconds
            }
            (number, day) = (number + 1, 1)
        }
        return nil
    }

    /// The first time of day that is met, from one on, in seconds.
    private func firstTime(_ time: (hour: Int, minute: Int, second: Int)) -> Int64? {
        var (hours, minutes, seconds) = time
        if hour.contains(hours) {
            if minute.contains(minutes) {
                if let found = second.first(from: seconds) {
                    return Int64(hours * 3_600 + minutes * 60 + found)
                }
            }
            if let found = minute.first(from: minutes + 1), let first = second.first(from: 0) {
                return Int64(hours * 3_600 + found * 60 + first)
            }
        }
        guard let found = hour.first(from: hours + 1) else { return nil }
        (hours, minutes, seconds) = (found, minute.first(from: 0) ?? 0, second.first(from: 0) ?? 0)
        return Int64(hours * 3_600 + minutes * 60 + seconds)
    }
}
