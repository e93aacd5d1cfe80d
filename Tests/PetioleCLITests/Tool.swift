import CPetiole
import Foundation
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A folder of its own in which the built tool is run as a process, as a shell would.
final class Tool {
    /// What a process left.
    struct End {
        let status: Int32
        let signal: Int32?
        let output: String
        let errorOutput: String
        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    let folder: String
    static let path = builtTool()

    init() {
        var name = Array("/tmp/petiole-cli.XXXXXX".utf8CString)
        precondition(mkdtemp(&name) != nil, "no folder for a test can be made")
        folder = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        // Only litter is left when this fails.
        let removal = try? start(["/bin/rm", "-rf", folder], input: [])
        _ = removal?.end()
    }

    /// Runs the tool to its end. `:::` and what follows are arguments like any other.
    func run(_ arguments: String..., input: String? = nil, outputTo file: String? = nil) throws
        -> End
    {
        try start([Self.path] + arguments, input: Array((input ?? "").utf8), outputTo: file).end()
    }

    func run(bytes arguments: [[UInt8]], input: [UInt8] = []) throws -> End {
        try start(bytes: [Array(Self.path.utf8)] + arguments, input: input).end()
    }

    func start(_ arguments: [String]) throws -> Running {
        try start([Self.path] + arguments, input: [])
    }

    /// Runs a line of `sh` in the folder.
    func start(shell line: String) throws -> Running {
        try start(["/bin/sh", "-c", line], input: [])
    }

    func file(_ name: String) -> String { "\(folder)/\(name)" }

    func write(_ text: String, to name: String) throws {
        let stream = try #require(fopen(file(name), "we"))
        defer { fclose(stream) }
        fputs(text, stream)
    }

    /// Adds to a file or a named pipe, whose opening waits for a reader.
    func append(_ text: String, to name: String) {
        guard let stream = fopen(file(name), "ae") else { return }
        defer { fclose(stream) }
        fputs(text, stream)
    }

    func read(_ name: String) -> String { String(decoding: readBytes(name), as: UTF8.self) }

