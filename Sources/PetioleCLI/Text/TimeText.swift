import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Times as people and programs read them.
enum TimeText {
    /// A duration in its two largest units: "0.24 s", "3 min 12 s", "2 h 5 min", "4 d 1 h".
    static func duration(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        if seconds < 60 {
            let hundredths = Int(seconds) * 100 + Int(attoseconds / 10_000_000_000_000_000)
            if hundredths >= 1_000 { return "\(hundredths / 100) s" }
            return "\(hundredths / 100).\(twoDigits(hundredths % 100)) s"
        }
        if seconds < 3_600 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds < 86_400 { return "\(seconds / 3_600) h \(seconds % 3_600 / 60) min" }
        return "\(seconds / 86_400) d \(seconds % 86_400 / 3_600) h"
    }

    /// Whole seconds, as a duration: "5 s".
    static func seconds(_ seconds: Int) -> String {
        seconds < 60 ? "\(seconds) s" : duration(.seconds(seconds))
    }

    /// In the local zone, to the second: "2026-11-23 22:06:04".
    static func local(_ time: WallTime) -> String {
        var seconds = time_t(floorSeconds(time))
        var parts = tm()
        localtime_r(&seconds, &parts)
        return date(parts) + " " + clock(parts)
    }

    /// ISO 8601 in UTC, to the microsecond.
    static func iso(_ time: WallTime) -> String {
        var seconds = time_t(floorSeconds(time))
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let digits = String(time.microseconds - floorSeconds(time) * 1_000_000)
        let fraction = String(repeating: "0", count: 6 - digits.count) + digits
        return "\(date(parts))T\(clock(parts)).\(fraction)Z"
    }

    /// Reads an age: a number and one of s, m, h, d, w.
    static func age(_ text: String) -> Duration? {
        guard let unit = text.last, let number = Int64(text.dropLast()), number >= 0,
            number <= 1_000_000_000
        else { return nil }
        switch unit {
        case "s": return .seconds(number)
        case "m": return .seconds(number * 60)
        case "h": return .seconds(number * 3_600)
        case "d": return .seconds(number * 86_400)
        case "w": return .seconds(number * 604_800)
        default: return nil
        }
    }

    private static func floorSeconds(_ time: WallTime) -> Int64 {
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return remainder < 0 ? quotient - 1 : quotient
    }

    private static func date(_ parts: tm) -> String {
        "\(Int(parts.tm_year) + 1_900)-\(twoDigits(Int(parts.tm_mon) + 1))"
            + "-\(twoDigits(Int(parts.tm_mday)))"
    }

    private static func clock(_ parts: tm) -> String {
        "\(twoDigits(Int(parts.tm_hour))):\(twoDigits(Int(parts.tm_min)))"
            + ":\(twoDigits(Int(parts.tm_sec)))"
    }

    private static func twoDigits(_ number: Int) -> String {
        number < 10 ? "0\(number)" : String(number)
    }
}

extension WallTime {
    /// From an earlier instant to this one; zero when the clock was set back.
    func since(_ earlier: WallTime) -> Duration {
        .microseconds(max(0, microseconds - earlier.microseconds))
    }
}

extension Duration {
    /// Nothing is longer than 146,000 years, so that an instant may be that far away.
    var wholeMicroseconds: Int {
        let (seconds, attoseconds) = components
        let longest = Int.max >> 1
        let (whole, overflow) = Int(clamping: seconds).multipliedReportingOverflow(by: 1_000_000)
        let sum = whole.addingReportingOverflow(Int(attoseconds / 1_000_000_000_000))
        if overflow || sum.overflow { return seconds < 0 ? -longest : longest }
        return min(max(sum.partialValue, -longest), longest)
    }
}

/// A count with thin groups of three: "12,345".
func grouped(_ number: Int) -> String {
    let digits = String(number)
    var text = ""
    for (index, digit) in digits.enumerated() {
        if index > 0, (digits.count - index) % 3 == 0, text.last != "-" { text.append(",") }
        text.append(digit)
    }
    return text
}

/// "1 job", "2 jobs".
func counted(_ number: Int, _ noun: String) -> String {
    "\(grouped(number)) \(noun)\(number == 1 ? "" : "s")"
}

/// Numbers of bytes as people write and read them.
enum SizeText {
    private static let units: [Character] = ["K", "M", "G", "T"]

    /// Reads a number and one of K, M, G, T, each 1,024 times the one before, or none; "iB" and "B" may follow.
    static func bytes(_ text: String) -> Int? {
        var rest = text[...]
        if rest.hasSuffix("iB") {
            rest = rest.dropLast(2)
        } else if rest.hasSuffix("B") {
            rest = rest.dropLast()
        }
        var shift = 0
        if let last = rest.last, let unit = units.firstIndex(of: last) {
            shift = 10 * (unit + 1)
            rest = rest.dropLast()
        }
        guard let number = Int(rest), number >= 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : bytes
    }

    /// "512 B", "1.5 MiB".
    static func text(_ bytes: Int) -> String {
        guard bytes >= 1_024 else { return "\(bytes) B" }
        var value = Double(bytes) / 1_024
        var unit = 0
        while value >= 1_024, unit + 1 < units.count {
            value /= 1_024
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        let fraction = tenths % 10 == 0 ? "" : ".\(tenths % 10)"
        return "\(grouped(tenths / 10))\(fraction) \(units[unit])iB"
    }
}
