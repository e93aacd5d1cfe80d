import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One of the process's outputs, gathered and written in large pieces.
final class Standard: Sendable {
    static let output = Standard(descriptor: 1, endsAtFailure: true)
    static let error = Standard(descriptor: 2, endsAtFailure: false)

    private struct State {
        var gathered: [UInt8] = []
        /// The errno of the first write that failed.
        var problem: Int32?
        /// Whether a bar stands in the terminal's last line.
        var hasBar = false
    }

    let descriptor: Int32
    /// After a failure nothing more is written: what stood behind a gap would be taken for the whole.
    private let endsAtFailure: Bool
    private let isOutputOnTerminal: Bool
    private let state = Mutex(State())
    /// 64 KiB are a pipe's size on Linux.
    private static let limit = 64 << 10

    init(descriptor: Int32, endsAtFailure: Bool) {
        self.descriptor = descriptor
        isOutputOnTerminal = descriptor == 1 && isatty(1) == 1
        self.endsAtFailure = endsAtFailure
    }

    /// Gives each closed one of the three standard descriptors to a file on which all reading or writing fails with EBADF.
    /// Otherwise a file of the store would get the number, and what is printed would be written into it. To be called
    /// before anything else is opened.
    static func fillClosed() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest free number is the one that is closed; inherited by commands, as any standard descriptor.
            let mode = descriptor == 0 ? O_WRONLY : O_RDONLY
            _ = open("/dev/null", mode)
        }
    }

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

    // MARK: A bar

    /// Draws a line without its end, which gives way to whatever is written after it.
    func drawBar(_ line: String, isLast: Bool) {
        state.withLock { state in
            state.gathered += Array("\r\(line)\u{1B}[K\(isLast ? "\n" : "")".utf8)
            state.hasBar = !isLast
            _ = writeOut(&state)
        }
    }

    /// Whether a bar stands in the terminal's last line.
    var showsBar: Bool { state.withLock { $0.hasBar } }

    func eraseBar() {
        state.withLock { state in
            Self.makeRoom(&state)
            _ = writeOut(&state)
        }
    }

    private static func makeRoom(_ state: inout State) {
        if state.hasBar { state.gathered += Array("\r\u{1B}[K".utf8) }
        state.hasBar = false
    }

    // MARK: Bytes

    /// Gathers bytes, and writes them when there are many.
    /// - Returns: an errno when writing has failed, now or before.
    @discardableResult
    func write(_ bytes: UnsafeRawBufferPointer) -> Int32? {
        state.withLock { state in
            Self.makeRoom(&state)
            state.gathered.append(contentsOf: bytes)
            return state.gathered.count >= Self.limit ? writeOut(&state) : state.problem
        }
    }

    /// Writes bytes behind what is gathered, at once: what others write stands before or behind them.
    /// - Returns: an errno when writing has failed, now or before.
    func writeAtOnce(_ bytes: UnsafeRawBufferPointer) -> Int32? {
        state.withLock { state in
            Self.makeRoom(&state)
            state.gathered.append(contentsOf: bytes)
            return writeOut(&state)
        }
    }

    /// What is gathered is written when it is much.
    /// - Returns: an errno when writing has failed, now or before.
    func flushIfLarge() -> Int32? {
        state.withLock { $0.gathered.count >= Self.limit ? writeOut(&$0) : $0.problem }
    }

    /// Writes what is gathered.
    /// - Returns: an errno when writing has failed, now or before.
    @discardableResult
    func flush() -> Int32? { state.withLock { writeOut(&$0) } }

    private func writeOut(_ state: inout State) -> Int32? {
        defer { state.gathered.removeAll(keepingCapacity: true) }
        if endsAtFailure, let problem = state.problem { return problem }
        // The bar stands in the same terminal.
        if isOutputOnTerminal, !state.gathered.isEmpty { Standard.error.eraseBar() }
        let code = writeAll(state.gathered)
        state.problem = state.problem ?? code
        return state.problem
    }

    private func writeAll(_ bytes: [UInt8]) -> Int32? {
        bytes.withUnsafeBytes { bytes in
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
