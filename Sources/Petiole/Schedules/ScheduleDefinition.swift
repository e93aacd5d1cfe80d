import PetioleStorage

/// What a schedule is, as it lies in the store: under `n` and its name in `schedules`.
struct ScheduleDefinition: Equatable, Sendable {
    /// The program that declares it; empty: it was added at run time.
    var program: String
    var timing: ScheduleTiming
    var missed: MissedRuns
    var overlap: Schedule.Overlap
    var job: ScheduledJob

    /// Whether it says the same, as it is stored: of what is encrypted the bytes differ each time.
    func isSame(as other: ScheduleDefinition) -> Bool {
        var copy = self
        if job.isSealed, other.job.isSealed { copy.job.content = other.job.content }
        return copy.bytes == other.bytes
    }

    /// Checks a schedule, and writes its job.
    init(
        _ schedule: Schedule, program: String, in store: JobStore
    ) throws(ScheduleError) {
        guard NameForm.isValid(schedule.name) else { throw .invalidName(schedule.name) }
        timing = try ScheduleTiming(schedule)
        if timing.rule == .own, program.isEmpty {
            throw .invalidOption(
                schedule: schedule.name,
                "its rule is the program's own, which other programs do not have: let a runner declare it, in JobRunner.Options.schedules"
            )
        }
        missed = schedule.missed
        if let problem = missed.problem {
            throw .invalidOption(schedule: schedule.name, problem)
        }
        overlap = schedule.overlap
        self.program = program
        do throws(EnqueueError) { job = try schedule.job(store) } catch { throw .job(error) }
    }

    /// - Parameters:
    ///   - anchor: when it was added.
    ///   - own: the rule of the program's own.
    func plan(
        named name: String, anchor: Int64, own: (@Sendable (WallTime) -> WallTime?)?
    ) throws(ScheduleError) -> SchedulePlan {
        try timing.plan(named: name, anchor: anchor, own: own)
    }

    // MARK: Bytes

    private static let version: UInt8 = 1
    private static let overlaps: [Schedule.Overlap] = [.allow, .skip, .queueOne]

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 256 + job.content.count)
        writer.append(littleEndian: Self.version)
        writer.append(littleEndian: UInt8(Self.overlaps.firstIndex(of: overlap)!))
        writer.append(littleEndian: missed.kind.rawValue)
        writer.append(littleEndian: missed.bound)
        writer.append(text: program)
        timing.write(to: &writer)
        job.write(to: &writer)
        return writer.withBytes { Array($0) }
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = RecordReader(bytes, "its row")
        guard try reader.number(UInt8.self) == Self.version else {
            throw FormatError("its row is of another version")
        }
        let overlap = Int(try reader.number(UInt8.self))
        guard Self.overlaps.indices.contains(overlap) else {
            throw FormatError("its overlap is \(overlap), which is unknown")
        }
        self.overlap = Self.overlaps[overlap]
        let kind: UInt8 = try reader.number()
        let bound: Int64 = try reader.number()
        guard let known = MissedRuns.Kind(rawValue: kind) else {
            throw FormatError("what it does with missed times is \(kind), which is unknown")
        }
        missed = MissedRuns(known, bound)
        if let problem = missed.problem { throw FormatError(problem) }
        program = try reader.text()
        timing = try ScheduleTiming(&reader)
        job = try ScheduledJob(&reader)
    }
}
