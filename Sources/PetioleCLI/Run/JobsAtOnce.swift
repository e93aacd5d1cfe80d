import CPetiole

/// How many commands go on at once, as GNU parallel writes it.
enum JobsAtOnce: Equatable, Sendable {
    case number(Int)
    /// Of the processors that may be used.
    case percent(Int)
    /// So many more than these, or fewer.
    case processorsAnd(Int)

    /// Each takes a thread, and descriptors: with three outputs and inputs each, 1,024 are used up by some 200.
    static let most = 128
    static let help = "1 to 128, 50% of the processors, +1 or -1 of them, 0: 128"

    init?(_ text: String) {
        if text.hasSuffix("%") {
            guard let percent = Self.number(text.dropLast()), (1...100_000).contains(percent) else {
                return nil
            }
            self = .percent(percent)
        } else if let sign = text.first, sign == "+" || sign == "-" {
            guard let number = Self.number(text.dropFirst()) else { return nil }
            self = .processorsAnd(sign == "+" ? number : -number)
        } else {
            guard let number = Self.number(text[...]), number <= Self.most else { return nil }
            self = .number(number == 0 ? Self.most : number)
        }
    }

    /// Digits alone: no sign behind a sign.
    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text).map { min($0, 1_000_000) }
    }

    /// At least one, at most ``most``.
    func count(processors: Int = Int(petiole_processors())) -> Int {
        let count =
            switch self {
            case .number(let number): number
            case .percent(let percent): processors * percent / 100
            case .processorsAnd(let more): processors + more
            }
        return min(max(count, 1), Self.most)
    }
}
