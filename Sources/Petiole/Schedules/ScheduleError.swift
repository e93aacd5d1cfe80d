/// Why a schedule is refused. Nothing of it was changed.
package enum ScheduleError: Error, Equatable, CustomStringConvertible {
    /// A rule cannot be read: at which character, from 0 on, and what was expected there.
    case unreadableRule(String, at: Int, expected: String)
    /// A rule can be read, and never comes true.
    case neverFires(String, reason: String)
    case unknownZone(String, reason: String)

    package var description: String {
        switch self {
        case .unreadableRule(let rule, let position, let expected):
            // Byte by byte, so that the mark stands where it is to; what cannot be printed is shown as a question mark.
            let shown = rule.utf8.map { (32...126).contains($0) ? $0 : UInt8(ascii: "?") }
            let mark = String(repeating: " ", count: position) + "^ "
            return "the rule cannot be read:\n" + String(decoding: shown, as: UTF8.self) + "\n"
                + mark
                + expected
        case .neverFires(let rule, let reason): return "\(rule) never comes true: \(reason)"
        case .unknownZone(let zone, let reason): return "time zone \(visible(zone)): \(reason)"
        }
    }
}
