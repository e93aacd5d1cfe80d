/// Intervals of schedules in words: "15 min", "1 h 30 min", "1.5 s" as "1 s 500 ms".
package enum IntervalText {
    private static let units: [(name: String, microseconds: Int64)] = [
        ("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000),
        ("ms", 1_000), ("µs", 1),
    ]

    /// All of it, in as few whole units as there are.
    package static func text(_ microseconds: Int64) -> String {
        var rest = microseconds
        var parts: [String] = []
        for unit in units where rest >= unit.microseconds {
            parts.append("\(rest / unit.microseconds) \(unit.name)")
            rest %= unit.microseconds
        }
        return parts.isEmpty ? "0 s" : parts.joined(separator: " ")
    }
}
