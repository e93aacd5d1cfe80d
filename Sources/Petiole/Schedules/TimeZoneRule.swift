/// How a zone's clocks are set each year, for good: the `TZ` of POSIX, as the system's files end with.
/// - Source: POSIX.1-2017, 8.3; RFC 9636, 3.3.1: hours of -167…167.
struct TimeZoneRule: Equatable {
    /// Seconds east of Greenwich.
    let standard: Int64
    private let daylight: Daylight?

    private struct Daylight: Equatable {
        var offset: Int64
        var start: Day
        var end: Day
    }

    /// A day of each year, and seconds from its midnight on.
    private struct Day: Equatable {
        enum Kind: Equatable {
            /// Of that weekday, 0 Sunday, in the month the so-manieth; 5: the last.
            case weekday(Int, week: Int, month: Int)
            /// 1…365, where February 29 does not count.
            case withoutLeapDay(Int)
            /// 0…365.
            case ordinal(Int)
        }
        var kind: Kind
        var seconds: Int64

        /// On the clock that is set then.
        func localSeconds(_ year: Int) -> Int64 {
            let newYear = CivilDate(year: year, month: 1, day: 1).days
            let day: Int
            switch kind {
            case .ordinal(let number): day = newYear + number
            case .withoutLeapDay(let number):
                day = newYear + number - 1 + (CivilDate.isLeap(year) && number >= 60 ? 1 : 0)
            case .weekday(let weekday, let week, let month):
                let first = CivilDate(year: year, month: month, day: 1)
                let ahead = (weekday - first.weekday + 7) % 7
                let count = CivilDate.daysIn(month: month, of: year)
                var offset = ahead + (week - 1) * 7
                if offset >= count { offset -= 7 }
                day = first.days + offset
            }
            return Int64(day) * 86_400 + seconds
        }
    }

    /// When the clocks are set in a year, and to what, in their order.
    func transitions(_ year: Int) -> [(at: Int64, offset: Int64)] {
        guard let daylight else { return [] }
        let start = daylight.start.localSeconds(year) - standard
        let end = daylight.end.localSeconds(year) - daylight.offset
        let both = [(start, daylight.offset), (end, standard)]
        return start <= end ? both : both.reversed()
    }

    /// Nil: the text is no such rule.
    init?(_ text: String) {
        var parser = Parser(text)
        guard parser.name(), let west = parser.time(hours: 24) else { return nil }
        standard = -west
        if parser.isAtEnd {
            daylight = nil
            return
        }
        guard parser.name() else { return nil }
        var offset = standard + 3_600
        if !parser.isNext(",") {
            guard let west = parser.time(hours: 24) else { return nil }
            offset = -west
        }
        guard parser.take(","), let start = Self.day(&parser), parser.take(","),
            let end = Self.day(&parser), parser.isAtEnd
        else { return nil }
        daylight = Daylight(offset: offset, start: start, end: end)
    }

    private static func day(_ parser: inout Parser) -> Day? {
        let kind: Day.Kind
        if parser.take("M") {
            guard let month = parser.number(1...12), parser.take("."),
                let week = parser.number(1...5), parser.take("."),
                let weekday = parser.number(0...6)
            else { return nil }
            kind = .weekday(weekday, week: week, month: month)
        } else if parser.take("J") {
            guard let number = parser.number(1...365) else { return nil }
            kind = .withoutLeapDay(number)
        } else {
            guard let number = parser.number(0...365) else { return nil }
            kind = .ordinal(number)
        }
        guard parser.take("/") else { return Day(kind: kind, seconds: 7_200) }
        guard let seconds = parser.time(hours: 167) else { return nil }
        return Day(kind: kind, seconds: seconds)
    }

    private struct Parser {
        private var rest: Substring.UTF8View

        init(_ text: String) { rest = text[...].utf8 }

        var isAtEnd: Bool { rest.isEmpty }
        func isNext(_ character: Character) -> Bool { rest.first == character.asciiValue }

        mutating func take(_ character: Character) -> Bool {
            guard isNext(character) else { return false }
            rest = rest.dropFirst()
            return true
        }

        /// Three letters or more, or anything between angle brackets.
        mutating func name() -> Bool {
            if take("<") {
                guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
                rest = rest[rest.index(after: end)...]
                return true
            }
            let letters = rest.prefix { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A }.count
            rest = rest.dropFirst(letters)
            return letters >= 3
        }

        mutating func number(_ range: ClosedRange<Int>) -> Int? {
            let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
            guard digits.count <= 4, let number = Int(Substring(digits)), range.contains(number)
            else { return nil }
            rest = rest.dropFirst(digits.count)
            return number
        }

        /// `[+-]h[:m[:s]]` in seconds.
        mutating func time(hours: Int) -> Int64? {
            let isNegative = take("-")
            if !isNegative { _ = take("+") }
            guard let hour = number(0...hours) else { return nil }
            var seconds = hour * 3_600
            if take(":") {
                guard let minute = number(0...59) else { return nil }
                seconds += minute * 60
                if take(":") {
                    guard let second = number(0...59) else { return nil }
                    seconds += second
                }
            }
            return Int64(isNegative ? -seconds : seconds)
        }
    }
}
