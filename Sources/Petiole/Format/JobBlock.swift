import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What a commit accepts in one lane: a header, fixed-layout entries, and the jobs' bytes end to end.
///
/// | at | size | header |
/// |---|---|---|
/// | 0 | 2 | magic "PJ" |
/// | 2 | 1 | version |
/// | 3 | 1 | priority |
/// | 4 | 4 | count |
/// | 8 | 4 | queue |
/// | 12 | 4 | CRC-32C of the first id, then of the header without this field |
/// | 16 | 8 | accepted, microseconds since 1970 |
/// | 24 | 4 | length of the value in bytes |
/// | 28 | 4 | by how many seconds the system's clock was ahead of the steady line then, signed |
///
/// | at | size | entry, from byte 32 on, 24 bytes each |
/// |---|---|---|
/// | 0 | 4 | offset of the payload from the end of the entries |
/// | 4 | 4 | length of the payload |
/// | 8 | 4 | CRC-32C of extras and payload, then of bytes 12…23 as 8 + 8 (16 twice), then of the id |
/// | 12 | 4 | name |
/// | 16 | 1 | codec |
/// | 17 | 1 | flags: 1 = the result is not kept, 2 = the extras begin with ``JobOptions``, 64 = a limit key is among them |
/// | 18 | 2 | length of the extras, which lie before the payload |
/// | 20 | 1 | attempts at most, 0 = the job type's own |
/// | 21 | 3 | 0 |
enum JobBlock {
    static let magic: UInt16 = 0x4A50
    static let version: UInt8 = 1
    static let headerSize = 32
    static let entrySize = 24

    static let discardsResult: UInt8 = 1
    static let hasOptions: UInt8 = 2
    /// Among the options is a limit key.
    static let hasLimitKey: UInt8 = 0x40

    /// What an entry says beside where its bytes are.
    struct Meta: Sendable {
        var name: UInt32 = 0
        var codec: UInt8 = 0
        var flags: UInt8 = 0
        var extrasLength: UInt16 = 0
        var maxAttempts: UInt8 = 0
    }

    @inline(__always)
    static func checksum(_ bytesChecksum: UInt32, entry: UnsafeRawPointer, id: UInt64) -> UInt32 {
        petiole_crc32c_entry(bytesChecksum, entry + 12, id)
    }

    static func headerChecksum(_ header: UnsafeRawPointer, first: UInt64) -> UInt32 {
        let seed = petiole_crc32c_u64(0, first)
        return petiole_crc32c(petiole_crc32c(seed, header, 12), header + 16, 16)
    }
}

/// A block that is being built: jobs are added at the end, ids and names are filled in when it is written.
struct JobBlockBuilder: ~Copyable {
    private var entries: ByteWriter
    private var bytes: ByteWriter
    private(set) var count: UInt32 = 0

    init(jobs: Int = 1, bytes byteCount: Int = 0) {
        entries = ByteWriter(capacity: jobs * JobBlock.entrySize)
        bytes = ByteWriter(capacity: max(byteCount, 16))
    }

    /// Bytes of the block as it would be written.
    var size: Int { JobBlock.headerSize + entries.count + bytes.count }

    /// Bytes of the jobs themselves: payloads and what lies beside them.
    var contentSize: Int { bytes.count }

    /// Whether a job of so many bytes still belongs in this block. The first always does, however large.
    func fits(_ byteCount: Int) -> Bool {
        count == 0 || size + JobBlock.entrySize + byteCount <= StoreFormat.blockLimit
    }

    /// Adds a job whose extras and payload are the bytes given.
    mutating func append(_ content: UnsafeRawBufferPointer, meta: JobBlock.Meta) {
        let offset = bytes.count
        bytes.append(contentsOf: content)
        close(from: offset, meta: meta)
    }

    /// Adds a job whose extras and payload `write` appends, and nothing when it throws or returns nil. It returns the length of
    /// the extras.
    /// - Returns: whether a job was added.
    mutating func append(
        meta: JobBlock.Meta, _ write: (inout ByteWriter) throws(CodecError) -> Int?
    ) throws(CodecError) -> Bool {
        let offset = bytes.count
        var meta = meta
        do throws(CodecError) {
            guard let extras = try write(&bytes) else {
                bytes.truncate(to: offset)
                return false
            }
            meta.extrasLength = UInt16(extras)
        } catch {
            bytes.truncate(to: offset)
            throw error
        }
        close(from: offset, meta: meta)
        return true
    }

