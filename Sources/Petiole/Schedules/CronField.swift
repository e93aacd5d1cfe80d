/// One field of a cron rule: what it is called, what it may hold, and how it is read.
struct CronField {
    enum Kind: Int, CaseIterable { case second, minute, hour, day, month, weekday }

    let kind: Kind
    /// The numbers that are met, each a bit; weekdays 0…6.
    private(set) var numbers: UInt64 = 0
    /// Whether it begins with `*`: then it is no restriction, as Vixie's cron has it.
    private(set) var beginsWithStar = false

    private static let monthNames = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    static let weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    static func range(_ kind: Kind) -> ClosedRange<Int> {
        switch kind {
        case .second, .minute: 0...59
        case .hour: 0...23
        case .day: 1...31
        case .month: 1...12
        case .weekday: 0...7
        }
    }

    static func name(_ kind: Kind) -> String {
        switch kind {
        case .second: "second"
        case .minute: "minute"
        case .hour: "hour"
        case .day: "day of the month"
        case .month: "month"
        case .weekday: "day of the week"
        }
    }

    private static func allowed(_ kind: Kind) -> String {
        let range = range(kind)
        let numbers = "\(range.lowerBound) to \(range.upperBound)"
        return switch kind {
        case .month: "\(numbers) or jan to dec"
        case .weekday: "\(numbers) (0 and 7 are Sunday) or sun to sat"
        default: numbers
        }
    }

    func contains(_ number: Int) -> Bool { numbers >> UInt64(number) & 1 == 1 }
    var isFull: Bool { numbers == Self.full(kind) }
    var list: [Int] { (0..<64).filter { contains($0) } }

    /// The first number from one on; nil: there is none.
    func first(from number: Int) -> Int? {
        guard number < 64 else { return nil }
        let rest = numbers >> UInt64(number)
        return rest == 0 ? nil : number + rest.trailingZeroBitCount
    }

    private static func full(_ kind: Kind) -> UInt64 {
        let range = range(kind)
        let bits = (UInt64(2) << UInt64(range.upperBound)) - (UInt64(1) << UInt64(range.lowerBound))
        return kind == .weekday ? bits & 0x7F : bits
    }

    init(_ kind: Kind, only number: Int) {
        self.kind = kind
        numbers = 1 << UInt64(number)
    }

    /// Reads one: numbers and names, ranges of them, `*`, and steps over these, with commas between.
    init(_ kind: Kind, _ text: Substring.UTF8View, in rule: String) throws(ScheduleError) {
        self.kind = kind
        var reader = CronReader(rule, text)
        beginsWithStar = reader.isNext("*")
        while true {
            try readPart(&reader)
            if reader.isAtEnd { break }
            guard reader.take(",") else {
                throw reader.expected("a comma, or a space before the next field")
            }
        }
        if kind == .weekday, contains(7) { numbers = numbers & 0x7F | 1 }
    }

    private mutating func readPart(_ reader: inout CronReader) throws(ScheduleError) {
        let range = Self.range(kind)
        let last = kind == .weekday ? 6 : range.upperBound
        if reader.take("*") {
            add(range.lowerBound, last, by: try step(&reader) ?? 1)
            return
        }
        let first = try number(&reader)
        if reader.take("-") {
            let end = try number(&reader)
            add(first, end, by: try step(&reader) ?? 1)
        } else if let step = try step(&reader) {
            add(first, max(first, last), by: step)
        } else {
            add(first, first, by: 1)
        }
    }

    /// A range that ends before it begins goes on from the first number behind the last one: `fri-mon`, `22-2`.
    private mutating func add(_ first: Int, _ last: Int, by step: Int) {
        let range = Self.range(kind)
        let size = kind == .weekday ? 7 : range.count
        let end = last < first ? last + size : last
        for number in stride(from: first, through: end, by: step) {
            numbers |= 1 << UInt64(number > range.upperBound ? number - size : number)
        }
    }

    private func step(_ reader: inout CronReader) throws(ScheduleError) -> Int? {
        guard reader.take("/") else { return nil }
        let start = reader.position
        guard let step = reader.number(), step > 0 else {
            throw reader.expected("a step of 1 or more", at: start)
        }
        return step
    }

    private func number(_ reader: inout CronReader) throws(ScheduleError) -> Int {
        let start = reader.position
        let range = Self.range(kind)
        if let number = reader.number() {
            guard range.contains(number) else {
                throw reader.expected(
                    "a \(Self.name(kind)) is \(Self.allowed(kind))", at: start)
            }
            return number
        }
        let word = reader.word()
        if kind == .month, let index = Self.monthNames.firstIndex(of: word) { return index + 1 }
        if kind == .weekday, let index = Self.weekdayNames.firstIndex(of: word) { return index }
        throw reader.expected(
            "a \(Self.name(kind)) is expected: \(Self.allowed(kind)), or *; "
                + "also lists (1,5), ranges (1-5) and steps (*/2, 1-5/2)",
            at: start)
    }
}

/// Reads a part of a rule, and tells where in the whole of it something is wrong.
struct CronReader {
    private let rule: String
    private var rest: Substring.UTF8View

    init(_ rule: String, _ part: Substring.UTF8View) {
        self.rule = rule
        rest = part
    }

    var isAtEnd: Bool { rest.isEmpty }
    /// In bytes, which are characters as far as a rule can be read.
    var position: Int { rule.utf8.distance(from: rule.utf8.startIndex, to: rest.startIndex) }

    func isNext(_ character: Character) -> Bool { rest.first == character.asciiValue }

    mutating func take(_ character: Character) -> Bool {
        guard isNext(character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// Digits; what is larger than any field allows is some such number.
    mutating func number() -> Int? {
        let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !digits.isEmpty else { return nil }
        rest = rest.dropFirst(digits.count)
        return digits.reduce(0) { min(1_000_000, $0 * 10 + Int($1 - 0x30)) }
    }

    /// Letters, as small ones.
    mutating func word() -> String {
        let letters = rest.prefix { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A }
        rest = rest.dropFirst(letters.count)
        return String(decoding: letters.map { $0 | 0x20 }, as: UTF8.self)
    }

    func expected(_ text: String, at position: Int? = nil) -> ScheduleError {
        .unreadableRule(rule, at: position ?? self.position, expected: text)
    }
}
