import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A time in a command line: an instant, or a while from now, in the past or to come as the option means it.
enum Moment: Equatable {
    case at(WallTime)
    case ago(Duration)
    case after(Duration)

    /// Reads a time that has passed: an age or an instant.
    static func past(_ text: String) throws -> Moment {
        if let age = TimeText.age(text) { return .ago(age) }
        return .at(try absolute(text))
    }

    /// Reads a time that is to come: `now`, a while or an instant.
    /// - Parameter zone: whose clocks an instant without Z is told by; nil: those of the system.
    static func future(_ text: String, in zone: ScheduleZone?) throws -> Moment {
        if text == "now" { return .after(.zero) }
        if let wait = TimeText.age(text) { return .after(wait) }
        return .at(try absolute(text, in: zone))
    }

    static func future(_ text: String) throws -> Moment { try future(text, in: nil) }

    private static func absolute(
        _ text: String, in zone: ScheduleZone? = nil
    ) throws -> WallTime {
        guard let instant = TimeText.instant(text, in: zone) else {
            throw ValidationError(
                "a number and s, m, h, d or w (2h), or 2026-11-23, 2026-11-23T22:06, "
                    + "2026-11-23T22:06:04, with Z for UTC, are allowed")
        }
        return instant
    }

    func instant(_ now: WallTime) -> WallTime {
        func moved(_ offset: Int) -> WallTime {
            let (sum, overflow) = now.microseconds.addingReportingOverflow(Int64(offset))
            return WallTime(microseconds: overflow ? (offset < 0 ? .min : .max) : sum)
        }
        return switch self {
        case .at(let instant): instant
        case .ago(let age): moved(-age.wholeMicroseconds)
        case .after(let wait): moved(wait.wholeMicroseconds)
        }
    }

    var jobTime: JobTime {
        switch self {
        case .at(let instant): .at(instant)
        case .ago: .after(.zero)
        case .after(let wait): .after(wait)
        }
    }
}

extension TimeText {
    /// Reads an instant: `YYYY-MM-DD`, then perhaps `T` or a space and `HH:MM` or `HH:MM:SS`, perhaps with a fraction as `--json`
    /// prints it, then perhaps `Z`; without that by the clocks of the zone, or of the system. Nil: it is none.
    static func instant(_ text: String, in zone: ScheduleZone? = nil) -> WallTime? {
        var rest = Array(text.utf8)[...]
        func number(_ digits: Int) -> Int? {
            guard rest.count >= digits else { return nil }
            var value = 0
            for byte in rest.prefix(digits) {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int(byte - UInt8(ascii: "0"))
            }
            rest = rest.dropFirst(digits)
            return value
        }
        func take(_ character: Character) -> Bool {
            guard rest.first == character.asciiValue else { return false }
            rest = rest.dropFirst()
            return true
        }
        // Whatever is printed can be read: of what is due in very long the year may have six digits.
        let digits = rest.prefix { $0 != UInt8(ascii: "-") }.count
        guard (4...6).contains(digits), let year = number(digits), year >= 1_970, take("-"),
            let month = number(2), take("-"),
            let day = number(2), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        var parts = tm()
        parts.tm_year = Int32(year - 1_900)
        parts.tm_mon = Int32(month - 1)
        parts.tm_mday = Int32(day)
        parts.tm_isdst = -1
        var microseconds: Int64 = 0
        if take("T") || take(" ") {
            guard let hour = number(2), take(":"), let minute = number(2), hour < 24, minute < 60
            else { return nil }
            parts.tm_hour = Int32(hour)
            parts.tm_min = Int32(minute)
            if take(":") {
                guard let second = number(2), second < 61 else { return nil }
                parts.tm_sec = Int32(second)
                if take(".") {
                    var unit: Int64 = 100_000
                    while let digit = number(1) {
                        microseconds += Int64(digit) * unit
                        unit /= 10
                    }
                }
            }
        }
        let isUTC = take("Z")
        guard rest.isEmpty else { return nil }
        let seconds: Int64
        if isUTC {
            seconds = Int64(timegm(&parts))
        } else if let zone {
            seconds = zone.second(showing: Int64(timegm(&parts)))
        } else {
            seconds = Int64(mktime(&parts))
        }
        // A day that the month does not have has become one of the next.
        guard Int(parts.tm_mday) == day, (0...Int64.max / 1_000_000 - 1).contains(seconds) else {
            return nil
        }
        return WallTime(microseconds: seconds * 1_000_000 + microseconds)
    }
}

extension TimeText {
    /// Reads a time of day, `HH:MM`, and gives the next instant at which this system's clocks show it. Nil: it is none.
    static func nextClock(_ text: String, after now: WallTime) -> WallTime? {
        let numbers = text.split(separator: ":", omittingEmptySubsequences: false)
        guard numbers.count == 2, numbers.allSatisfy({ (1...2).contains($0.utf8.count) }),
            let hour = Int32(numbers[0]), let minute = Int32(numbers[1]),
            (0..<24).contains(hour), (0..<60).contains(minute)
        else { return nil }
        var seconds = time_t(now.microseconds / 1_000_000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        for day in 0...1 {
            var then = parts
            then.tm_mday += Int32(day)
            (then.tm_hour, then.tm_min, then.tm_sec, then.tm_isdst) = (hour, minute, 0, -1)
            let found = mktime(&then)
            if found > seconds { return WallTime(microseconds: Int64(found) * 1_000_000) }
        }
        return nil
    }
}
