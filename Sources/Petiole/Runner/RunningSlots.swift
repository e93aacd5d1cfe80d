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
/// A header of 4,096 bytes (boot mark, 8 bytes; from byte 64 on, for each seat the runner's pid and the control word that it
/// has answered, 4 bytes each), then 64 seats of 256 slots of 64 bytes. A runner process takes a seat by a
/// lock byte; a seat whose byte is free belongs to nobody, and what stands in its slots was running when its owner died.
///
/// | at | size | slot |
/// |---|---|---|
/// | 0 | 8 | job, 0 = none: written last, with a fence after it |
/// | 8 | 8 | epoch of the queue |
/// | 16 | 4 | queue |
/// | 20 | 4 | attempt |
/// | 24 | 4 | flags: 1 guilty, 2 alone, 4 command |
/// | 28 | 4 | pid of the runner |
/// | 32 | 8 | start, microseconds since 1970 |
/// | 40 | 4 | pid of the child, 0 = none |
/// | 44 | 4 | process group of the child |
/// | 48 | 8 | start time of the child, as the system counts it |
/// | 56 | 8 | the job that was asked to stop |
final class RunningSlots: Sendable {
    static let seatCount = 64
    static let slotsPerSeat = 256
    static let slotSize = 64
    static let headerSize = 4_096
    static let fileSize = headerSize + seatCount * slotsPerSeat * slotSize

    private let file: MappedFile

    init(path: String) throws(StorageError) {
        file = try MappedFile(path: path, size: Self.fileSize)
    }

    func slot(seat: Int, _ index: Int) -> AttemptSlot {
        precondition(index < Self.slotsPerSeat && seat < Self.seatCount, "no such slot")
        let offset = Self.headerSize + (seat * Self.slotsPerSeat + index) * Self.slotSize
        return AttemptSlot(file.base + offset)
    }

    /// The slot that names a job, if any.
    func slot(of id: UInt64) -> AttemptSlot? {
        for seat in 0..<Self.seatCount {
            for index in 0..<Self.slotsPerSeat {
                let slot = slot(seat: seat, index)
                if slot.job == id { return slot }
            }
        }
        return nil
    }

    /// What runs, or ran when its owner died, in a seat.
    func occupied(seat: Int) -> [AttemptSlot] {
        (0..<Self.slotsPerSeat).map { slot(seat: seat, $0) }.filter { $0.job != 0 }
    }

    // MARK: Answers
    //
    // What an attempt came to is gathered for a moment before it is recorded, and its slot has gone on by then. Who cancels
    // a job that is in no slot must not take such a one for one that never started: so he waits until the owner has answered
    // the control word that he moved, which it does when all that it had gathered is recorded.

    /// From now on this process answers for the seat.
    /// - Parameter control: as it is now; the first answer is still to come.
    func beginAnswering(seat: Int, control: UInt32) {
        petiole_store_u32(file.base + Self.answer(seat) + 4, control &- 1)
        petiole_fence()
        petiole_store_u32(file.base + Self.answer(seat), UInt32(bitPattern: getpid()))
    }

    /// All that was gathered before `control` was read is recorded.
    func answer(seat: Int, control: UInt32) {
        let word = file.base + Self.answer(seat) + 4
        petiole_store_u32(word, control)
        petiole_fence()
        petiole_wake(word.assumingMemoryBound(to: UInt32.self), 1, Int32.max)
    }

    /// Nothing more will be gathered.
    func endAnswering(seat: Int) {
        petiole_store_u32(file.base + Self.answer(seat), 0)
        let word = file.base + Self.answer(seat) + 4
        _ = petiole_add_u32(word.assumingMemoryBound(to: UInt32.self), 1)
        petiole_wake(word.assumingMemoryBound(to: UInt32.self), 1, Int32.max)
    }

    /// Blocks until a living process has answered the control word at all of its seats, or answers no more.
    func waitForAnswer(of pid: pid_t, control: UInt32, _ locks: ByteLocks) {
        for seat in 0..<Self.seatCount {
            let base = file.base + Self.answer(seat)
            let word = (base + 4).assumingMemoryBound(to: UInt32.self)
            while true {
                let answered = petiole_load_sequential_u32(word)
                if Int32(bitPattern: petiole_load_u32(base)) != pid { break }
                // Counted modulo 2^32: ahead of or at what we wait for.
                if Int32(bitPattern: answered &- control) >= 0 { break }
                if locks.holder(of: StoreFormat.seatLock(seat)) != pid { break }
                // Now and then the owner dies while we wait: its lock tells.
                petiole_wait(word, answered, 1, petiole_real_time() + 100_000_000)
            }
        }
    }

    private static func answer(_ seat: Int) -> Int { 64 + seat * 8 }

    /// The mark of the boot in which the slots were written.
    var boot: UInt64 {
        get { petiole_load_u64(file.base) }
        set { petiole_store_u64(file.base, newValue) }
    }

    func clearAll() {
        for seat in 0..<Self.seatCount {
            for index in 0..<Self.slotsPerSeat { slot(seat: seat, index).clear() }
        }
    }

    func setBoot(_ mark: UInt64) { petiole_store_u64(file.base, mark) }
}

/// One slot. Written by its worker alone, but for `guilty` (a signal handler of the same thread) and `stopping` (who
/// cancels in the same process); read by any process.
struct AttemptSlot: @unchecked Sendable {
    // What guards it: the mapping lives as long as the open store, and each field is read and written atomically or, for
    // those of the child and the start, before the job's word is published.
    private let base: UnsafeMutableRawPointer

    static let guilty: UInt32 = 1
    static let alone: UInt32 = 2
    static let command: UInt32 = 4

    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// Says that a job starts here; everything after this comes after it, for every reader.
    @inline(__always)
    func publish(_ job: UInt64, startedAt: Int64) {
        petiole_store_u64(base + 32, UInt64(bitPattern: startedAt))
        petiole_publish_u64(base, job)
    }

    /// What stays the same from job to job of one queue.
    func prepare(queue: UInt32, epoch: UInt64, attempt: UInt32, flags: UInt32) {
        petiole_store_u64(base + 8, epoch)
        petiole_store_u32(base + 16, queue)
        petiole_store_u32(base + 20, attempt)
        petiole_store_u32(base + 24, flags)
        petiole_store_u32(base + 28, UInt32(bitPattern: getpid()))
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

    /// The job that was asked to stop: its number rather than a flag, so that the mark cannot hit the one that follows.
    var stopping: UInt64 {
        get { petiole_load_u64(base + 56) }
        nonmutating set { petiole_store_u64(base + 56, newValue) }
    }

    /// The word whose bit the crash handler sets.
    var flagsWord: UnsafeMutableRawPointer { base + 24 }
}

/// A number that changes when the machine is started anew.
enum BootMark {
    static func current() -> UInt64 {
        #if os(Linux)
            if let file = fopen("/proc/sys/kernel/random/boot_id", "re") {
                defer { fclose(file) }
                var line = [CChar](repeating: 0, count: 64)
                if fgets(&line, 64, file) != nil {
                    return line.withUnsafeBytes { bytes in
                        let low = petiole_crc32c(0, bytes.baseAddress, 64)
                        let high = petiole_crc32c(1, bytes.baseAddress, 64)
                        return UInt64(high) << 32 | UInt64(low)
                    }
                }
            }
            return 1
        #else
            var time = timeval()
            var size = MemoryLayout<timeval>.size
            sysctlbyname("kern.boottime", &time, &size, nil, 0)
            return UInt64(bitPattern: Int64(time.tv_sec))
        #endif
    }
}
