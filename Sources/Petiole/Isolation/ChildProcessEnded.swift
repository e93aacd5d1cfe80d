import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What an attempt has failed with whose child process ended while it ran: see ``Isolation``.
///
/// A ``RetryPolicy/decide`` of the job type's is given it, in the runner's process.
public struct ChildProcessEnded: Error, Sendable, Hashable {
    /// How a process ended.
    public enum Cause: Sendable, Hashable {
        /// It called `exit`, with this status.
        case exited(Int)
        /// A signal ended it: a trap of Swift's is SIGTRAP or SIGILL, a bad access SIGSEGV or SIGBUS, and SIGKILL, unless the
        /// runner sent it, mostly the system's answer to a lack of memory.
        case signalled(Int)
        /// It ended, and how is not known.
        case unknown(reason: String)
        /// It could not serve: it is no program that does, or could not open the store, or did not know the job type.
        case unfit(reason: String)
    }

    /// How it ended.
    public let cause: Cause
    /// The last lines that it wrote to its standard error while the attempt ran, at most 4 KiB.
    public let lastLines: String

    init(_ cause: Cause, lastLines: String = "") {
        self.cause = cause
        self.lastLines = lastLines
    }

    init(_ cause: CommandEnd.Cause, lastLines: String) {
        self.lastLines = lastLines
        switch cause {
        case .exited(let code): self.cause = .exited(Int(code))
        case .signalled(let signal, _): self.cause = .signalled(Int(signal))
        case .lost(.takenByOthers):
            self.cause = .unknown(
                reason: "this program ignores SIGCHLD or waits for children that are not its own")
        case .lost(.system(let code)): self.cause = .unknown(reason: systemMessage(code))
        }
    }
}

extension ChildProcessEnded: CustomStringConvertible {
    /// What happened, and the last lines of standard error.
    public var description: String {
        let what: String
        switch cause {
        case .exited(let code): what = "its process exited with status \(code)"
        case .signalled(let signal): what = "its process was ended by \(SignalName.of(signal))"
        case .unknown(let reason): what = "its process ended, and how is not known: \(reason)"
        case .unfit(let reason): what = reason
        }
        return lastLines.isEmpty ? what : "\(what)\n\(lastLines)"
    }
}

/// Signals by the names that they have in manuals.
enum SignalName {
    private static let names: [Int32: String] = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL",
        SIGTRAP: "SIGTRAP", SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE",
        SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1", SIGSEGV: "SIGSEGV", SIGUSR2: "SIGUSR2",
        SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM", SIGXCPU: "SIGXCPU",
        SIGXFSZ: "SIGXFSZ", SIGVTALRM: "SIGVTALRM", SIGPROF: "SIGPROF", SIGSYS: "SIGSYS",
    ]

    static func of(_ signal: Int) -> String {
        Int32(exactly: signal).flatMap { names[$0] } ?? "signal \(signal)"
    }
}

/// The last bytes of a stream.
struct OutputTail {
    /// 4 KiB: what a failure holds besides what happened.
    static let limit = 4_096

    private var kept: [UInt8] = []
    private var isCut = false

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        kept.append(contentsOf: bytes.suffix(Self.limit))
        isCut = isCut || bytes.count > Self.limit || kept.count > Self.limit
        // Moved seldom: up to twice the limit is kept meanwhile.
        if kept.count > 2 * Self.limit { kept.removeFirst(kept.count - Self.limit) }
    }

    mutating func removeAll() {
        kept.removeAll(keepingCapacity: true)
        isCut = false
    }

    /// Whole lines as text, unless a single one is longer than what is kept.
    var lines: String {
        var last = kept.suffix(Self.limit)
        if isCut, let newline = last.firstIndex(of: UInt8(ascii: "\n")),
            last.index(after: newline) < last.endIndex
        {
            last = last[last.index(after: newline)...]
        }
        while last.last == UInt8(ascii: "\n") { last.removeLast() }
        return String(decoding: last, as: UTF8.self)
    }
}
