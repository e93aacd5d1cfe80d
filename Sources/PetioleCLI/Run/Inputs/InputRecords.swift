import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The pieces of a stream between its separators: lines, mostly.
struct InputRecords {
    /// The longest one that is gathered: a command could not take it in any case.
    static let limit = 4 << 20

    private var stream: ByteStream
    private let separator: InputSeparator
    private var partial: [UInt8] = []
    /// Records read so far.
    private(set) var count = 0

    init(_ stream: ByteStream, _ separator: InputSeparator) {
        self.stream = stream
        self.separator = separator
    }

    var mayWait: Bool { stream.mayWait }

    /// Waits for some. Nil at the end.
    mutating func next() throws -> [[UInt8]]? {
        while !stream.isAtEnd {
            var records: [[UInt8]] = []
            let (end, skipsEmpty) = (separator.byte, separator.skipsEmpty)
            var partial = partial
            self.partial = []
            try stream.read { bytes in
                var rest = bytes
                while let base = rest.baseAddress, let place = memchr(base, Int32(end), rest.count)
                {
                    let length = base.distance(to: UnsafeRawPointer(place))
                    let piece = UnsafeRawBufferPointer(start: base, count: length)
                    if partial.isEmpty {
                        if !(skipsEmpty && length == 0) { records.append(Array(piece)) }
                    } else {
                        records.append(partial + piece)
                        partial = []
                    }
                    rest = UnsafeRawBufferPointer(rebasing: rest[(length + 1)...])
                }
                partial += rest
            }
            if stream.isAtEnd, !partial.isEmpty {
                records.append(partial)
                partial = []
            }
            self.partial = partial
            count += records.count
            if partial.count > Self.limit {
                // How many it has is not known where it was not read to its end.
                throw Failure(
                    """
                    input \(grouped(count + 1)) has more than \(grouped(Self.limit)) bytes, which no command can take
                    put the data in a file and give its name; --pipe gives data on standard input
                    """, status: 125)
            }
            if !records.isEmpty { return records }
        }
        return nil
    }
}
