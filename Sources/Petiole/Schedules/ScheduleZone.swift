import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What the clocks of a place show: a zone of the IANA database, from the system's files.
package final class ScheduleZone: Sendable {
    package let name: String
    private let transitions: [Int64]
    private let offsets: [Int32]
    /// Seconds east of Greenwich while the clocks are not put forward, by the last rule that is known.
    let standardOffset: Int64
    /// From this second on, what comes is what came 400 years before.
    private let repeats: Int64

    /// A stretch of time in which the clocks are not set.
    struct Period {
        /// The first second of it; `.min`: it has none.
        var start: Int64
        /// The first second that is not of it any more; `.max`: it has no end.
        var end: Int64
        /// Seconds east of Greenwich.
        var offset: Int64
    }

    package static let utc = ScheduleZone("UTC", TimeZoneFile?.none)

    private init(_ name: String, _ file: TimeZoneFile?) {
        self.name = name
        var transitions = file?.transitions ?? []
        var offsets = file?.offsets ?? [0]
        standardOffset = file?.rest?.standard ?? Int64(offsets.last!)
        var repeats = Int64.max
        if let rest = file?.rest {
            // What the rule for good comes to, for a bit more than the 400 years after which the calendar repeats.
            let last = transitions.last ?? 0
            let year = CivilTime(seconds: last).date.year
            for year in year...year + 403 {
                for transition in rest.transitions(year) where transition.at > last {
                    transitions.append(transition.at)
                    offsets.append(Int32(transition.offset))
                }
            }
            if transitions.last ?? 0 > last {
                repeats = Int64(CivilDate(year: year + 402, month: 1, day: 1).days) * 86_400
            } else if transitions.isEmpty {
                offsets = [Int32(rest.standard)]
            }
        }
        self.transitions = transitions
        self.offsets = offsets
        self.repeats = repeats
    }

    /// What the clocks show beyond the time of Greenwich, in seconds.
    package func offset(at second: Int64) -> Int64 { period(at: second).offset }

    /// What the clocks show at a second since 1970.
    package func local(_ second: Int64) -> Int64 { second + offset(at: second) }

    /// The stretch that a second lies in. O(log n) in the zone's transitions.
    func period(at second: Int64) -> Period {
        guard second < repeats else { return laterPeriod(at: second) }
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= second { low = middle + 1 } else { high = middle }
        }
        return Period(
            start: low == 0 ? .min : transitions[low - 1],
            end: low < transitions.count ? transitions[low] : .max, offset: Int64(offsets[low]))
    }

    /// 400 years have as many weeks as days, over seven: all of the calendar comes again.
    private static let cycle: Int64 = 146_097 * 86_400

    private func laterPeriod(at second: Int64) -> Period {
        let moved = ((second - repeats) / Self.cycle + 1) * Self.cycle
        var period = period(at: second - moved)
        period.start += moved
        let (end, overflow) = period.end.addingReportingOverflow(moved)
        period.end = overflow ? .max : end
        return period
    }

    /// When a time of the clocks is there.
    enum Showing: Equatable {
        /// The first second at which they show it. Where it comes a second time, they show what is before `until` a second time
        /// as well.
        case at(Int64, until: Int64?)
        /// Never: the clocks are put forward over it, at this second.
        case skipped(at: Int64)
    }

    /// The first second at which the clocks show a time, in local seconds. Never earlier for a later time.
    func showing(_ local: Int64) -> Showing {
        // Nobody is farther from Greenwich.
        var period = period(at: local - 26 * 3_600)
        while true {
            let second = local - period.offset
            if second < period.end {
                if second >= period.start {
                    let next = period.end == .max ? nil : self.period(at: period.end)
                    let isTwice = next.map { local >= period.end + $0.offset } ?? false
                    return .at(second, until: isTwice ? period.end + period.offset : nil)
                }
                return .skipped(at: period.start)
            }
            period = self.period(at: period.end)
        }
    }

    /// The first second at which the clocks show a time, in local seconds; for one that they never show, that at which they are
    /// put forward over it.
    package func second(showing local: Int64) -> Int64 {
        switch showing(local) {
        case .at(let second, _), .skipped(at: let second): second
        }
    }

    // MARK: Files

    /// Where systems keep them.
    private static let folders = [
        "/usr/share/zoneinfo", "/var/db/timezone/zoneinfo", "/usr/lib/zoneinfo",
        "/usr/share/lib/zoneinfo", "/etc/zoneinfo",
    ]
    private static let known = Mutex<[String: ScheduleZone]>([:])

    /// Reads a zone, once in a process.
    package static func named(_ name: String) throws(ScheduleError) -> ScheduleZone {
        if name == "UTC" { return utc }
        if let zone = known.withLock({ $0[name] }) { return zone }
        guard isName(name) else { throw .unknownZone(name, reason: "that is no name of a zone") }
        var isThere = false
        for folder in folders {
            guard let bytes = contents("\(folder)/\(name)") else { continue }
            isThere = true
            guard let file = TimeZoneFile(bytes) else { continue }
            let zone = ScheduleZone(name, file)
            known.withLock { $0[name] = zone }
            return zone
        }
        if isThere { throw .unknownZone(name, reason: "its file cannot be read as one of a zone") }
        let hasAny = folders.contains { access($0, R_OK) == 0 }
        throw .unknownZone(
            name,
            reason: hasAny
                ? "the system has no zone of that name; names are like Europe/Berlin, and UTC"
                : "the system has no zones; install its package tzdata")
    }

    /// The zone that this system's clocks are set to, by its name; `UTC` when it cannot be told.
    package static func systemName() -> String {
        if let variable = getenv("TZ") {
            let text = String(cString: variable)
            let name = text.hasPrefix(":") ? String(text.dropFirst()) : text
            // Those of POSIX have no name: they are no zone, whatever the reason.
            if (try? named(name)) != nil { return name }
        }
        var buffer = [CChar](repeating: 0, count: 1_024)
        let count = readlink("/etc/localtime", &buffer, buffer.count - 1)
        guard count > 0 else { return "UTC" }
        let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let start = path.firstRange(of: "zoneinfo/") else { return "UTC" }
        return String(path[start.upperBound...])
    }

    private static func isName(_ name: String) -> Bool {
        guard (1...128).contains(name.utf8.count), !name.hasPrefix("/"), !name.contains("..") else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "/"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
    }

    private static func contents(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        // The largest has some 4 KiB.
        while bytes.count < 1 << 20 {
            let count = read(file, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? bytes : nil }
            bytes += buffer[..<count]
        }
        return nil
    }
}
