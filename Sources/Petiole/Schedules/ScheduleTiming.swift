/// When the times of a schedule are, as it lies in the store.
struct ScheduleTiming: Equatable, Sendable {
    enum Rule: Equatable, Sendable {
        case cron(String, seconds: Bool, days: CronDays)
        /// Microseconds.
        case every(Int64, alignedTo: Schedule.Alignment)
        case at(Int64)
        /// The declaring program's own.
        case own
    }

    var rule: Rule
    var zone: String
    /// Microseconds since 1970.
    var start: Int64?
    var end: Int64?
    /// Days since 1970-01-01, in their order.
    var excluded: [Int32]
    /// Microseconds.
    var jitter: Int64

    static let longestRule = 1_000
    static let mostExcluded = 1_000
    static let longestJitter: Int64 = 366 * 86_400_000_000

    /// Checks what a program says.
    init(_ schedule: Schedule) throws(ScheduleError) {
        func problem(_ problem: String) -> ScheduleError {
            .invalidOption(schedule: schedule.name, problem)
        }
        switch schedule.rule {
        case .cron(let text, let seconds, let days):
            guard text.utf8.count <= Self.longestRule else {
                throw problem(
                    "its rule has \(text.utf8.count) bytes; \(Self.longestRule) are allowed")
            }
            rule = .cron(text, seconds: seconds, days: days)
        case .every(let interval, let alignment):
            guard interval >= .milliseconds(1) else {
                throw problem("its interval is \(interval); a millisecond and more are allowed")
            }
            rule = .every(interval.clampedMicroseconds, alignedTo: alignment)
        case .at(let instant): rule = .at(instant.microseconds)
        case .own: rule = .own
        }
        zone = schedule.zone
        // The ends of time are none.
        start = schedule.start.flatMap { $0.microseconds == .min ? nil : $0.microseconds }
        end = schedule.end.flatMap { $0.microseconds == .max ? nil : $0.microseconds }
        if let start, let end, start > end { throw problem("it ends before it starts") }
        guard schedule.excludedDates.count <= Self.mostExcluded else {
            throw problem(
                "\(schedule.excludedDates.count) dates are excluded; \(Self.mostExcluded) are allowed"
            )
        }
        excluded = schedule.excludedDates.map { Int32(clamping: $0.days) }.sorted()
        jitter = schedule.jitter.clampedMicroseconds
        guard schedule.jitter >= .zero, jitter <= Self.longestJitter else {
            throw problem("its jitter is \(schedule.jitter); zero to 366 days are allowed")
        }
    }

    // MARK: Its times

    /// - Parameters:
    ///   - anchor: when it was added: intervals are counted from there unless it has a start.
    ///   - own: the rule of the program's own.
    func plan(
        named name: String, anchor: Int64, own: (@Sendable (WallTime) -> WallTime?)?
    ) throws(ScheduleError) -> SchedulePlan {
        let zone = try ScheduleZone.named(zone)
        var plan = SchedulePlan(
            PlannedTimes(try times(named: name, anchor: anchor, zone, own), in: zone))
        plan.start = start ?? .min
        plan.end = end ?? .max
        plan.excluded = excluded
        plan.jitter = jitter
        plan.seed = Array(name.utf8).withUnsafeBytes { RowHash.hash($0) }
        return plan
    }

    private func times(
        named name: String, anchor: Int64, _ zone: ScheduleZone,
        _ own: (@Sendable (WallTime) -> WallTime?)?
    ) throws(ScheduleError) -> PlannedTimes.Rule {
        switch rule {
        case .cron(let text, let seconds, let days):
            return .cron(try CronRule(text, hasSeconds: seconds, days: days))
        case .every(let interval, .clock):
            return PlannedTimes.every(interval, alignedToClockIn: zone).rule
        case .every(let interval, .start): return .every(interval, from: start ?? anchor)
        case .at(let instant): return .at(instant)
        case .own:
            guard let own else { throw .unknownRule(schedule: name) }
            return .own(own)
        }
    }

    // MARK: Bytes

    func write(to writer: inout ByteWriter) {
        switch rule {
        case .cron(let text, let seconds, let days):
            writer.append(littleEndian: UInt8(1))
            writer.append(littleEndian: UInt8((seconds ? 1 : 0) | (days == .both ? 2 : 0)))
            writer.append(text: text)
        case .every(let interval, let alignment):
            writer.append(littleEndian: UInt8(2))
            writer.append(littleEndian: UInt8(alignment == .clock ? 1 : 0))
            writer.append(littleEndian: interval)
        case .at(let instant):
            writer.append(littleEndian: UInt8(3))
            writer.append(littleEndian: UInt8(0))
            writer.append(littleEndian: instant)
        case .own:
            writer.append(littleEndian: UInt8(4))
            writer.append(littleEndian: UInt8(0))
        }
        writer.append(littleEndian: jitter)
        writer.append(littleEndian: start ?? .min)
        writer.append(littleEndian: end ?? .max)
        writer.append(text: zone)
        writer.append(littleEndian: UInt16(excluded.count))
        for day in excluded { writer.append(littleEndian: day) }
    }

    init(_ reader: inout RecordReader) throws(FormatError) {
        let kind: UInt8 = try reader.number()
        let flags: UInt8 = try reader.number()
        switch kind {
        case 1:
            rule = .cron(
                try reader.text(), seconds: flags & 1 != 0, days: flags & 2 != 0 ? .both : .either)
        case 2:
            let interval: Int64 = try reader.number()
            guard interval > 0 else { throw FormatError("its interval is \(interval)") }
            rule = .every(interval, alignedTo: flags & 1 != 0 ? .clock : .start)
        case 3: rule = .at(try reader.number())
        case 4: rule = .own
        default: throw FormatError("its rule is of kind \(kind), which is unknown")
        }
        jitter = max(0, try reader.number())
        let start: Int64 = try reader.number()
        let end: Int64 = try reader.number()
        self.start = start == .min ? nil : start
        self.end = end == .max ? nil : end
        zone = try reader.text()
        var excluded: [Int32] = []
        for _ in 0..<(try reader.number(UInt16.self)) { excluded.append(try reader.number()) }
        self.excluded = excluded
    }
}

extension Schedule {
    /// The coming planned times, without a store: those that it would have if it was added at an instant.
    /// - Parameters:
    ///   - instant: no time is before it, nor at it.
    ///   - count: how many at most.
    /// - Throws: ``ScheduleError``.
    /// - Complexity: O(*count*), some microseconds each for most rules.
    public func plannedTimes(
        after instant: WallTime, count: Int
    ) throws(ScheduleError) -> [WallTime] {
        var own: (@Sendable (WallTime) -> WallTime?)?
        if case .own(let rule) = rule { own = rule }
        let plan = try ScheduleTiming(self).plan(
            named: name, anchor: instant.microseconds, own: own)
        return plan.times(after: instant.microseconds, count: count)
    }
}
