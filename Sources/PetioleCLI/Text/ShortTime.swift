import Petiole

/// Times that may be shorter than a second, as GNU parallel takes them.
enum ShortTime {
    static let help = "0.5, 500ms, 90s, 12h; seconds where no unit is given"

    /// Reads a number, with up to nine digits behind a point, and one of ms, s, m, h, d, w, or none for seconds; at most
    /// 1,000,000,000 of them.
    static func duration(_ text: String) -> Duration? {
        let units: [(String, Duration)] = [
            ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)),
            ("h", .seconds(3_600)), ("d", .seconds(86_400)), ("w", .seconds(604_800)),
        ]
        let unit = units.first { text.hasSuffix($0.0) } ?? ("", .seconds(1))
        let parts = text.dropLast(unit.0.utf8.count).split(
            separator: ".", omittingEmptySubsequences: false)
        func digits(_ part: Substring) -> Int64? {
            guard part.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
            return Int64(part)
        }
        guard parts.count <= 2, let whole = digits(parts[0]), whole <= 1_000_000_000 else {
            return nil
        }
        guard parts.count == 2 else { return unit.1 * Int(whole) }
        guard let behind = digits(parts[1]), (1...9).contains(parts[1].utf8.count) else {
            return nil
        }
        let scale = (0..<parts[1].utf8.count).reduce(1) { scale, _ in scale * 10 }
        return unit.1 * Int(whole) + unit.1 * Int(behind) / scale
    }
}
