import PetioleStorage

/// What a schedule is, as it lies in the store: under `n` and its name in `schedules`.
struct ScheduleDefinition: Equatable, Sendable {
    /// When its times are.
    enum Rule: Equatable, Sendable {
        case cron(String, seconds: Bool, days: CronDays)
        /// Microseconds.
        case every(Int64, alignedTo: Schedule.Alignment)
        case at(Int64)
        /// The declaring program's own.
        case own
    }

    /// The program that declares it; empty: it was added at run time.
    var program: String
    var rule: Rule
    var zone: String
    /// Microseconds since 1970.
    var start: Int64?
    var end: Int64?
    /// Days since 1970-01-01, in their order.
    var excluded: [Int32]
    /// Microseconds.
    var jitter: Int64
    var missed: MissedRuns
    var overlap: Schedule.Overlap
    var job: ScheduledJob

    /// Whether it says the same: of what is encrypted the bytes differ each time.
    func isSame(as other: ScheduleDefinition) -> Bool {
        if self == other { return true }
        guard job.isSealed, other.job.isSealed else { return false }
        var copy = self
        copy.job.content = other.job.content
        return copy == other
    }

    // MARK: From a program

    static let mostExcluded = 1_000
    static let longestJitter: Int64 = 366 * 86_400_000_000

    /// Checks a schedule, and writes its job.
    init(
        _ schedule: Schedule, program: String, in store: JobStore
    ) throws(ScheduleError) {
        guard NameForm.isValid(schedule.name) else { throw .invalidName(schedule.name) }
        func problem(_ problem: String) -> ScheduleError {
            .invalidOption(schedule: schedule.name, problem)
        }
        switch schedule.rule {
        case .cron(let text, let seconds, let days):
            guard text.utf8.count <= 1_000 else {
                throw problem("its rule has \(text.utf8.count) bytes; 1,000 are allowed")
            }
            rule = .cron(text, seconds: seconds, days: days)
        case .every(let interval, let alignment):
            guard interval >= .milliseconds(1) else {
                throw problem("its interval is \(interval); a millisecond and more are allowed")
            }
            rule = .every(interval.clampedMicroseconds, alignedTo: alignment)
        case .at(let instant): rule = .at(instant.microseconds)
        case .own:
            if program.isEmpty {
                throw problem(
                    "its rule is the program's own, which other programs do not have: let a runner declare it, in JobRunner.Options.schedules"
                )
            }
            rule = .own
        }
        zone = schedule.zone
        start = schedule.start?.microseconds
        end = schedule.end?.microseconds
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
        missed = schedule.missed
        if let wrong = missed.problem { throw problem(wrong) }
        overlap = schedule.overlap
        self.program = program
        do throws(EnqueueError) { job = try schedule.job(store) } catch { throw .job(error) }
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
            guard let own else { throw .unknownRule(schedule: name, program: program) }
            return .own(own)
        }
    }

    // MARK: Bytes

    private static let version: UInt8 = 1

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 256 + job.content.count)
        writer.append(littleEndian: Self.version)
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
        let overlaps: [Schedule.Overlap] = [.allow, .skip, .queueOne]
        writer.append(littleEndian: UInt8(overlaps.firstIndex(of: overlap)!))
        writer.append(littleEndian: missed.kind.rawValue)
        writer.append(littleEndian: missed.bound)
        writer.append(littleEndian: jitter)
        writer.append(littleEndian: start ?? .min)
        writer.append(littleEndian: end ?? .max)
        writer.append(text: program)
        writer.append(text: zone)
        writer.append(littleEndian: UInt16(excluded.count))
        for day in excluded { writer.append(littleEndian: day) }
        job.write(to: &writer)
        return writer.withBytes { Array($0) }
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = RecordReader(bytes, "the row of a schedule")
        guard try reader.number(UInt8.self) == Self.version else {
            throw FormatError("the row of a schedule is of another version")
        }
        let kind: UInt8 = try reader.number()
        let flags: UInt8 = try reader.number()
        switch kind {
        case 1:
            rule = .cron(
                try reader.text(), seconds: flags & 1 != 0, days: flags & 2 != 0 ? .both : .either)
        case 2:
            let interval: Int64 = try reader.number()
            guard interval > 0 else {
                throw FormatError("the interval of a schedule is \(interval)")
            }
            rule = .every(interval, alignedTo: flags & 1 != 0 ? .clock : .start)
        case 3: rule = .at(try reader.number())
        case 4: rule = .own
        default: throw FormatError("the rule of a schedule is of kind \(kind), which is unknown")
        }
        switch try reader.number(UInt8.self) {
        case 0: overlap = .allow
        case 1: overlap = .skip
        case 2: overlap = .queueOne
        case let other: throw FormatError("the overlap of a schedule is \(other)")
        }
        let missedKind: UInt8 = try reader.number()
        let bound: Int64 = try reader.number()
        guard let known = MissedRuns.Kind(rawValue: missedKind) else {
            throw FormatError("what a schedule misses is \(missedKind)")
        }
        missed = MissedRuns(known, bound)
        if let problem = missed.problem { throw FormatError(problem) }
        jitter = max(0, try reader.number())
        let start: Int64 = try reader.number()
        let end: Int64 = try reader.number()
        self.start = start == .min ? nil : start
        self.end = end == .max ? nil : end
        program = try reader.text()
        zone = try reader.text()
        var excluded: [Int32] = []
        for _ in 0..<(try reader.number(UInt16.self)) { excluded.append(try reader.number()) }
        self.excluded = excluded
        job = try ScheduledJob(&reader)
    }
}