    /// Takes the last job out again.
    private mutating func dropLast() {
        let at = entries.count - JobBlock.entrySize
        let start = entries.withBytes { entries in
            Int(entries.littleEndian(at: at, as: UInt32.self))
                - Int(entries.littleEndian(at: at + 18, as: UInt16.self))
        }
        entries.truncate(to: at)
        bytes.truncate(to: start)
        count -= 1
    }

    /// Moves the last job into another builder.
    mutating func moveLast(to other: inout JobBlockBuilder) {
        other.append(Int(count) - 1, of: self)
        dropLast()
    }

    /// Adds one job of another builder.
    mutating func append(_ index: Int, of other: borrowing JobBlockBuilder) {
        let (range, meta) = other.entry(index)
        other.bytes.withBytes { append(UnsafeRawBufferPointer(rebasing: $0[range]), meta: meta) }
    }

    /// Extras and payload of one job, and what its entry says.
    borrowing func content(_ index: Int) -> (JobBlock.Meta, [UInt8]) {
        let (range, meta) = entry(index)
        return (meta, bytes.withBytes { Array($0[range]) })
    }

    private borrowing func entry(_ index: Int) -> (bytes: Range<Int>, JobBlock.Meta) {
        let at = index * JobBlock.entrySize
        return entries.withBytes { entries in
            let extras: UInt16 = entries.littleEndian(at: at + 18)
            let meta = JobBlock.Meta(
                name: entries.littleEndian(at: at + 12), codec: entries[at + 16],
                flags: entries[at + 17], extrasLength: extras, maxAttempts: entries[at + 20])
            let payload = Int(entries.littleEndian(at: at, as: UInt32.self))
            let length = Int(entries.littleEndian(at: at + 4, as: UInt32.self))
            return (payload - Int(extras)..<payload + length, meta)
        }
    }

    /// Adds all jobs of another builder, in order.
    mutating func append(contentsOf other: borrowing JobBlockBuilder, name: UInt32) {
        let base = UInt32(bytes.count)
        other.bytes.withBytes { bytes.append(contentsOf: $0) }
        other.entries.withBytes { source in
            let target = entries.reserve(source.count)
            memcpy(target, source.baseAddress!, source.count)
            for index in 0..<Int(other.count) {
                let entry = target + index * JobBlock.entrySize
                let offset = entry.loadUnaligned(as: UInt32.self)
                entry.storeBytes(of: offset + base, as: UInt32.self)
                entry.storeBytes(of: name, toByteOffset: 12, as: UInt32.self)
            }
        }
        count += other.count
    }

    mutating func removeAll() {
        entries.removeAll()
        bytes.removeAll()
        count = 0
    }

    private mutating func close(from offset: Int, meta: JobBlock.Meta) {
        let checksum = bytes.withBytes { bytes in
            petiole_crc32c(0, bytes.baseAddress! + offset, bytes.count - offset)
        }
        let payload = offset + Int(meta.extrasLength)
        let entry = entries.reserve(JobBlock.entrySize)
        entry.storeBytes(of: UInt32(payload).littleEndian, as: UInt32.self)
        entry.storeLittleEndian(UInt32(bytes.count - payload), at: 4)
        entry.storeLittleEndian(checksum, at: 8)
        entry.storeLittleEndian(meta.name, at: 12)
        entry.storeBytes(of: meta.codec, toByteOffset: 16, as: UInt8.self)
        entry.storeBytes(of: meta.flags, toByteOffset: 17, as: UInt8.self)
        entry.storeLittleEndian(meta.extrasLength, at: 18)
        entry.storeLittleEndian(UInt32(meta.maxAttempts), at: 20)
        count += 1
    }

