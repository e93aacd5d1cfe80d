extension WallTime: CustomStringConvertible {
    /// ISO 8601 in UTC: `2026-11-27T03:00:00Z`, with a fraction of six digits where there is one.
    public var description: String {
        let second = Int(microseconds).floorDivided(by: 1_000_000)
        let fraction = Int(microseconds) - second * 1_000_000
        let time = CivilTime(seconds: Int64(second))
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(abs(number))
            return (number < 0 ? "-" : "")
                + String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = time.date
        return padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2) + "T"
            + padded(time.hour, 2) + ":" + padded(time.minute, 2) + ":" + padded(time.second, 2)
            + (fraction == 0 ? "" : "." + padded(fraction, 6)) + "Z"
    }
}
