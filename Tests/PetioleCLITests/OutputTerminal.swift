import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A terminal to which something is printed.
final class OutputTerminal {
    private var master: Int32
    /// Held, so that what was printed stays there when the printer ends.
    private let held: Int32
    let path: String

    init() throws {
        #if canImport(Darwin)
            master = posix_openpt(O_RDWR | O_NOCTTY)
            try #require(grantpt(master) == 0 && unlockpt(master) == 0)
            path = String(cString: try #require(ptsname(master)))
        #else
            master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            var number: Int32 = 0
            // TIOCSPTLCK and TIOCGPTN, which are no constants to Swift.
            try #require(ioctl(master, 0x4004_5431, &number) == 0)
            try #require(ioctl(master, 0x8004_5430, &number) == 0)
            path = "/dev/pts/\(number)"
        #endif
        _ = fcntl(master, F_SETFD, FD_CLOEXEC)
        held = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(held >= 0)
        // Bytes as they are printed: no return before each line.
        var modes = termios()
        tcgetattr(held, &modes)
        modes.c_oflag = 0
        tcsetattr(held, TCSANOW, &modes)
        _ = fcntl(master, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(held)
        hangUp()
    }

    /// The window is closed.
    func hangUp() {
        if master >= 0 { close(master) }
        master = -1
    }

    /// What was printed since the last call.
    func text() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(master, &buffer, buffer.count), count > 0 {
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
