import Petiole

/// Instants as the clocks of a zone show them.
enum ZoneTime {
    /// A zone of that name; UTC where the system does not have it: the offset is shown beside the time, so it is right all the same.
    static func zone(_ name: String) -> ScheduleZone {
        // As the line above says.
        (try? ScheduleZone.named(name)) ?? .utc
    }

    /// "Mon 2026-11-30 03:00:00 +01:00".
    static func text(_ instant: WallTime, _ zone: ScheduleZone) -> String {
        let (local, offset) = local(instant, zone)
        return "\(weekdays[local.date.weekday]) \(date(local.date)) \(clock(local)) \(offset)"
    }

    /// "2026-11-30 03:00:00", for where the zone is named once.
    static func short(_ instant: WallTime, _ zone: ScheduleZone) -> String {
        let (local, _) = local(instant, zone)
        return "\(date(local.date)) \(clock(local))"
    }

    /// ISO 8601 with the offset: "2026-11-30T03:00:00+01:00".
    static func iso(_ instant: WallTime, _ zone: ScheduleZone) -> String {
        let (local, offset) = local(instant, zone)
        return "\(date(local.date))T\(clock(local))\(offset)"
    }

    /// "2026-11-30".
    static func date(_ date: CivilDate) -> String {
        "\(padded(date.year, to: 4))-\(padded(date.month))-\(padded(date.day))"
    }

    /// Reads "2026-11-30"; nil: there is no such day.
    static func date(_ text: String) -> CivilDate? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [4, 2, 2],
            parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]),
            (1...12).contains(month), day >= 1, day <= CivilDate.daysIn(month: month, of: year)
        else { return nil }
        return CivilDate(year: year, month: month, day: day)
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

    private static func local(
        _ instant: WallTime, _ zone: ScheduleZone
    ) -> (CivilTime, offset: String) {
        let microseconds = instant.microseconds
        let second = microseconds / 1_000_000 - (microseconds % 1_000_000 < 0 ? 1 : 0)
        let offset = Int(zone.offset(at: second))
        let minutes = abs(offset) / 60
        let seconds = abs(offset) % 60
        var text = (offset < 0 ? "-" : "+") + padded(minutes / 60) + ":" + padded(minutes % 60)
        if seconds != 0 { text += ":" + padded(seconds) }
        return (CivilTime(seconds: second + Int64(offset)), text)
    }

    private static func clock(_ time: CivilTime) -> String {
        "\(padded(time.hour)):\(padded(time.minute)):\(padded(time.second))"
    }

    private static func padded(_ number: Int, to width: Int = 2) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
