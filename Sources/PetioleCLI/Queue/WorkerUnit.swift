import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A systemd unit that keeps a worker going.
///
/// `Type=simple`, since a worker tells nobody that it is ready: jobs may be added before it runs. `KillMode=mixed`: SIGTERM goes
/// to the worker alone, which lets its commands end for 30 s, then asks them to, and kills them after 10 s more, and then runs
/// lines that wait for 11 s at most; what is left after 75 s is killed by systemd. `StartLimitIntervalSec=0`: one that fails at
/// once, as before its disk is mounted, is tried again and again.
struct WorkerUnit {
    let store: String
    let queue: String
    let arguments: [[UInt8]]
    /// For `/etc/systemd/system`, run as the user who prints it; else for the user's own manager.
    let isSystem: Bool

    func text() throws -> String {
        let program = Self.word(try Self.ownPath())
        let words = arguments.map { Self.word($0) }.joined(separator: " ")
        let user = isSystem ? try Self.user() : ""
        return """
            [Unit]
            Description=Petiole worker of the queue \(queue)
            StartLimitIntervalSec=0
            \(isSystem ? "RequiresMountsFor=\(Self.word(Array(store.utf8)))\n" : "")
            [Service]
            Type=simple
            \(user)ExecStart=\(program) worker \(words)
            Restart=always
            RestartSec=1
            # The worker ends its commands itself; what it leaves behind is ended after 75 s.
            KillMode=mixed
            TimeoutStopSec=75

            [Install]
            WantedBy=\(isSystem ? "multi-user.target" : "default.target")

            """
    }

    private static func user() throws -> String {
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else {
            throw Failure("the name of the user \(geteuid()) cannot be found", status: 74)
        }
        return "User=\(String(cString: name))\n"
    }

    /// Quoted for a unit file, where % and $ are special too.
    private static func word(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        let isPlain = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte) || [0x2D, 0x2E, 0x2F, 0x5F, 0x3D].contains(byte)
        }
        if isPlain, !text.isEmpty { return text }
        var word = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": word += "\\" + String(scalar)
            case "%": word += "%%"
            case "$": word += "$$"
            case "\n": word += "\\n"
            default: word += visible(String(scalar))
            }
        }
        return word + "\""
    }

    private static func ownPath() throws -> [UInt8] {
        #if os(Linux)
            let name = "/proc/self/exe"
        #else
            let name = CommandLine.arguments.first ?? "petiole"
        #endif
        guard let path = realpath(name, nil) else {
            throw Failure("the tool's own path cannot be found: \(systemText(errno))", status: 74)
        }
        defer { free(path) }
        return Array(String(cString: path).utf8)
    }
}
