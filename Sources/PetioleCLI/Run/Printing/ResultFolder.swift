import CPetiole
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `--results`: a folder for each input, with what its command wrote and came to, laid out as GNU parallel does:
/// `DIR/1/<value>/stdout`, `stderr`, `seq` (the job's number) and `exitval`; of an input of several values
/// `DIR/1/<value>/2/<value>/…`.
///
/// A file has its name when it is whole, and `exitval` is the last one: a folder without it is not finished, and is written anew
/// from the store when the same line is started again. What a job comes to later takes the place of what it came to before.
///
/// | in a value | in the folder's name |
/// |---|---|
/// | `/` | `+z` |
/// | `+` | `++` |
/// | a control byte, or one that is no UTF-8 | `+x` and two digits |
/// | `.` or `..`, alone | `+.` or `+..` |
/// | nothing | `+e` |
/// | more than 200 bytes of this | the first 160, `+h` and 20 digits of its digest |
/// | the n-th of equal inputs | the name, `+n` and the number, from the second on |
final class ResultFolder: Sendable {
    private let path: [UInt8]
    private let root: Int32

    /// Makes the directory and those above it.
    init(_ path: [UInt8]) throws {
        self.path = path
        var end = 0
        while end < path.count {
            end = path[(end + 1)...].firstIndex(of: UInt8(ascii: "/")) ?? path.count
            // One that is there is opened below, or the error is said there.
            _ = Self.withCString(Array(path[..<end])) { mkdir($0, 0o777) }
        }
        root = Self.withCString(path) { open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard root >= 0 else { throw failure(errno) }
    }

    deinit { close(root) }

    /// Whether what the command of an input came to is written.
    func has(_ values: [[UInt8]], occurrence: Int) throws -> Bool {
        guard let folder = try folder(values, occurrence, makes: false) else { return false }
        defer { close(folder) }
        return faccessat(folder, "exitval", F_OK, 0) == 0
    }

    /// Writes what a command wrote and came to.
    func add(
        _ id: JobID, _ outcome: CommandOutcome, _ values: [[UInt8]], occurrence: Int,
        _ store: JobStore
    ) throws {
        guard let folder = try folder(values, occurrence, makes: true) else { return }
        defer { close(folder) }
        // First: what is there of before is not what it came to any more.
        unlinkat(folder, "exitval", 0)
        guard let end = outcome.end else {
            guard outcome.kind == .failed || outcome.kind == .deadLetter else { return }
            try write("stdout", in: folder) { _ in }
            try write("stderr", in: folder) { put in
                put(Array("petiole: \(outcome.failure.message)\n".utf8))
            }
            return try finish(id, "-1", in: folder)
        }
        try write("stdout", end.output, store, in: folder)
        try write("stderr", end.errorOutput, store, in: folder)
        try finish(id, Self.status(end), in: folder)
    }

    private func finish(_ id: JobID, _ status: String, in folder: Int32) throws {
        try write("seq", in: folder) { $0(Array("\(id)\n".utf8)) }
        try write("exitval", in: folder) { $0(Array("\(status)\n".utf8)) }
    }

    /// As a shell has it; -1 of one that came to no status that tells of it.
    private static func status(_ end: CommandEnd) -> String {
        switch end.cause {
        // It has failed if some of its output is lost.
        case .exited(0) where !end.succeeded: "-1"
        case .exited(let code): String(code)
        case .signalled(let signal, _): String(128 + signal)
        case .lost: "-1"
        }
    }

    // MARK: Names

    static func name(of value: [UInt8], occurrence: Int = 1) -> [UInt8] {
        var name: [UInt8] = []
        let valid = Self.isText(value)
        for byte in value {
            switch byte {
            case UInt8(ascii: "/"): name += Array("+z".utf8)
            case UInt8(ascii: "+"): name += Array("++".utf8)
            case 0..<32, 127: name += escape(byte)
            case 128... where !valid: name += escape(byte)
            default: name.append(byte)
            }
        }
        if value.isEmpty { name = Array("+e".utf8) }
        if value == [46] || value == [46, 46] { name = [UInt8(ascii: "+")] + value }
        if name.count > 200 {
            name = Self.prefix(name, 160) + Array(("+h" + Digest.hex(value, digits: 20)).utf8)
        }
        return occurrence > 1 ? name + Array("+n\(occurrence)".utf8) : name
    }

    private static func escape(_ byte: UInt8) -> [UInt8] {
        let digits = String(byte, radix: 16)
        return Array(("+x" + (digits.utf8.count < 2 ? "0" : "") + digits).utf8)
    }

    private static func isText(_ bytes: [UInt8]) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    /// Not in the middle of a character.
    private static func prefix(_ name: [UInt8], _ count: Int) -> [UInt8] {
        var end = count
        while end > 0, name[end] & 0xC0 == 0x80 { end -= 1 }
        return Array(name[..<end])
    }

    // MARK: Files

    /// Step by step: the whole path may be longer than the system takes.
    private func folder(_ values: [[UInt8]], _ occurrence: Int, makes: Bool) throws -> Int32? {
        var current = fcntl(root, F_DUPFD_CLOEXEC, 3)
        guard current >= 0 else { throw failure(errno) }
        for (index, value) in values.enumerated() {
            let isLast = index + 1 == values.count
            for name in [
                Array(String(index + 1).utf8),
                Self.name(of: value, occurrence: isLast ? occurrence : 1),
            ] {
                let next = Self.withCString(name) { name -> Int32 in
                    if makes { mkdirat(current, name, 0o777) }
                    return openat(current, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                }
                let code = errno
                close(current)
                if next < 0, code == ENOENT, !makes { return nil }
                guard next >= 0 else { throw failure(code) }
                current = next
            }
        }
        return current
    }

    private func write(
        _ name: String, _ output: CapturedOutput, _ store: JobStore, in folder: Int32
    ) throws {
        var problem: Int32?
        try write(name, in: folder) { put in
            switch output.wanted {
            case .inline(let bytes), .incomplete(let bytes, _, _): put(bytes)
            case .spilled(let file, _):
                problem = JobOutputs.read(store.spillPath(file)) { put(Array($0)) }
            case .cut: break
            }
        }
        if let problem { throw failure(problem) }
    }

    /// Writes a file under another name, and gives it its own when it is whole.
    private func write(
        _ name: String, in folder: Int32, _ body: ((_ bytes: [UInt8]) -> Void) -> Void
    ) throws {
        let begun = ".\(name).begun"
        let file = openat(folder, begun, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard file >= 0 else { throw failure(errno) }
        var code: Int32?
        body { bytes in
            if code == nil { code = Self.writeAll(file, bytes) }
        }
        if close(file) != 0 { code = code ?? errno }
        if code == nil, renameat(folder, begun, folder, name) != 0 { code = errno }
        if let code { throw failure(code) }
    }

    private static func writeAll(_ file: Int32, _ bytes: [UInt8]) -> Int32? {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = systemWrite(file, rest.baseAddress!, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
            return nil
        }
    }

    private static func withCString<Value>(
        _ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Value
    ) -> Value {
        (bytes + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
    }

    private func failure(_ code: Int32) -> Failure {
        Failure(
            """
            results cannot be written to \(Command.quoted(path)): \(systemText(code))
            what the commands wrote is recorded: the same line again writes them
            """, status: 125)
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(file, bytes, count)
}
