import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Outcomes of consecutive ids that were recorded in one commit: laid out as ``JobBlock`` is.
///
/// | at | size | header |
/// |---|---|---|
/// | 0 | 2 | magic "PO" |
/// | 2 | 1 | version |
/// | 3 | 1 | 0 |
/// | 4 | 4 | count |
/// | 8 | 4 | queue |
/// | 12 | 4 | CRC-32C of the first id, then of the header without this field |
/// | 16 | 8 | base time, microseconds since 1970 |
/// | 24 | 4 | length of the value in bytes |
/// | 28 | 4 | 0 |
///
/// | at | size | entry, 24 bytes each |
/// |---|---|---|
/// | 0 | 4 | offset of history and result from the end of the entries |
/// | 4 | 4 | their length |
/// | 8 | 4 | CRC-32C of them, then of bytes 12…23 as 8 + 8 (16 twice), then of the id |
/// | 12 | 1 | state: 1 succeeded, 2 failed, 3 cancelled, 4 dead letter, 5 expired, 6 discarded, 7 dropped |
/// | 13 | 1 | codec of the result; bit 7: a history lies before it, with its length in 4 bytes first |
/// | 14 | 2 | attempt, 0 when none began |
/// | 16 | 4 | start, microseconds after the base time |
/// | 20 | 4 | run time: bits 0…29 the number, bits 30…31 its unit: 0 microseconds, 1 milliseconds, 2 seconds |
enum OutcomeBlock {
    static let magic: UInt16 = 0x4F50
    static let version: UInt8 = 1
    static let historyFlag: UInt8 = 0x80
    /// The result was not kept, as the job asked.
    static let discardedFlag: UInt8 = 0x40
    /// The codec of what is the id of the job whose result it is, 8 bytes.
    static let resultOfAnother: UInt8 = 5
    /// The codec of what is, of a job that was cancelled since one that it was to come after did not succeed, the id of that one, 8
    /// bytes, and its state.
    static let becauseOfAnother: UInt8 = 6

    enum State: UInt8, Sendable {
        case succeeded = 1
        case failed = 2
        case cancelled = 3
        case deadLetter = 4
        /// Its expiry passed before it started.
        case expired = 5
        /// Given up on purpose.
        case discarded = 6
        /// Ended to make room for others.
        case dropped = 7

        /// Whether the result's place holds a failure.
        var holdsFailure: Bool { self == .failed || self == .deadLetter || self == .discarded }
    }

    /// Packs a run time; precise to a thousandth, at most 34 years.
    static func packed(microseconds: Int64) -> UInt32 {
        let limit: Int64 = 1 << 30
        let value = max(0, microseconds)
        if value < limit { return UInt32(value) }
        if value / 1_000 < limit { return 1 << 30 | UInt32(value / 1_000) }
        return 2 << 30 | UInt32(min(value / 1_000_000, limit - 1))
    }

    static func microseconds(packed: UInt32) -> Int64 {
        let number = Int64(packed & 0x3FFF_FFFF)
        switch packed >> 30 {
        case 0: return number
        case 1: return number * 1_000
        default: return number * 1_000_000
        }
    }
}

/// One outcome, as it is recorded.
struct OutcomeEntry {
    var state: OutcomeBlock.State
    var codec: UInt8
    var attempt: UInt16
    /// Microseconds since 1970.
    var startedAt: Int64
    var runMicroseconds: Int64
}

/// Outcomes of consecutive ids that are being gathered.
struct OutcomeBlockBuilder: ~Copyable {
    private var entries: ByteWriter
    private var bytes: ByteWriter
    private(set) var first: UInt64 = 0
    private(set) var count: UInt32 = 0
    /// How many of them hold a failure.
    private(set) var failures: UInt32 = 0
    private var baseTime: Int64 = 0

    init(capacity: Int = 1) {
        entries = ByteWriter(capacity: capacity * JobBlock.entrySize)
        bytes = ByteWriter(capacity: capacity * 16)
    }

    var size: Int { JobBlock.headerSize + entries.count + bytes.count }
    var end: UInt64 { first + UInt64(count) }

    /// Whether the outcome of a job belongs here: its id follows, its start is within 71 minutes, and there is room.
    @inline(__always)
    func accepts(_ id: UInt64, startedAt: Int64, byteCount: Int) -> Bool {
        count == 0
            || id == end && startedAt >= baseTime && startedAt - baseTime <= Int64(UInt32.max)
                && size + JobBlock.entrySize + byteCount <= StoreFormat.blockLimit
    }

