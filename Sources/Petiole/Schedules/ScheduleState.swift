import PetioleStorage

/// How far a schedule is: a row of `schedules` under `s` and its name.
struct ScheduleState: Equatable, Sendable {
    /// Somebody paused it.
    var isPaused = false
    /// The program that declared it does not any more.
    var isDisabled = false
    /// The planned time that was not decided about yet; nil: there is none any more. Microseconds since 1970, as all times here.
    var next: Int64?
    /// Where its row among the due ones is; 0: there is none.
    var due: Int64 = 0
    /// One that waits for the last job's end; 0: none.
    var behind: Int64 = 0
    /// When it was added.
    var anchor: Int64
    /// The planned time that was enqueued last, and when; 0: none was.
    var lastPlanned: Int64 = 0
    var lastFired: Int64 = 0
    /// The job of it; 0: none.
    var lastJob: UInt64 = 0
    /// Not 0: ``next`` is to be found after this instant, by who knows its rule.
    var plansAfter: Int64 = 0
    /// Jobs that it has enqueued, times that were missed, and those left out since the last job had not ended.
    var fired: UInt64 = 0
    var missed: UInt64 = 0
    var skipped: UInt64 = 0

    static let size = 96

    init(anchor: Int64) { self.anchor = anchor }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size else {
            throw FormatError("its state is cut short")
        }
        isPaused = bytes[0] & 1 != 0
        isDisabled = bytes[0] & 2 != 0
        next = bytes[0] & 4 != 0 ? bytes.littleEndian(at: 8) : nil
        due = bytes.littleEndian(at: 16)
        behind = bytes.littleEndian(at: 24)
        anchor = bytes.littleEndian(at: 32)
        lastPlanned = bytes.littleEndian(at: 40)
        lastFired = bytes.littleEndian(at: 48)
        lastJob = bytes.littleEndian(at: 56)
        fired = bytes.littleEndian(at: 64)
        missed = bytes.littleEndian(at: 72)
        skipped = bytes.littleEndian(at: 80)
        plansAfter = bytes.littleEndian(at: 88)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        let flags: UInt64 = (isPaused ? 1 : 0) | (isDisabled ? 2 : 0) | (next != nil ? 4 : 0)
        writer.append(littleEndian: flags)
        for number in [next ?? 0, due, behind, anchor, lastPlanned, lastFired] {
            writer.append(littleEndian: number)
        }
        for number in [lastJob, fired, missed, skipped] { writer.append(littleEndian: number) }
        writer.append(littleEndian: plansAfter)
        return writer.withBytes { Array($0) }
    }
}
