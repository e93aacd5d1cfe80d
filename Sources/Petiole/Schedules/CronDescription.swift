extension CronRule {
    /// The rule in words: "at 03:00 on Monday to Friday".
    package var description: String {
        ([times] + [dates, months].compactMap { $0 }).joined(separator: " ")
    }

    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
    ]
    private static let monthNames = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ]
    /// More times of day than these are told by their hours and minutes.
    private static let mostTimes = 6

    private var times: String {
        let (hours, minutes, seconds) = (hour.list, minute.list, second.list)
        if seconds == [0] {
            if hours.count * minutes.count <= Self.mostTimes {
                let times = hours.flatMap { hour in minutes.map { Self.clock(hour, $0) } }
                return "at \(Self.joined(times))"
                    + (dates == nil && months == nil ? " every day" : "")
            }
            return Self.each("minute", minutes, of: 60, minute.isFull) + ofHours
        }
        if hours.count * minutes.count * seconds.count <= Self.mostTimes {
            let times = hours.flatMap { hour in
                minutes.flatMap { minute in
                    seconds.map { "\(Self.clock(hour, minute)):\(Self.twoDigits($0))" }
                }
            }
            return "at \(Self.joined(times))" + (dates == nil && months == nil ? " every day" : "")
        }
        let each = Self.each("second", seconds, of: 60, second.isFull)
        if minute.isFull {
            return each + (each.hasPrefix("at") ? " of every minute" : "") + between
        }
        return each + " of the " + Self.counted("minute", minutes) + ofHours
    }

    /// Behind minutes that come in more than one hour.
    private var ofHours: String {
        if hour.isFull {
            let isAtMinutes = !Self.isRegular(minute.list, of: 60)
            return isAtMinutes ? " of every hour" : ""
        }
        return Self.isRegular(minute.list, of: 60)
            ? between : " of the " + Self.counted("hour", hour.list)
    }

    /// From the first hour to the end of the last, or the hours one by one.
    private var between: String {
        if hour.isFull { return "" }
        let hours = hour.list
        guard let first = hours.first, let last = hours.last, last - first == hours.count - 1 else {
            return " in the " + Self.counted("hour", hours)
        }
        return " from \(Self.clock(first, 0)) to \(Self.clock(last, 59))"
    }

    private var dates: String? {
        // Whatever day it is, it is one of both.
        if isEither && (day.isFull || weekday.isFull) { return nil }
        let days = day.isFull ? nil : Self.counted("day", day.list) + " of the month"
        let week = weekday.isFull ? nil : Self.ranges(weekdaysFromMonday, Self.weekdays)
        switch (days, week) {
        case (nil, nil): return nil
        case (let days?, nil): return "on \(days)"
        case (nil, let week?): return "on \(week)"
        case (let days?, let week?):
            return isEither ? "on \(days) or on \(week)" : "on \(days) that is a \(week)"
        }
    }

    private var months: String? {
        month.isFull ? nil : "in " + Self.ranges(month.list.map { $0 - 1 }, Self.monthNames)
    }

    /// Sunday last, as it is in most weeks, unless the weekdays around it are met as well.
    private var weekdaysFromMonday: [Int] {
        let list = weekday.list
        return list.first == 0 && !list.contains(1) ? list.dropFirst() + [0] : list
    }

    /// "every minute", "every 15 minutes", "at minute 5", "at minutes 5 and 7".
    private static func each(_ unit: String, _ list: [Int], of size: Int, _ isFull: Bool) -> String
    {
        if isFull { return "every \(unit)" }
        if isRegular(list, of: size) { return "every \(size / list.count) \(unit)s" }
        return "at " + counted(unit, list)
    }

    /// As far apart as over the end to the first, which is 0.
    private static func isRegular(_ list: [Int], of size: Int) -> Bool {
        guard list.count > 1, size % list.count == 0 else { return false }
        let step = size / list.count
        return list == Array(stride(from: 0, to: size, by: step))
    }

    private static func counted(_ unit: String, _ list: [Int]) -> String {
        guard list.count > 1 else { return "\(unit) \(list[0])" }
        let isRange = list.count > 2 && list.last! - list[0] == list.count - 1
        return "\(unit)s "
            + (isRange ? "\(list[0]) to \(list.last!)" : joined(list.map { String($0) }))
    }

    /// Three or more in a row as a range of names.
    private static func ranges(_ list: [Int], _ names: [String]) -> String {
        var parts: [String] = []
        var index = 0
        while index < list.count {
            var end = index
            while end + 1 < list.count, list[end + 1] == (list[end] + 1) % names.count { end += 1 }
            if end - index >= 2 {
                parts.append("\(names[list[index]]) to \(names[list[end]])")
            } else {
                parts += list[index...end].map { names[$0] }
            }
            index = end + 1
        }
        return joined(parts)
    }

    private static func joined(_ parts: [String]) -> String {
        guard parts.count > 1 else { return parts[0] }
        return parts.dropLast().joined(separator: ", ") + " and " + parts.last!
    }

    private static func clock(_ hour: Int, _ minute: Int) -> String {
        "\(twoDigits(hour)):\(twoDigits(minute))"
    }

    private static func twoDigits(_ number: Int) -> String {
        number < 10 ? "0\(number)" : String(number)
    }
}