    func readBytes(_ name: String) -> [UInt8] {
        guard let stream = fopen(file(name), "re") else { return [] }
        defer { fclose(stream) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, stream)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// The letter by which the kernel tells what a process does.
    func state(of pid: pid_t) -> String? {
        guard let stream = fopen("/proc/\(pid)/stat", "re") else { return nil }
        defer { fclose(stream) }
        var buffer = [CChar](repeating: 0, count: 512)
        guard fgets(&buffer, 512, stream) != nil else { return nil }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        // Behind the name, which stands in parentheses and may hold anything.
        return String(decoding: bytes, as: UTF8.self).split(separator: ") ").last
            .map { String($0.prefix(1)) }
    }

    func makeFolder(_ name: String) { mkdir(file(name), 0o755) }
    func exists(_ name: String) -> Bool { access(file(name), F_OK) == 0 }

    // MARK: Processes

    /// A process that goes on.
    final class Running {
        let pid: pid_t
        private let output: Int32
        private let errorOutput: Int32
        private var outputBytes: [UInt8] = []
        private var errorBytes: [UInt8] = []

        fileprivate init(pid: pid_t, output: Int32, errorOutput: Int32) {
            self.pid = pid
            self.output = output
            self.errorOutput = errorOutput
        }

        /// Blocks until a line beginning so was printed to either output, and returns it.
        func line(beginning prefix: String, inErrors: Bool = false) throws -> String {
            while true {
                let text = String(decoding: inErrors ? errorBytes : outputBytes, as: UTF8.self)
                let whole = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                if let line = whole.first(where: { $0.hasPrefix(prefix) }) { return String(line) }
                try #require(take(), "the process ended before it printed \(prefix)")
            }
        }

        func send(_ signal: Int32) { kill(pid, signal) }

        /// Reads both outputs to their ends, and reaps.
        func end() -> End {
            while take() {}
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
            close(output)
            close(errorOutput)
            let signal = status & 0x7F
            return End(
                status: signal == 0 ? status >> 8 & 0xFF : -1, signal: signal == 0 ? nil : signal,
                output: String(decoding: outputBytes, as: UTF8.self),
                errorOutput: String(decoding: errorBytes, as: UTF8.self))
        }

        /// Waits for some bytes; false when both outputs have ended. A process that is silent for long is killed, so that the
        /// test fails and does not hang.
        private func take() -> Bool {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while !isOutputOver || !isErrorOver {
                // A negative descriptor is passed over.
                var entries = [
                    pollfd(fd: isOutputOver ? -1 : output, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: isErrorOver ? -1 : errorOutput, events: Int16(POLLIN), revents: 0),
                ]
                let ready = poll(&entries, 2, 180_000)
                if ready == 0 {
                    Issue.record("silent for three minutes, and killed; it had printed: \(said)")
                    send(SIGKILL)
                    return false
                }
                guard ready > 0 else { continue }
                if entries[0].revents != 0 {
                    let count = systemRead(output, &buffer, buffer.count)
                    outputBytes += buffer[..<max(0, count)]
                    if count > 0 { return true }
                    isOutputOver = true
                }
                if entries[1].revents != 0 {
                    let count = systemRead(errorOutput, &buffer, buffer.count)
                    errorBytes += buffer[..<max(0, count)]
                    if count > 0 { return true }
                    isErrorOver = true
                }
            }
            return false
        }
        private var said: String {
            String(decoding: outputBytes.suffix(1_000) + errorBytes.suffix(1_000), as: UTF8.self)
        }
        private var isOutputOver = false
        private var isErrorOver = false
    }

    private func start(
        _ arguments: [String], input: [UInt8], outputTo file: String? = nil
    ) throws -> Running {
        try start(bytes: arguments.map { Array($0.utf8) }, input: input, outputTo: file)
    }

    private func start(
        bytes arguments: [[UInt8]], input: [UInt8], outputTo file: String? = nil
    ) throws -> Running {
        // Any length of input fits in a file, and nobody has to feed it.
        let inputPath = self.file(".stdin-\(UInt32.random(in: 0 ... .max))")
        let inputFile = open(inputPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        unlink(inputPath)
        _ = input.withUnsafeBytes { systemWrite(inputFile, $0.baseAddress, $0.count) }
        lseek(inputFile, 0, SEEK_SET)
        defer { close(inputFile) }
        let outputs = try pipes()
        let errors = try pipes()
        var outputEnd = outputs.writing
        if let file {
            outputEnd = open(self.file(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputFile, 0)
        posix_spawn_file_actions_adddup2(&actions, outputEnd, 1)
        posix_spawn_file_actions_adddup2(&actions, errors.writing, 2)
        // The same process, once it is in its folder.
        let line = ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder].map { Array($0.utf8) }
        var words: [UnsafeMutablePointer<CChar>?] = (line + arguments).map { bytes in
            strdup((bytes + [0]).map { CChar(bitPattern: $0) })
        }
        words.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = [
            strdup("PATH=/usr/local/bin:/usr/bin:/bin"), strdup("HOME=\(folder)"),
            strdup("LANG=C.UTF-8"),
            strdup("SECRET=s3cret"), nil,
        ]
        defer { for word in words + variables { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, words[0]!, &actions, nil, &words, &variables)
        close(outputs.writing)
        close(errors.writing)
        if file != nil { close(outputEnd) }
        try #require(code == 0, "the tool could not be started: errno \(code)")
        return Running(pid: pid, output: outputs.reading, errorOutput: errors.reading)
    }

    /// Of which no other process that is started meanwhile inherits an end.
    private func pipes() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(petiole_pipe(&ends, 0) == 0)
        return (ends[0], ends[1])
    }

    /// The tool lies where the tests were built, beside them.
    private static func builtTool() -> String {
        #if os(Linux)
            guard let own = realpath("/proc/self/exe", nil) else { return "petiole" }
            defer { free(own) }
            let tests = String(cString: own)
        #else
            let tests = CommandLine.arguments[0]
        #endif
        var folder = tests[...]
        while let slash = folder.lastIndex(of: "/") {
            folder = folder[..<slash]
            let candidate = "\(folder)/petiole"
            var info = stat()
            if stat(candidate, &info) == 0, info.st_mode & S_IFMT == S_IFREG { return candidate }
        }
        return "petiole"
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(file, buffer, count)
}

private func systemWrite(_ file: Int32, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, buffer, count)
}
