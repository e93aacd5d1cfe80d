import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The inputs of a run, in chunks as they come.
struct InputReader {
    /// An input lies beside its job's payload, whose length is a 16-bit number.
    static let limit = 60_000
    private static let readSize = 64 << 10
    private static let chunkSize = 4_096

    private enum Source {
        case list(ArraySlice<[UInt8]>)
        case descriptor(Int32, InputSeparator)
    }
    private var source: Source
    private var partial: [UInt8] = []
    private var isAtEnd = false
    /// Inputs read so far.
    private(set) var count = 0
    /// Becomes readable when reading is to end.
    private let stop: Int32

    /// How many there are, when it is known beforehand.
    var total: Int? { if case .list(let rest) = source { count + rest.count } else { nil } }

    init(_ list: ArraySlice<[UInt8]>, stop: Int32) {
        source = .list(list)
        self.stop = stop
    }

    init(descriptor: Int32, _ separator: InputSeparator, stop: Int32) {
        source = .descriptor(descriptor, separator)
        self.stop = stop
    }

    /// Waits for some inputs. Nil at the end, and when reading was stopped.
    mutating func next() throws -> [[UInt8]]? {
        while true {
            var inputs: [[UInt8]] = []
            switch source {
            case .list(let rest):
                if rest.isEmpty { return nil }
                inputs = Array(rest.prefix(Self.chunkSize))
                source = .list(rest.dropFirst(Self.chunkSize))
            case .descriptor(let descriptor, let separator):
                if isAtEnd { return nil }
                guard try read(descriptor, separator, into: &inputs) else { return nil }
            }
            for input in inputs { try check(input) }
            if !inputs.isEmpty { return inputs }
        }
    }

    private mutating func check(_ input: [UInt8]) throws {
        count += 1
        if input.count > Self.limit {
            // How many it has is not known where it was not read to its end.
            throw Failure(
                """
                input \(count) has more than \(grouped(Self.limit)) bytes, which is the most that one may have
                put the data in a file and give its name
                """, status: 125)
        }
        if input.contains(0) {
            throw Failure(
                """
                input \(count) holds a zero byte, which no argument can hold
                use -0 if zero bytes end the inputs
                """, status: 125)
        }
    }

    /// Returns whether reading may go on.
    private mutating func read(
        _ descriptor: Int32, _ separator: InputSeparator, into inputs: inout [[UInt8]]
    ) throws -> Bool {
        guard waitForBytes(descriptor) else { return false }
        let (end, skipsEmpty) = (separator.byte, separator.skipsEmpty)
        let count = withUnsafeTemporaryAllocation(byteCount: Self.readSize, alignment: 1) {
            buffer in
            let count = systemRead(descriptor, buffer.baseAddress, Self.readSize)
            if count > 0 {
                var start = 0
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                while let place = bytes[start...].firstIndex(of: end) {
                    let input = partial + bytes[start..<place]
                    partial = []
                    if !(skipsEmpty && input.isEmpty) { inputs.append(input) }
                    start = place + 1
                }
                partial += bytes[start...]
            }
            return count
        }
        if count < 0, errno != EINTR, errno != EAGAIN {
            throw Failure("the inputs cannot be read: \(systemText(errno))", status: 125)
        }
        if count == 0 {
            isAtEnd = true
            if !partial.isEmpty { inputs.append(partial) }
            partial = []
        } else if partial.count > Self.limit {
            // Not gathered for ever: what has no end here is too long in any case.
            inputs.append(partial)
        }
        return true
    }

    private func waitForBytes(_ descriptor: Int32) -> Bool {
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&entries, 2, -1) < 0 {
                if errno == EINTR { continue }
                return true
            }
            if entries[1].revents != 0 { return false }
            if entries[0].revents != 0 { return true }
        }
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}