    mutating func append(
        _ id: UInt64, _ outcome: OutcomeEntry, history: UnsafeRawBufferPointer? = nil,
        result: UnsafeRawBufferPointer
    ) {
        if count == 0 {
            first = id
            baseTime = outcome.startedAt
        }
        add(id, outcome, history, result)
    }

    /// Appends what was recorded in a block, to be recorded anew: consecutive outcomes of one block always fit in one, since
    /// the time that they count from is its own, whichever comes first.
    mutating func append(
        _ id: UInt64, _ outcome: OutcomeEntry, of block: OutcomeBlockView,
        history: UnsafeRawBufferPointer?, result: UnsafeRawBufferPointer
    ) {
        if count == 0 {
            first = id
            baseTime = block.baseTime
        }
        add(id, outcome, history, result)
    }

    @inline(__always)
    private mutating func add(
        _ id: UInt64, _ outcome: OutcomeEntry, _ history: UnsafeRawBufferPointer?,
        _ result: UnsafeRawBufferPointer
    ) {
        let offset = bytes.count
        var codec = outcome.codec
        if let history {
            codec |= OutcomeBlock.historyFlag
            bytes.append(littleEndian: UInt32(history.count))
            bytes.append(contentsOf: history)
        }
        bytes.append(contentsOf: result)
        let length = bytes.count - offset
        let entry = entries.reserve(JobBlock.entrySize)
        entry.storeLittleEndian(UInt32(offset), at: 0)
        entry.storeLittleEndian(UInt32(length), at: 4)
        entry.storeBytes(of: outcome.state.rawValue, toByteOffset: 12, as: UInt8.self)
        entry.storeBytes(of: codec, toByteOffset: 13, as: UInt8.self)
        entry.storeLittleEndian(outcome.attempt, at: 14)
        entry.storeLittleEndian(UInt32(outcome.startedAt - baseTime), at: 16)
        entry.storeLittleEndian(
            OutcomeBlock.packed(microseconds: outcome.runMicroseconds), at: 20)
        let checksum = bytes.withBytes { petiole_crc32c(0, $0.baseAddress! + offset, length) }
        entry.storeLittleEndian(JobBlock.checksum(checksum, entry: entry, id: id), at: 8)
        count += 1
        if outcome.state != .succeeded, outcome.state.holdsFailure { failures += 1 }
    }

    func write(to target: UnsafeMutableRawPointer, queue: UInt32) {
        target.storeLittleEndian(OutcomeBlock.magic, at: 0)
        target.storeLittleEndian(UInt16(OutcomeBlock.version), at: 2)
        target.storeLittleEndian(count, at: 4)
        target.storeLittleEndian(queue, at: 8)
        target.storeLittleEndian(baseTime, at: 16)
        target.storeLittleEndian(UInt32(size), at: 24)
        target.storeLittleEndian(UInt32(0), at: 28)
        target.storeLittleEndian(JobBlock.headerChecksum(target, first: first), at: 12)
        let table = target + JobBlock.headerSize
        entries.withBytes { _ = memcpy(table, $0.baseAddress!, $0.count) }
        bytes.withBytes { _ = memcpy(table + entries.count, $0.baseAddress!, $0.count) }
    }

    /// Some of the outcomes, as a block of their own.
    func part(from start: UInt64, to end: UInt64) -> OutcomeBlockBuilder {
        var part = OutcomeBlockBuilder(capacity: Int(end - start))
        part.first = start
        part.count = UInt32(end - start)
        part.baseTime = baseTime
        for index in Int(start - first)..<Int(end - first) {
            let at = index * JobBlock.entrySize
            let (offset, length) = entries.withBytes { entries in
                (
                    Int(entries.littleEndian(at: at, as: UInt32.self)),
                    Int(entries.littleEndian(at: at + 4, as: UInt32.self))
                )
            }
            // The checksum covers neither offset nor neighbours: it stays right.
            let target = part.entries.reserve(JobBlock.entrySize)
            entries.withBytes { _ = memcpy(target, $0.baseAddress! + at, JobBlock.entrySize) }
            target.storeLittleEndian(UInt32(part.bytes.count), at: 0)
            let place = part.bytes.reserve(length)
            bytes.withBytes { _ = memcpy(place, $0.baseAddress! + offset, length) }
        }
        // At most: who looks finds out.
        part.failures = failures
        return part
    }

    /// How a job among them ended.
    func state(of id: UInt64) -> OutcomeBlock.State {
        entries.withBytes { entries in
            OutcomeBlock.State(
                rawValue: entries[Int(id - first) * JobBlock.entrySize + 12])!
        }
    }

