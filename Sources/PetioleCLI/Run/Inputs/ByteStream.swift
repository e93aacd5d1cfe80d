import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The bytes of a file, a pipe or a terminal, as they come.
struct ByteStream {
    private static let readSize = 64 << 10

    let descriptor: Int32
    /// Becomes readable when reading is to end.
    let stop: Int32
    private(set) var isAtEnd = false

    init(descriptor: Int32, stop: Int32) {
        self.descriptor = descriptor
        self.stop = stop
    }

    /// - Parameter path: `-` is standard input. The file is open until the process ends.
    init(path: [UInt8], stop: Int32) throws {
        if path == Array("-".utf8) {
            self.init(descriptor: 0, stop: stop)
            return
        }
        let file = (path + [0]).withUnsafeBytes { bytes in
            open(bytes.assumingMemoryBound(to: CChar.self).baseAddress!, O_RDONLY | O_CLOEXEC)
        }
        guard file >= 0 else {
            throw Failure(
                """
                the file of inputs \(Command.quoted(path)) cannot be read: \(systemText(errno))
                see whether it is there and may be read; nothing was enqueued
                """, status: 125)
        }
        self.init(descriptor: file, stop: stop)
    }

    /// Waits for some bytes and lends them; none at the end.
    /// - Throws: `CancellationError` when reading was stopped, so that nobody takes that for the end.
    mutating func read(_ take: (UnsafeRawBufferPointer) throws -> Void) throws {
        try waitForBytes()
        try withUnsafeTemporaryAllocation(byteCount: Self.readSize, alignment: 16) { buffer in
            let count = systemRead(descriptor, buffer.baseAddress, Self.readSize)
            if count < 0, errno != EINTR, errno != EAGAIN {
                throw Failure("the inputs cannot be read: \(systemText(errno))", status: 125)
            }
            if count < 0 { return }
            if count == 0 { isAtEnd = true }
            try take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// Whether reading may have to wait for somebody who writes.
    var mayWait: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return !isAtEnd && poll(&entry, 1, 0) == 0
    }

    private func waitForBytes() throws {
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&entries, 2, -1) < 0 {
                if errno == EINTR { continue }
                return
            }
            if entries[1].revents != 0 { throw CancellationError() }
            if entries[0].revents != 0 { return }
        }
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}
