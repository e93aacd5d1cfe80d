import TerminalShim
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A process in a terminal of its own, driven as a person would: its keys are pressed, its screen is looked at.
final class PseudoTerminal {
    let pid: pid_t
    private let master: Int32
    private(set) var screen: TerminalEmulator
    /// All that it was sent.
    private(set) var bytes: [UInt8] = []
    /// As they were before the process began.
    private let modes: termios
    private var isOver = false

    /// - Parameter variables: of its environment, besides PATH, HOME, LANG and TERM.
    init(
        _ arguments: [String], in folder: String, rows: Int = 24, columns: Int = 80,
        variables: [String: String] = [:]
    ) throws {
        var all = [
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8",
            "TERM": "xterm",
        ]
        all.merge(variables) { $1 }
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] =
            all.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in words + environment { free(word) } }
        var (pid, master): (pid_t, Int32) = (0, -1)
        var modes = termios()
        let code = terminal_start(
            folder, &words, &environment, Int32(rows), Int32(columns), &master, &modes, &pid)
        try #require(code == 0, "the process could not be started: errno \(code)")
        (self.pid, self.master, self.modes) = (pid, master, modes)
        screen = TerminalEmulator(rows: rows, columns: columns)
    }

    deinit {
        if !isOver {
            kill(pid, SIGKILL)
            kill(pid, SIGCONT)
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        }
        close(master)
    }

    // MARK: Keys and the screen

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { systemWrite(master, $0.baseAddress, $0.count) }
    }

    func resize(rows: Int, columns: Int) {
        screen.resize(rows: rows, columns: columns)
        terminal_resize(master, Int32(rows), Int32(columns))
    }

    /// Reads until the screen is as it is wanted.
    func wait(
        for what: String, _ location: SourceLocation = #_sourceLocation,
        _ isThere: (TerminalEmulator) -> Bool
    ) throws {
        // Some screens are drawn again and again: one that is wanted comes before so many, or never.
        var pieces = 0
        while !isThere(screen) {
            pieces += 1
            try #require(
                pieces < 150 && take(), "\(what) did not come; there was:\n\(screen.text)",
                sourceLocation: location)
        }
    }

    func wait(forText text: String, _ location: SourceLocation = #_sourceLocation) throws {
        try wait(for: "\"\(text)\"", location) { $0.text.contains(text) }
    }

    /// Whether the modes are those from before.
    var isRestored: Bool {
        var now = termios()
        guard tcgetattr(master, &now) == 0 else { return false }
        return now.c_lflag == modes.c_lflag && now.c_iflag == modes.c_iflag
            && now.c_oflag == modes.c_oflag
    }

    /// Waits until the process is stopped by a signal.
    func waitUntilStopped() throws {
        var status: Int32 = 0
        while waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR {}
        let isStopped = status & 0xFF == 0x7F
        isOver = !isStopped
        try #require(isStopped, "it ended with \(status)")
        readWhatIsThere()
    }

    /// Reads to the end.
    /// - Returns: the exit status; -n: ended by signal n.
    func end() throws -> Int32 {
        while !hasHungUp, take() {}
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        isOver = true
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    }

    private var hasHungUp = false

    /// Waits for some bytes; false at the end. A process that is silent for long is killed, so that the test fails and does not
    /// hang.
    private func take() -> Bool {
        if hasHungUp { return false }
        while true {
            var entry = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
            let ready = poll(&entry, 1, 180_000)
            if ready < 0, errno == EINTR { continue }
            if ready == 0 {
                Issue.record("silent for three minutes, and killed; there was:\n\(screen.text)")
                kill(pid, SIGKILL)
                hasHungUp = true
                return false
            }
            return readSome()
        }
    }

    private func readWhatIsThere() {
        var entry = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, 0) > 0, readSome() {}
    }

    /// The last who has the terminal open closes it: EIO on Linux, the end of the file elsewhere.
    private func readSome() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = systemRead(master, &buffer, buffer.count)
        guard count > 0 else {
            hasHungUp = true
            return false
        }
        bytes += buffer[..<count]
        screen.take(buffer[..<count])
        return true
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(file, buffer, count)
}

private func systemWrite(_ file: Int32, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, buffer, count)
}
