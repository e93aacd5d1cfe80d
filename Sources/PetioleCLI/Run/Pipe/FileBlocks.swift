import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The blocks of a regular file, found by looking at where each may end.
struct FileBlocks: Sendable {
    private let file: Int32
    private let path: [UInt8]
    private let identity: FileRange.Identity
    private let size: BlockSize
    private let rule: RecordRule
    private var position: UInt64
    private let end: UInt64

    /// What is looked at first for the end of a record; twice as much with each look that finds none.
    private static let firstLook = 4 << 10
    private static let longestLook = 1 << 20

    /// - Parameters:
    ///   - file: open as long as the process.
    ///   - path: by which the commands find it.
    ///   - position: where the first block begins.
    init(
        _ file: Int32, path: [UInt8], _ identity: FileRange.Identity, from position: UInt64,
        size: BlockSize, _ rule: RecordRule
    ) {
        self.file = file
        self.path = path
        self.identity = identity
        self.size = size
        self.rule = rule
        self.position = position
        end = identity.size
    }

    var isAtEnd: Bool { position >= end }

    /// The next block; nil at the end.
    mutating func next() throws -> FileRange? {
        if isAtEnd { return nil }
        let start = position
        position =
            switch size {
            case .bytes(let size): try cut(after: start, size: UInt64(size))
            case .records: try cutByRecords(after: start)
            }
        return FileRange(path: path, offset: start, length: position - start, identity: identity)
    }

    /// All bytes are looked at.
    private func cutByRecords(after start: UInt64) throws -> UInt64 {
        var cutter = BlockCutter(size: size, rule)
        var place = start
        while place < end {
            let length = Int(min(UInt64(Self.longestLook), end - place))
            let (count, ends) = try withUnsafeTemporaryAllocation(
                byteCount: length, alignment: 16
            ) { buffer in
                guard try read(buffer, at: place) == length else { throw Self.cutShort(path) }
                return cutter.take(
                    UnsafeRawBufferPointer(buffer), isLast: place + UInt64(length) == end)
            }
            place += UInt64(count)
            if ends { break }
        }
        return place
    }

    /// Only what lies behind the size is looked at.
    private func cut(after start: UInt64, size: UInt64) throws -> UInt64 {
        let (least, overflow) = start.addingReportingOverflow(size)
        if overflow || least >= end { return end }
        // The last byte of the block may be the last one of a record, and a record is not cut by its own end.
        var place = max(start, least - min(least, UInt64(rule.end.count)))
        var look = max(Self.firstLook, rule.length * 2)
        while place < end {
            let length = Int(min(UInt64(look), end - place))
            let found = try withUnsafeTemporaryAllocation(byteCount: length, alignment: 16) {
                buffer -> (cut: Int?, count: Int) in
                let count = try read(buffer, at: place)
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                return (rule.cut(in: bytes, from: 0), count)
            }
            if let cut = found.cut { return place + UInt64(cut) }
            if found.count < length { throw Self.cutShort(path) }
            if place + UInt64(length) == end { break }
            place += UInt64(length - max(rule.length - 1, 0))
            look = min(look * 2, max(Self.longestLook, rule.length * 2))
        }
        return end
    }

    private func read(_ buffer: UnsafeMutableRawBufferPointer, at place: UInt64) throws -> Int {
        var count = 0
        while count < buffer.count {
            let some = pread(
                file, buffer.baseAddress! + count, buffer.count - count,
                off_t(place) + off_t(count))
            if some == 0 { break }
            if some < 0, errno != EINTR {
                throw Failure(
                    "\(Command.quoted(path)) cannot be read: \(systemText(errno))", status: 125)
            }
            count += max(0, some)
        }
        return count
    }

    private static func cutShort(_ path: [UInt8]) -> Failure {
        Failure(
            """
            \(Command.quoted(path)) has become shorter while its blocks were listed
            start the same line again when nobody writes to it
            """, status: 125)
    }
}
