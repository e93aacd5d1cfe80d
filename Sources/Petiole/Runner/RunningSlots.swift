import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The store's file `running`: a slot for each attempt in flight, written before the job starts, without a system call.
/// It outlives a process (it is in the page cache), and need not outlive the machine: after a restart nothing runs.
///
/// A header of 4,096 bytes (boot mark, 8 bytes; from byte 64 on who follows outputs, see ``FollowEntry``; from byte 1,024 on 16 bytes of each seat: a word for ``Answer``, and below
/// which index its slots have been used), then 64 seats of 1,024 slots of 64 bytes. A runner process takes a seat by a
/// lock byte; a seat whose byte is free belongs to nobody, and what stands in its slots was running when its owner died.
///
/// | at | size | slot |
/// |---|---|---|
/// | 0 | 8 | job, 0 = none: written last, with a fence after it |
/// | 8 | 8 | epoch of the queue |
/// | 16 | 4 | queue |
/// | 20 | 4 | attempt |
/// | 24 | 4 | flags: 1 guilty, 2 alone, 4 in a child, 8 its child has begun, 16 of a batch, 32 waits for a job |
/// | 28 | 4 | pid of the runner |
/// | 32 | 8 | start, microseconds since 1970 |
/// | 40 | 4 | pid of the child, 0 = none |
/// | 44 | 4 | process group of the child |
/// | 48 | 8 | start time of the child, as the system counts it; of a batch its first job |
/// | 56 | 8 | the job that was asked to stop |
final class RunningSlots: Sendable {
    static let seatCount = 64
    static let slotsPerSeat = 1_024
    static let slotSize = 64
    static let headerSize = 4_096
    static let fileSize = headerSize + seatCount * slotsPerSeat * slotSize

    private let file: MappedFile
    /// The 4,096 bytes before the slots.
    var header: UnsafeMutableRawPointer { file.base }

    init(path: String) throws(StorageError) {
        file = try MappedFile(path: path, size: Self.fileSize)
    }

    /// The slot of a number among those of all seats; nil when there is no such number.
    func slot(at index: Int) -> AttemptSlot? {
        guard index >= 0, index < Self.seatCount * Self.slotsPerSeat else { return nil }
        return slot(seat: index / Self.slotsPerSeat, index % Self.slotsPerSeat)
    }

    func slot(seat: Int, _ index: Int) -> AttemptSlot {
        precondition(index < Self.slotsPerSeat && seat < Self.seatCount, "no such slot")
        let offset = Self.headerSize + (seat * Self.slotsPerSeat + index) * Self.slotSize
        return AttemptSlot(file.base + offset)
    }

    /// The number of a slot among those of all seats.
    func index(of slot: AttemptSlot) -> Int {
        (slot.base - (file.base + Self.headerSize)) / Self.slotSize
    }

    /// How many slots of a seat may ever have been used: the others need not be looked at.
    func used(seat: Int) -> Int {
        min(Int(petiole_load_sequential_u32(usedWord(seat))), Self.slotsPerSeat)
    }

    /// Says that slots below `count` may be used. For the owner of the seat alone, one thread at a time, before the first
    /// use: who reads the slots behind the fence that follows a publication sees this too.
    func use(seat: Int, upTo count: Int) {
        if used(seat: seat) < count { petiole_store_u32(usedWord(seat), UInt32(count)) }
    }

    private func usedWord(_ seat: Int) -> UnsafeMutableRawPointer {
        precondition(seat < Self.seatCount, "no such seat")
        return file.base + 1_024 + seat * 16 + 4
    }

    /// The jobs that slots name now.
    func jobs() -> Set<UInt64> {
        var jobs: Set<UInt64> = []
        for seat in 0..<Self.seatCount { jobs.formUnion(occupied(seat: seat).map { $0.job }) }
        return jobs
    }

    /// The slot that names a job, if any.
    func slot(of id: UInt64) -> AttemptSlot? {
        for seat in 0..<Self.seatCount {
            for index in 0..<used(seat: seat) {
                let slot = slot(seat: seat, index)
                if slot.job == id { return slot }
            }
        }
        return nil
    }

    /// The word by which a seat's runner answers requests.
    func answer(seat: Int) -> Answer {
        precondition(seat < Self.seatCount, "no such seat")
        return Answer(file.base + 1_024 + seat * 16)
    }

    /// What runs, or ran when its owner died, in a seat.
    func occupied(seat: Int) -> [AttemptSlot] {
        (0..<used(seat: seat)).map { slot(seat: seat, $0) }.filter { $0.job != 0 }
    }

    /// The mark of the boot in which the slots were written.
    var boot: UInt64 {
        get { petiole_load_u64(file.base) }
        set { petiole_store_u64(file.base, newValue) }
    }

    func clearAll() {
        for seat in 0..<Self.seatCount {
            answer(seat: seat).give(0)
            for index in 0..<used(seat: seat) { slot(seat: seat, index).clear() }
            petiole_store_u32(usedWord(seat), 0)
        }
    }

    func setBoot(_ mark: UInt64) { petiole_store_u64(file.base, mark) }
}