    /// The state of each outcome in turn, for the counters.
    func forEachState(_ body: (OutcomeBlock.State) -> Void) {
        entries.withBytes { entries in
            for index in 0..<Int(count) {
                let state = entries[index * JobBlock.entrySize + 12]
                body(OutcomeBlock.State(rawValue: state)!)
            }
        }
    }
}

/// Outcomes read in place. Good as long as the view that they were found in.
struct OutcomeBlockView {
    let first: UInt64
    let count: Int
    let queue: UInt32
    /// What the starts of its outcomes count from, none of which began before it.
    let baseTime: Int64
    private let value: UnsafeRawBufferPointer
    private let bytesStart: Int

    var end: UInt64 { first + UInt64(count) }
    var byteCount: Int { value.count }
    func contains(_ id: UInt64) -> Bool { id >= first && id < end }

    init(first: UInt64, value: UnsafeRawBufferPointer) throws(FormatError) {
        guard value.count >= JobBlock.headerSize,
            value.littleEndian(at: 0, as: UInt16.self) == OutcomeBlock.magic,
            value[2] == OutcomeBlock.version
        else { throw FormatError("the outcomes from job \(first) on have no header") }
        let checksum = value.littleEndian(at: 12, as: UInt32.self)
        guard checksum == JobBlock.headerChecksum(value.baseAddress!, first: first) else {
            throw FormatError("the outcomes from job \(first) on have a wrong checksum")
        }
        count = Int(value.littleEndian(at: 4, as: UInt32.self))
        let start = JobBlock.headerSize + count * JobBlock.entrySize
        guard count > 0, start <= value.count,
            Int(value.littleEndian(at: 24, as: UInt32.self)) == value.count
        else { throw FormatError("the outcomes from job \(first) on are cut short") }
        self.first = first
        queue = value.littleEndian(at: 8)
        baseTime = value.littleEndian(at: 16)
        self.value = value
        bytesStart = start
    }

    struct Entry {
        let state: OutcomeBlock.State
        let codec: UInt8
        let isResultDiscarded: Bool
        let attempt: Int
        let startedAt: Int64
        let runMicroseconds: Int64
        let history: UnsafeRawBufferPointer?
        let result: UnsafeRawBufferPointer
    }

    /// How a job ended, without looking at its bytes.
    func stateHint(_ id: UInt64) -> OutcomeBlock.State? {
        OutcomeBlock.State(
            rawValue: value[JobBlock.headerSize + Int(id - first) * JobBlock.entrySize + 12])
    }

    func entry(_ id: UInt64) throws(FormatError) -> Entry {
        let at = JobBlock.headerSize + Int(id - first) * JobBlock.entrySize
        let entry = value.baseAddress! + at
        let offset = Int(value.littleEndian(at: at, as: UInt32.self))
        let length = Int(value.littleEndian(at: at + 4, as: UInt32.self))
        let available = value.count - bytesStart
        guard offset <= available, length <= available - offset else {
            throw FormatError("the outcome of job \(id) points outside its block")
        }
        var bytes = UnsafeRawBufferPointer(
            rebasing: value[(bytesStart + offset)..<(bytesStart + offset + length)])
        let computed = JobBlock.checksum(
            petiole_crc32c(0, bytes.baseAddress, length), entry: entry, id: id)
        guard computed == value.littleEndian(at: at + 8, as: UInt32.self) else {
            throw FormatError("the outcome of job \(id) has a wrong checksum")
        }
        guard let state = OutcomeBlock.State(rawValue: value[at + 12]) else {
            throw FormatError("the outcome of job \(id) has an unknown state")
        }
        var history: UnsafeRawBufferPointer?
        let codec = value[at + 13]
        if codec & OutcomeBlock.historyFlag != 0 {
            guard bytes.count >= 4 else {
                throw FormatError("the history of job \(id) is cut short")
            }
            let historyLength = Int(bytes.littleEndian(at: 0, as: UInt32.self))
            guard historyLength <= bytes.count - 4 else {
                throw FormatError("the history of job \(id) is cut short")
            }
            history = UnsafeRawBufferPointer(rebasing: bytes[4..<(4 + historyLength)])
            bytes = UnsafeRawBufferPointer(rebasing: bytes[(4 + historyLength)...])
        }
        return Entry(
            state: state, codec: codec & 0x3F,
            isResultDiscarded: codec & OutcomeBlock.discardedFlag != 0,
            attempt: Int(value.littleEndian(at: at + 14, as: UInt16.self)),
            startedAt: baseTime + Int64(value.littleEndian(at: at + 16, as: UInt32.self)),
            runMicroseconds: OutcomeBlock.microseconds(
                packed: value.littleEndian(at: at + 20, as: UInt32.self)),
            history: history, result: bytes)
    }
}
