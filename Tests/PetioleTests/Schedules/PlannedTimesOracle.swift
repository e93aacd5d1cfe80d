import Foundation

@testable import Petiole

/// A rule that is drawn at random: its text, and what its fields mean, which are made together and not one from the other.
struct DrawnRule {
    var text: String
    /// Which numbers of each field are met.
    var minute, hour, day, month, weekday: [Bool]
    var isDayStar, isWeekdayStar: Bool
    var days: CronDays

    init(_ random: inout SeededRandom) {
        let minute = Self.field(0...59, stars: 0.1, &random)
        let hour = Self.field(0...23, stars: 0.3, &random)
        let day = Self.field(1...31, stars: 0.7, &random)
        let month = Self.field(1...12, stars: 0.8, &random)
        let weekday = Self.field(0...6, stars: 0.7, &random)
        text = [minute, hour, day, month, weekday].map { $0.text }.joined(separator: " ")
        self.minute = minute.met
        self.hour = hour.met
        self.day = day.met
        self.month = month.met
        self.weekday = weekday.met
        isDayStar = day.text.hasPrefix("*")
        isWeekdayStar = weekday.text.hasPrefix("*")
        days = Bool.random(using: &random) ? .either : .both
    }

    private static func field(
        _ range: ClosedRange<Int>, stars: Double, _ random: inout SeededRandom
    ) -> (text: String, met: [Bool]) {
        var met = Array(repeating: false, count: 60)
        if Double.random(in: 0..<1, using: &random) < stars {
            for number in range { met[number] = true }
            return ("*", met)
        }
        var parts: [String] = []
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let first = Int.random(in: range, using: &random)
            let last = Int.random(in: range, using: &random)
            let step = Int.random(in: 1...range.count, using: &random)
            switch Int.random(in: 0...3, using: &random) {
            case 0:
                parts.append("\(first)")
                met[first] = true
            case 1:
                parts.append("\(first)-\(last)")
                var number = first
                while true {
                    met[number] = true
                    if number == last { break }
                    number = number == range.upperBound ? range.lowerBound : number + 1
                }
            case 2:
                let (low, high) = (min(first, last), max(first, last))
                parts.append("\(low)-\(high)/\(step)")
                for number in low...high where (number - low) % step == 0 { met[number] = true }
            default:
                parts.append("*/\(step)")
                for number in range where (number - range.lowerBound) % step == 0 {
                    met[number] = true
                }
            }
        }
        return (parts.joined(separator: ","), met)
    }

    var isEveryHour: Bool { hour.prefix(24).allSatisfy { $0 } }

    func meets(_ parts: DateComponents) -> Bool {
        guard month[parts.month!] else { return false }
        let isDay = day[parts.day!]
        let isWeekday = weekday[parts.weekday! - 1]
        if isDayStar || isWeekdayStar || days == .both { return isDay && isWeekday }
        return isDay || isWeekday
    }
}

/// A search by minute, with a clock that is looked at each minute: slow, and without any of what it is to check.
struct MinuteSearch {
    let zone: TimeZone
    private let calendar: Calendar

    init(_ name: String) {
        zone = TimeZone(identifier: name)!
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "UTC")!
        self.calendar = calendar
    }

    /// The minutes since 1970 at which a rule comes, in a range of them. For zones whose clocks are set by whole minutes.
    func planned(_ rule: DrawnRule, _ range: Range<Int>) -> [Int] {
        var found: [Int] = []
        var days: [Int: Bool] = [:]
        func isMet(_ local: Int) -> Bool {
            guard rule.minute[local % 60], rule.hour[local / 60 % 24] else { return false }
            let day = local / 1_440
            if let known = days[day] { return known }
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            let met = rule.meets(
                calendar.dateComponents([.month, .day, .weekday], from: date))
            days[day] = met
            return met
        }
        // Clocks are put back by three hours at most in the years and zones that are looked at.
        var offset = self.offset(range.lowerBound - 240)
        var farthest = range.lowerBound - 240 + offset - 1
        for minute in range.lowerBound - 240..<range.upperBound {
            if minute % 15 == 0 { offset = self.offset(minute) }
            let local = minute + offset
            var comes = false
            if rule.isEveryHour {
                comes = isMet(local)
            } else if local > farthest {
                // One minute, or what the clocks were put forward over and the one that they were put to.
                for reached in farthest + 1...local where isMet(reached) { comes = true }
            }
            farthest = max(farthest, local)
            if comes, minute >= range.lowerBound { found.append(minute) }
        }
        return found
    }

    private func offset(_ minute: Int) -> Int {
        zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(minute) * 60)) / 60
    }

    /// The minutes from 1985 to 2023 at which the clocks were set.
    var transitions: [Int] {
        var list: [Int] = []
        var date = Date(timeIntervalSince1970: 473_385_600)
        while let next = zone.nextDaylightSavingTimeTransition(after: date),
            next.timeIntervalSince1970 < 1_672_531_200
        {
            list.append(Int(next.timeIntervalSince1970) / 60)
            date = next
        }
        return list
    }
}