    /// Lays the block down as a value of ``size`` bytes, with ids from `first` on.
    /// - Parameter name: written into each entry, unless nil: then they have theirs.
    func write(
        to target: UnsafeMutableRawPointer, first: UInt64, queue: UInt32, priority: UInt8,
        name: UInt32?, acceptedAt: ClockReading
    ) {
        target.storeLittleEndian(JobBlock.magic, at: 0)
        target.storeBytes(of: JobBlock.version, toByteOffset: 2, as: UInt8.self)
        target.storeBytes(of: priority, toByteOffset: 3, as: UInt8.self)
        target.storeLittleEndian(count, at: 4)
        target.storeLittleEndian(queue, at: 8)
        target.storeLittleEndian(acceptedAt.wall, at: 16)
        target.storeLittleEndian(UInt32(size), at: 24)
        let lead = Int32(clamping: acceptedAt.lead / 1_000_000)
        target.storeLittleEndian(UInt32(bitPattern: lead), at: 28)
        target.storeLittleEndian(JobBlock.headerChecksum(target, first: first), at: 12)
        let table = target + JobBlock.headerSize
        entries.withBytes { _ = memcpy(table, $0.baseAddress!, $0.count) }
        for index in 0..<Int(count) {
            let entry = table + index * JobBlock.entrySize
            if let name { entry.storeLittleEndian(name, at: 12) }
            let bytesChecksum = entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            entry.storeLittleEndian(
                JobBlock.checksum(bytesChecksum, entry: entry, id: first + UInt64(index)), at: 8)
        }
        bytes.withBytes { _ = memcpy(table + entries.count, $0.baseAddress!, $0.count) }
    }
}

/// A block read in place. Good as long as the view that it was found in.
struct JobBlockView {
    let first: UInt64
    let count: Int
    let queue: UInt32
    let priority: UInt8
    /// Microseconds since 1970.
    let acceptedAt: Int64
    /// The same on the steady line, to about a second.
    let acceptedSteady: Int64
    private let value: UnsafeRawBufferPointer
    private let bytesStart: Int

    var end: UInt64 { first + UInt64(count) }
    var byteCount: Int { value.count }
    func contains(_ id: UInt64) -> Bool { id >= first && id < end }

    /// Reads a block's header; nothing in it is believed before it fits the value.
    init(first: UInt64, value: UnsafeRawBufferPointer) throws(FormatError) {
        guard value.count >= JobBlock.headerSize,
            value.littleEndian(at: 0, as: UInt16.self) == JobBlock.magic
        else { throw FormatError("the block of job \(first) has no header") }
        let base = value.baseAddress!
        guard value[2] == JobBlock.version else {
            throw FormatError("the block of job \(first) has version \(value[2])")
        }
        let checksum = value.littleEndian(at: 12, as: UInt32.self)
        guard checksum == JobBlock.headerChecksum(base, first: first) else {
            throw FormatError("the header of the block of job \(first) has a wrong checksum")
        }
        count = Int(value.littleEndian(at: 4, as: UInt32.self))
        let start = JobBlock.headerSize + count * JobBlock.entrySize
        guard count > 0, Int(value.littleEndian(at: 24, as: UInt32.self)) == value.count,
            start <= value.count
        else { throw FormatError("the block of job \(first) is cut short") }
        self.first = first
        queue = value.littleEndian(at: 8)
        priority = value[3]
        acceptedAt = value.littleEndian(at: 16)
        let lead = Int32(bitPattern: value.littleEndian(at: 28, as: UInt32.self))
        acceptedSteady = acceptedAt &- Int64(lead) * 1_000_000
        self.value = value
        bytesStart = start
    }

    /// One job of the block.
    struct Entry {
        let meta: JobBlock.Meta
        /// Options, extras and payload, end to end.
        let content: UnsafeRawBufferPointer
        let payload: UnsafeRawBufferPointer