/// One slot. Written by its worker alone, but for `guilty` (a signal handler of the same thread), `begun` (the worker's child)
/// and `stopping` (who cancels in the same process); read by any process.
struct AttemptSlot: @unchecked Sendable {
    // What guards it: the mapping lives as long as the open store, and each field is read and written atomically or, for
    // those of the child and the start, before the job's word is published.
    fileprivate let base: UnsafeMutableRawPointer

    static let guilty: UInt32 = 1
    static let alone: UInt32 = 2
    /// A command, or a job type with `isolation` `.process`.
    static let command: UInt32 = 4
    /// Set by the child that was given the job, before it runs anything of it.
    static let begun: UInt32 = 8
    /// One item of a batch of several, whose ``leader`` says which.
    static let batch: UInt32 = 16
    /// It waits for another job: what ends the process meanwhile is not this one.
    static let waiting: UInt32 = 32

    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// Says that a job starts here; everything after this comes after it, for every reader.
    @inline(__always)
    func publish(_ job: UInt64, startedAt: Int64) {
        petiole_store_u64(base + 32, UInt64(bitPattern: startedAt))
        // The same job may have been asked to stop here before, and run once more.
        petiole_store_u64(base + 56, 0)
        petiole_publish_u64(base, job)
    }

    /// Asked for once: it is a call of the kernel.
    private static let ownPID = UInt32(bitPattern: getpid())

    /// What stays the same from job to job of one queue.
    func prepare(queue: UInt32, epoch: UInt64, attempt: UInt32, flags: UInt32) {
        petiole_store_u64(base + 8, epoch)
        petiole_store_u32(base + 16, queue)
        petiole_store_u32(base + 20, attempt)
        petiole_store_u32(base + 24, flags)
        petiole_store_u32(base + 28, Self.ownPID)
        petiole_store_u32(base + 40, 0)
    }

    func clear() {
        petiole_store_u64(base, 0)
        petiole_store_u32(base + 40, 0)
    }

    func setChild(pid: Int32, group: Int32, startTime: UInt64) {
        petiole_store_u32(base + 44, UInt32(bitPattern: group))
        petiole_store_u64(base + 48, startTime)
        petiole_store_u32(base + 40, UInt32(bitPattern: pid))
    }

    var job: UInt64 { petiole_load_u64(base) }
    var epoch: UInt64 { petiole_load_u64(base + 8) }
    var queue: UInt32 { petiole_load_u32(base + 16) }
    var attempt: UInt32 { petiole_load_u32(base + 20) }
    var flags: UInt32 { petiole_load_u32(base + 24) }
    var runner: Int32 { Int32(bitPattern: petiole_load_u32(base + 28)) }
    var startedAt: Int64 { Int64(bitPattern: petiole_load_u64(base + 32)) }
    var child: (pid: Int32, group: Int32, startTime: UInt64)? {
        let pid = Int32(bitPattern: petiole_load_u32(base + 40))
        guard pid > 0 else { return nil }
        return (
            pid, Int32(bitPattern: petiole_load_u32(base + 44)), petiole_load_u64(base + 48)
        )
    }

    /// Says in the child that the job begins there.
    func noteBegun() { _ = petiole_or_u32(flagsWord, Self.begun) }

    /// Says that the job waits for another one, or goes on. While it waits, whatever ended its process ran beside it.
    var isWaiting: Bool {
        get { flags & Self.waiting != 0 }
        nonmutating set {
            // Of the other bits one may be set at the same time.
            if newValue {
                _ = petiole_or_u32(flagsWord, Self.waiting)
            } else {
                _ = petiole_and_u32(flagsWord, ~Self.waiting)
            }
        }
    }

    /// Of an item of a batch its first job, so that one finds those that ran together. It lies where a child's start time does.
    var leader: UInt64 {
        get { petiole_load_u64(base + 48) }
        nonmutating set { petiole_store_u64(base + 48, newValue) }
    }

    /// The job that was asked to stop: its number rather than a flag, so that the mark cannot hit the one that follows.
    var stopping: UInt64 {
        get { petiole_load_u64(base + 56) }
        nonmutating set { petiole_store_u64(base + 56, newValue) }
    }

    /// The word whose bit the crash handler sets.
    var flagsWord: UnsafeMutableRawPointer { base + 24 }
}

/// The value of the control word up to which a runner has recorded what its attempts came to. An attempt that has left its
/// slot may have ended without being recorded yet; who cancels and finds none waits for this, so that "it had not started"
/// is not said of a job that had ended.
struct Answer: @unchecked Sendable {
    // What guards it: the mapping lives as long as the open store, and the word is only touched atomically.
    private let word: UnsafeMutablePointer<UInt32>

    init(_ base: UnsafeMutableRawPointer) { word = base.assumingMemoryBound(to: UInt32.self) }

    func give(_ control: UInt32) {
        petiole_store_u32(word, control)
        petiole_fence()
        petiole_wake(word, 1, Int32.max)
    }

    func isGiven(to control: UInt32) -> Bool {
        Int32(bitPattern: petiole_load_sequential_u32(word) &- control) >= 0
    }

    /// Blocks the thread until the answer is given, so many nanoseconds are over, or for no reason.
    func wait(for control: UInt32, atMost nanoseconds: Int64) {
        let value = petiole_load_sequential_u32(word)
        if Int32(bitPattern: value &- control) < 0 {
            _ = petiole_wait_for(word, value, 1, nanoseconds, .max)
        }
    }
}
