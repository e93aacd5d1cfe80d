#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The terminal while it shows a whole screen: keys come one by one and are not echoed, and what stood there comes back.
///
/// Used by one thread. Ctrl-C, Ctrl-Z and Ctrl-\ stay signals.
final class ScreenTerminal {
    /// Nil: it is as it was.
    private var before: termios?
    private var isShowing = false
    private var shown: Screen?
    private let look: TerminalLook
    private let input: Int32 = 0
    private let output = Standard.output

    init(look: TerminalLook) { self.look = look }

    /// Rows and columns; 24 and 80 when it does not say.
    var size: (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(output.descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0,
            size.ws_col > 0
        else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    func enter() throws {
        var modes = termios()
        guard tcgetattr(input, &modes) == 0 else {
            throw Failure("the terminal cannot be asked: \(systemText(errno))", status: 74)
        }
        before = before ?? modes
        modes.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN)
        modes.c_iflag &= ~tcflag_t(IXON | ICRNL | INLCR)
        // A read gives what is there, one byte at least.
        withUnsafeMutableBytes(of: &modes.c_cc) { keys in
            keys[Int(VMIN)] = 1
            keys[Int(VTIME)] = 0
        }
        guard tcsetattr(input, TCSADRAIN, &modes) == 0 else {
            throw Failure("the terminal cannot be set: \(systemText(errno))", status: 74)
        }
        shown = nil
        // The other screen, without a cursor. Asked for once: some terminals would take the other one for what stood there.
        output.write(isShowing ? "\u{1B}[?25l" : "\u{1B}[?1049h\u{1B}[?25l")
        isShowing = true
    }

    /// Gives the terminal back as it was. Does nothing when that is done.
    func leave() {
        guard var modes = before else { return }
        before = nil
        isShowing = false
        output.write("\u{1B}[0m\u{1B}[?25h\u{1B}[?1049l")
        output.flush()
        tcsetattr(input, TCSADRAIN, &modes)
    }

    func show(_ screen: Screen) throws {
        let text = screen.difference(from: shown, look: look)
        shown = screen
        if text.isEmpty { return }
        output.write(text)
        if let code = output.flush() {
            throw Failure.output(code) ?? Failure("", status: 128 + SIGPIPE)
        }
    }

    /// What stands there is not known any more.
    func forget() { shown = nil }

    /// Reads what keys have sent; nil: the terminal is gone.
    func read() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = readBytes(input, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return [] }
        return count <= 0 ? nil : Array(buffer[..<count])
    }
}

private func readBytes(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(file, buffer, count)
}