        private var beside: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: content[..<Int(meta.extrasLength)])
        }

        /// The options' fields and the extras behind them.
        private func parts() throws(FormatError) -> (
            options: UnsafeRawBufferPointer, extras: UnsafeRawBufferPointer
        ) {
            let beside = beside
            guard meta.flags & JobBlock.hasOptions != 0 else {
                return (UnsafeRawBufferPointer(rebasing: beside[..<0]), beside)
            }
            guard beside.count >= 2 else { throw FormatError("a job's options are cut short") }
            let length = Int(beside.littleEndian(at: 0, as: UInt16.self))
            guard length <= beside.count - 2 else {
                throw FormatError("a job's options are cut short")
            }
            return (
                UnsafeRawBufferPointer(rebasing: beside[2..<2 + length]),
                UnsafeRawBufferPointer(rebasing: beside[(2 + length)...])
            )
        }

        /// What was kept beside the payload, without the options.
        func extras() throws(FormatError) -> UnsafeRawBufferPointer { try parts().extras }

        /// The bytes of its limit key.
        func limitKey() throws(FormatError) -> UnsafeRawBufferPointer? {
            try JobOptions.limitKey(in: try parts().options)
        }

        func options() throws(FormatError) -> JobOptions { try JobOptions(parts().options) }

        /// The options where they lie.
        func optionFields() throws(FormatError) -> UnsafeRawBufferPointer { try parts().options }
    }

    /// Reads a job that the block contains.
    /// - Throws: when its bytes do not match their checksum; the job is damaged then, its neighbours need not be.
    @inline(__always)
    func entry(_ id: UInt64) throws(FormatError) -> Entry {
        let at = JobBlock.headerSize + Int(id - first) * JobBlock.entrySize
        let entry = value.baseAddress! + at
        let offset = Int(UInt32(littleEndian: entry.loadUnaligned(as: UInt32.self)))
        let length = Int(
            UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        let checksum = UInt32(
            littleEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let extrasLength = UInt16(
            littleEndian: entry.loadUnaligned(fromByteOffset: 18, as: UInt16.self))
        let extras = Int(extrasLength)
        let available = value.count - bytesStart
        guard offset >= extras, offset <= available, length <= available - offset else {
            throw FormatError("job \(id) points outside its block")
        }
        let bytes = value.baseAddress! + bytesStart + (offset - extras)
        let computed = JobBlock.checksum(
            petiole_crc32c(0, bytes, extras + length), entry: entry, id: id)
        guard computed == checksum else {
            throw FormatError("job \(id) has a wrong checksum")
        }
        let meta = JobBlock.Meta(
            name: UInt32(
                littleEndian: entry.loadUnaligned(fromByteOffset: 12, as: UInt32.self)),
            codec: entry.load(fromByteOffset: 16, as: UInt8.self),
            flags: entry.load(fromByteOffset: 17, as: UInt8.self), extrasLength: extrasLength,
            maxAttempts: entry.load(fromByteOffset: 20, as: UInt8.self))
        return Entry(
            meta: meta, content: UnsafeRawBufferPointer(start: bytes, count: extras + length),
            payload: UnsafeRawBufferPointer(start: bytes + extras, count: length))
    }

    /// The flags of a job without looking at its bytes.
    func flagsHint(_ id: UInt64) -> UInt8 {
        value[JobBlock.headerSize + Int(id - first) * JobBlock.entrySize + 17]
    }

    /// The fields of a job's options without a look at the checksum: a hint of how to hand it out, whose damage the attempt
    /// finds.
    func optionsHint(_ id: UInt64) -> UnsafeRawBufferPointer? {
        let at = JobBlock.headerSize + Int(id - first) * JobBlock.entrySize
        guard value[at + 17] & JobBlock.hasOptions != 0 else { return nil }
        let payload = Int(value.littleEndian(at: at, as: UInt32.self))
        let extras = Int(value.littleEndian(at: at + 18, as: UInt16.self))
        guard extras >= 2, payload >= extras, payload <= value.count - bytesStart else {
            return nil
        }
        let start = bytesStart + payload - extras
        let length = Int(value.littleEndian(at: start, as: UInt16.self))
        guard length <= extras - 2 else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[start + 2..<start + 2 + length])
    }

    /// Bytes of a job, payload and what lies beside it, as its entry says; the checksum is not looked at.
    func contentSize(_ id: UInt64) -> Int {
        let at = JobBlock.headerSize + Int(id - first) * JobBlock.entrySize
        return Int(value.littleEndian(at: at + 4, as: UInt32.self))
            + Int(value.littleEndian(at: at + 18, as: UInt16.self))
    }

    /// The name of a job without looking at its bytes: a hint for how much to hand out at once.
    func nameHint(_ id: UInt64) -> UInt32 {
        let at = JobBlock.headerSize + Int(id - first) * JobBlock.entrySize
        return value.littleEndian(at: at + 12)
    }
}
