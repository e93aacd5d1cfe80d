import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One of the process's outputs, gathered and written in large pieces.
final class Standard: Sendable {
    static let output = Standard(descriptor: 1)
    static let error = Standard(descriptor: 2)

    let descriptor: Int32
    private let gathered = Mutex<[UInt8]>([])
    /// 64 KiB are a pipe's size on Linux.
    private static let limit = 64 << 10

    private init(descriptor: Int32) { self.descriptor = descriptor }

    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Columns of the terminal; 80 when it does not say.
    var columns: Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = write(UnsafeRawBufferPointer($0)) }
    }

    func line(_ text: String) { write(text + "\n") }

    /// Gathers bytes, and writes them when there are many.
    /// - Returns: an errno when writing failed.
    @discardableResult
    func write(_ bytes: UnsafeRawBufferPointer) -> Int32? {
        gathered.withLock { gathered in
            gathered.append(contentsOf: bytes)
            return gathered.count >= Self.limit ? writeOut(&gathered) : nil
        }
    }

    @discardableResult
    func flush() -> Int32? { gathered.withLock { writeOut(&$0) } }

    private func writeOut(_ gathered: inout [UInt8]) -> Int32? {
        defer { gathered.removeAll(keepingCapacity: true) }
        return gathered.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let slice = UnsafeRawBufferPointer(rebasing: rest)
                let count = systemWrite(descriptor, slice.baseAddress, slice.count)
                if count >= 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    // Somebody who shares the output made it non-blocking.
                    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&entry, 1, -1)
                } else if errno != EINTR {
                    return errno
                }
            }
            return nil
        }
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, bytes, count)
}

extension Standard {
    static var isInputTerminal: Bool { isatty(0) == 1 }
}
