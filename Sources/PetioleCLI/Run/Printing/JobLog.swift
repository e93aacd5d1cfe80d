import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A file with a line for each command that has ended, in the columns of GNU parallel's `--joblog`. Lines are added to one that is
/// there.
final class JobLog: Sendable {
    private let file: Int32
    private let path: [UInt8]

    private static let head =
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

    init(_ path: [UInt8]) throws {
        self.path = path
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC
        file = (path + [0]).withUnsafeBytes { bytes in
            open(bytes.assumingMemoryBound(to: CChar.self).baseAddress!, flags, 0o666)
        }
        guard file >= 0 else { throw Self.failure(path, errno) }
        var info = stat()
        if fstat(file, &info) == 0, info.st_size == 0 { try write(Self.head) }
    }

    deinit { close(file) }

    /// Adds a line, with one call.
    /// - Parameter end: nil: the command could not be started, which is status 127.
    func add(_ id: JobID, _ end: CommandEnd?, _ outcome: Outcome, _ command: String) throws {
        var (code, signal): (Int32, Int32) = (-1, 0)
        switch end?.cause {
        case nil: code = 127
        // It has failed if some of its output is lost.
        case .exited(0) where end?.succeeded == false: break
        case .exited(let status): code = status
        case .signalled(let number, _): (code, signal) = (0, number)
        case .lost: break
        }
        let columns = [
            id.description, ":", Self.seconds(outcome.startedAt.microseconds),
            Self.seconds(Int64(outcome.runTime.wholeMicroseconds)), "0",
            String(end?.output.byteCount ?? 0), String(code), String(signal), command,
        ]
        try write(columns.joined(separator: "\t") + "\n")
    }

    /// With three digits behind the point.
    private static func seconds(_ microseconds: Int64) -> String {
        let digits = String(max(0, microseconds) / 1_000 % 1_000)
        return "\(max(0, microseconds) / 1_000_000)."
            + String(repeating: "0", count: 3 - digits.count) + digits
    }

    private func write(_ text: String) throws {
        var text = text
        try text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = systemWrite(file, rest.baseAddress!, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw Self.failure(path, errno)
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    private static func failure(_ path: [UInt8], _ code: Int32) -> Failure {
        Failure(
            "the job log \(Command.quoted(path)) cannot be written: \(systemText(code))",
            status: 125)
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(file, bytes, count)
}
