import PetioleStorage

/// The store's sequences: one row of `meta`, written by every commit that accepts or moves jobs.
struct Sequences: Equatable {
    /// The id of the next job. Ids are one sequence without gaps, taken in the write transaction.
    var nextJob: UInt64 = 1
    /// The next place in a lane, in steps of ``StoreFormat/positionStep``; places end in 0xFFFF.
    var nextPosition: UInt64 = StoreFormat.positionStep - 1
    var nextStage: UInt64 = 1
    var nextQueue: UInt32 = 1
    var nextName: UInt32 = 1
    /// The oldest id whose block may still be there.
    var logHead: UInt64 = 1
    /// Goes up with each change of the settings, so that every process that writes takes it over.
    var settingsTurn: UInt32 = 0
    /// Whether there is a row for what the store holds in all: see ``QueueCounters``.
    var hasTotal = false

    static let size = 48

    init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        // 40 bytes have those that no later version has written.
        guard bytes.count >= 40 else { throw FormatError("the sequences are cut short") }
        nextJob = bytes.littleEndian(at: 0)
        nextPosition = bytes.littleEndian(at: 8)
        nextStage = bytes.littleEndian(at: 16)
        nextQueue = bytes.littleEndian(at: 24)
        nextName = bytes.littleEndian(at: 28)
        logHead = bytes.littleEndian(at: 32)
        guard bytes.count >= Self.size else { return }
        settingsTurn = bytes.littleEndian(at: 40)
        hasTotal = bytes[44] & 1 != 0
    }

    func write(to target: UnsafeMutableRawPointer) {
        target.storeLittleEndian(nextJob, at: 0)
        target.storeLittleEndian(nextPosition, at: 8)
        target.storeLittleEndian(nextStage, at: 16)
        target.storeLittleEndian(nextQueue, at: 24)
        target.storeLittleEndian(nextName, at: 28)
        target.storeLittleEndian(logHead, at: 32)
        target.storeLittleEndian(settingsTurn, at: 40)
        target.storeLittleEndian(UInt32(hasTotal ? 1 : 0), at: 44)
    }

    mutating func takePosition() -> UInt64 {
        defer { nextPosition += StoreFormat.positionStep }
        return nextPosition
    }
}

/// How many jobs of a queue are where, and how many it may hold. What is ready or running is what the others leave: no count
/// is written twice. The row of queue 0 is there when the store has a capacity: its `accepted` are the jobs of all queues that
/// have not ended.
struct QueueCounters: Equatable {
    var accepted: UInt64 = 0
    var succeeded: UInt64 = 0
    var failed: UInt64 = 0
    var cancelled: UInt64 = 0
    var deadLetters: UInt64 = 0
    /// Waiting for their due time, retries among them.
    var waiting: UInt64 = 0
    var parked: UInt64 = 0
    /// Attempts that ended in another attempt.
    var retries: UInt64 = 0
    var expired: UInt64 = 0
    var discarded: UInt64 = 0
    /// Ended to make room for others.
    var dropped: UInt64 = 0
    /// Bytes of the jobs that have not ended: payloads and what lies beside them.
    var bytes: UInt64 = 0
    /// Jobs that are marked to be dropped and have not ended yet, and their bytes: see `Dropping`.
    var dropping: UInt64 = 0
    var droppingBytes: UInt64 = 0
    var capacity = CapacityRecord()
    /// Ends that requeues have taken back, and how many of them were no success: never taken off.
    var requeued: UInt64 = 0
    var requeuedFailures: UInt64 = 0

    static let size = 160

    init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        // 128 bytes have those that no later version has written.
        guard bytes.count >= 128 else {
            throw FormatError("a queue's counters are cut short")
        }
        accepted = bytes.littleEndian(at: 0)
        succeeded = bytes.littleEndian(at: 8)
        failed = bytes.littleEndian(at: 16)
        cancelled = bytes.littleEndian(at: 24)
        deadLetters = bytes.littleEndian(at: 32)
        waiting = bytes.littleEndian(at: 40)
        parked = bytes.littleEndian(at: 48)
        retries = bytes.littleEndian(at: 56)
        expired = bytes.littleEndian(at: 64)
        discarded = bytes.littleEndian(at: 72)
        guard bytes.count >= Self.size else { return }
        dropped = bytes.littleEndian(at: 80)
        self.bytes = bytes.littleEndian(at: 88)
        dropping = bytes.littleEndian(at: 96)
        droppingBytes = bytes.littleEndian(at: 104)
        capacity = CapacityRecord(bytes, at: 112)
        requeued = bytes.littleEndian(at: 144)
        requeuedFailures = bytes.littleEndian(at: 152)
    }

    func write(to target: UnsafeMutableRawPointer) {
        target.storeLittleEndian(accepted, at: 0)
        target.storeLittleEndian(succeeded, at: 8)
        target.storeLittleEndian(failed, at: 16)
        target.storeLittleEndian(cancelled, at: 24)
        target.storeLittleEndian(deadLetters, at: 32)
        target.storeLittleEndian(waiting, at: 40)
        target.storeLittleEndian(parked, at: 48)
        target.storeLittleEndian(retries, at: 56)
        target.storeLittleEndian(expired, at: 64)
        target.storeLittleEndian(discarded, at: 72)
        target.storeLittleEndian(dropped, at: 80)
        target.storeLittleEndian(bytes, at: 88)
        target.storeLittleEndian(dropping, at: 96)
        target.storeLittleEndian(droppingBytes, at: 104)
        capacity.write(to: target, at: 112)
        target.storeLittleEndian(requeued, at: 144)
        target.storeLittleEndian(requeuedFailures, at: 152)
    }

    var ended: UInt64 {
        succeeded &+ failed &+ cancelled &+ deadLetters &+ expired &+ discarded &+ dropped
    }
    var unfinished: UInt64 { accepted &- ended }

    /// What counts against a capacity: what is to be dropped is as good as gone.
    var held: JobLoad {
        JobLoad(jobs: unfinished &- dropping, bytes: bytes &- droppingBytes)
    }

    /// Takes the bytes of jobs that have ended off. Nothing is left of them with the last job: what could not be read of a
    /// damaged record is not counted for ever.
    mutating func takeOff(bytes ended: UInt64) {
        bytes = unfinished == 0 || ended > bytes ? 0 : bytes - ended
    }

    mutating func count(_ state: OutcomeBlock.State, _ jobs: UInt64 = 1) { change(state, by: jobs) }

    /// Takes an outcome back.
    mutating func uncount(_ state: OutcomeBlock.State) {
        change(state, by: .max)
        requeued &+= 1
        if state != .succeeded { requeuedFailures &+= 1 }
    }

    /// - Parameter step: how many, or what is one less when it wraps.
    private mutating func change(_ state: OutcomeBlock.State, by step: UInt64) {
        switch state {
        case .succeeded: succeeded &+= step
        case .failed: failed &+= step
        case .cancelled: cancelled &+= step
        case .deadLetter: deadLetters &+= step
        case .expired: expired &+= step
        case .discarded: discarded &+= step
        case .dropped: dropped &+= step
        }
    }
}
