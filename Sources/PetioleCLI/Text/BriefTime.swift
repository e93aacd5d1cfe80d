import Petiole

/// Durations in few letters, for columns: "0.4ms", "37ms", "1.2s", "42s", "3m12s", "2h05m", "4d03h".
enum BriefTime {
    static func text(_ duration: Duration) -> String {
        let microseconds = max(0, duration.wholeMicroseconds)
        if microseconds < 9_950 { return tenths(microseconds, 1_000) + "ms" }
        if microseconds < 999_500 { return "\((microseconds + 500) / 1_000)ms" }
        if microseconds < 9_950_000 { return tenths(microseconds, 1_000_000) + "s" }
        let seconds = (microseconds + 500_000) / 1_000_000
        if seconds < 60 { return "\(seconds)s" }
        if seconds < 3_600 { return pair(seconds / 60, "m", seconds % 60, "s") }
        if seconds < 86_400 { return pair(seconds / 3_600, "h", seconds % 3_600 / 60, "m") }
        return pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h")
    }

    /// Jobs each second, or of few each minute or hour: "3.4/s", "1,234/s", "1.2/min", "0.5/h".
    static func rate(_ rate: Double) -> String {
        if rate >= 99.95 { return grouped(Int(min(rate, 1e15).rounded())) + "/s" }
        if rate >= 0.995 || rate <= 0 { return tenths(Int((rate * 1_000).rounded()), 1_000) + "/s" }
        let hundredths = Int((rate * 100).rounded())
        if hundredths >= 10 { return "0.\(hundredths)/s" }
        let inHour = Int((rate * 36_000).rounded())
        if inHour >= 600 { return tenths(Int((rate * 60_000).rounded()), 1_000) + "/min" }
        return tenths(max(1, inHour) * 100, 1_000) + "/h"
    }

    private static func tenths(_ number: Int, _ unit: Int) -> String {
        let tenths = (number * 10 + unit / 2) / unit
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func pair(
        _ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String
    ) -> String {
        "\(large)\(largeUnit)\(small < 10 ? "0" : "")\(small)\(smallUnit)"
    }
}
