/// A day of the Gregorian calendar, also before it was made.
public struct CivilDate: Sendable, Hashable, Comparable {
    /// The year; 1 is the first of our era, 0 the one before.
    public let year: Int
    /// 1…12.
    public let month: Int
    /// 1…31.
    public let day: Int

    /// Makes a date of its numbers, which are to be those of a day that there is.
    public init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// - Parameter days: from 1970-01-01 on.
    package init(days: Int) {
        // Years are counted from March, so that the leap day is the last of its year; 400 of them have 146,097 days.
        let shifted = days + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// From 1970-01-01 on.
    package var days: Int {
        let marchYear = month <= 2 ? year - 1 : year
        let era = marchYear.floorDivided(by: 400)
        let yearOfEra = marchYear - era * 400
        let marchMonth = month > 2 ? month - 3 : month + 9
        let dayOfYear = (153 * marchMonth + 2) / 5 + day - 1
        return era * 146_097 + 365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
            - 719_468
    }

    /// 0 is Sunday, 6 Saturday.
    package var weekday: Int { (days + 4).floorModulo(7) }

    package static func isLeap(_ year: Int) -> Bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    package static func daysIn(month: Int, of year: Int) -> Int {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: isLeap(year) ? 29 : 28
        default: 31
        }
    }

    /// Orders dates by time.
    public static func < (left: CivilDate, right: CivilDate) -> Bool {
        (left.year, left.month, left.day) < (right.year, right.month, right.day)
    }
}

/// What a calendar and a clock on the wall show together.
package struct CivilTime: Sendable, Hashable {
    package let date: CivilDate
    package let hour: Int
    package let minute: Int
    package let second: Int

    package init(_ date: CivilDate, _ hour: Int, _ minute: Int, _ second: Int = 0) {
        self.date = date
        self.hour = hour
        self.minute = minute
        self.second = second
    }

    /// - Parameter seconds: that a clock that was never set has gone on since it showed 1970-01-01 00:00.
    package init(seconds: Int64) {
        let days = Int(seconds).floorDivided(by: 86_400)
        let rest = Int(seconds) - days * 86_400
        self.init(CivilDate(days: days), rest / 3_600, rest / 60 % 60, rest % 60)
    }

    package var seconds: Int64 {
        Int64(date.days) * 86_400 + Int64(hour * 3_600 + minute * 60 + second)
    }
}

extension Int {
    /// Towards less, also below zero.
    func floorDivided(by divisor: Int) -> Int {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }

    func floorModulo(_ divisor: Int) -> Int { self - floorDivided(by: divisor) * divisor }
}
