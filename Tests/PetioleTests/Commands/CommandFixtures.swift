import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

func text(_ output: CapturedOutput) -> String? {
    guard case .inline(let bytes) = output else { return nil }
    return String(decoding: bytes, as: UTF8.self)
}

/// A command that is a line of shell, with what follows as `$0`, `$1`, …
func shell(
    _ line: String, _ arguments: String..., input: Command.Input = .null,
    environment: Command.Environment = .inherited
) throws -> Command {
    try Command(
        arguments: (["/bin/sh", "-c", line] + arguments).map { Array($0.utf8) },
        environment: environment, standardInput: input)
}

func run(
    _ command: Command, mark: AttemptMark? = nil, limits: CaptureLimits = CaptureLimits(),
    onStart: (ChildProcess) -> Void = { _ in }
) throws -> CommandEnd {
    try ChildProcess.run(
        command, mark: mark, limits: limits, among: RunningCommands(), onStart: onStart)
}

/// A directory of the test's own, removed with it.
final class ScratchDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/petiole-commands-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    var names: [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    func bytes(_ name: String) throws -> [UInt8] {
        let file = try #require(fopen("\(path)/\(name)", "re"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    func makeFIFO(_ name: String) throws -> String {
        let path = "\(path)/\(name)"
        try #require(mkfifo(path, 0o600) == 0)
        return path
    }
}

/// A FIFO is a rendezvous: opening it for reading waits for the child that opens it for writing.
/// Returns what it wrote until it, and all who share the end, closed it.
func readFIFO(_ path: String) throws -> String {
    let file = try #require(fopen(path, "re"))
    defer { fclose(file) }
    var text = ""
    while true {
        let byte = fgetc(file)
        if byte < 0 { return text }
        text.unicodeScalars.append(Unicode.Scalar(UInt8(byte)))
    }
}

/// The same where nothing may be thrown: a failure is an issue of the test, and an empty answer.
func awaitReady(_ path: String) -> String {
    do {
        return try readFIFO(path)
    } catch {
        Issue.record(error)
        return ""
    }
}

/// Whether a process is there and has not ended.
func lives(_ pid: pid_t) -> Bool { ProcessIdentity.info(of: pid) != nil }

/// A small generator with a seed, so that a failure comes again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
