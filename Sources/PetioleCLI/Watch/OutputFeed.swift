import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

extension CommandStream {
    static let both = [CommandStream.output, .errorOutput]

    var name: String { self == .output ? "stdout" : "stderr" }
    var standard: Standard { self == .output ? .output : .error }

    func of(_ end: CommandEnd) -> CapturedOutput { self == .output ? end.output : end.errorOutput }
}

/// Gives what a job writes, from what it has written so far to its end, whoever runs it.
///
/// One thread is in ``run(_:)``; any other may call ``cancel()``.
final class OutputFeed: Sendable {
    enum Piece: Sendable {
        /// What follows was written by this attempt.
        case attempt(Int)
        case bytes(CommandStream, [UInt8])
        case ended(Outcome)
    }

    private struct Ending {
        var isOver = false
        var isCancelled = false
    }

    private let store: JobStore
    private let id: JobID
    /// Nil: it had ended already.
    private let follower: OutputFollower?
    private let ending = Mutex(Ending())
    /// A process may have died between its commit and its ring.
    private static let longestWait = Duration.seconds(10)

    init(of id: JobID, in store: JobStore) throws {
        self.store = store
        self.id = id
        if try store.state(of: id).isEnded {
            follower = nil
            return
        }
        guard let follower = OutputFollower(of: id, in: store) else {
            throw Failure(
                "30 jobs are followed already, and no more can be\nstop one of those who follow",
                status: 75)
        }
        self.follower = follower
    }

    func cancel() {
        ending.withLock { $0.isCancelled = true }
        follower?.ring()
    }

    /// Blocks the thread until the job has ended, or nothing more is wanted.
    /// - Parameter body: returns whether to go on.
    func run(_ body: (Piece) -> Bool) throws {
        var attempt: AttemptFiles?
        defer { attempt?.close() }
        let watch = watchEnd()
        defer {
            watch?.cancel()
            follower?.end()
        }
        while true {
            // Read before looking: what comes in between makes the wait return at once.
            let seen = follower?.ringCount ?? 0
            let (isOver, isCancelled) = ending.withLock { ($0.isOver, $0.isCancelled) }
            if isCancelled { return }
            if let files = follower?.files {
                if files.attempt != attempt?.number {
                    guard try attempt?.read(body) ?? true else { return }
                    attempt?.close()
                    attempt = AttemptFiles(files.attempt)
                    guard body(.attempt(files.attempt)) else { return }
                }
                attempt?.open(files)
            }
            guard try attempt?.read(body) ?? true else { return }
            if isOver || follower == nil, case .ended(let outcome) = try store.state(of: id) {
                guard try giveRest(outcome, attempt, body) else { return }
                _ = body(.ended(outcome))
                return
            }
            follower?.wait(whileAt: seen, atMost: Self.longestWait)
        }
    }

    private func watchEnd() -> Task<Void, Never>? {
        guard let follower else { return nil }
        return Task { [self] in
            // A job that cannot be found any more is met by the look that follows.
            _ = try? await store.waitForEnd(of: id)
            ending.withLock { $0.isOver = true }
            follower.ring()
        }
    }

    /// What is recorded and was not read before.
    private func giveRest(
        _ outcome: Outcome, _ attempt: AttemptFiles?, _ body: (Piece) -> Bool
    ) throws -> Bool {
        guard let end = try store.commandOutcome(of: id)?.end else { return true }
        let isSame = attempt?.number == outcome.attempt
        if !isSame, !body(.attempt(outcome.attempt)) { return false }
        for stream in CommandStream.both {
            var skip = isSame ? attempt?.given(stream) ?? 0 : 0
            var goesOn = true
            try OutputText.forEachPiece(stream.of(end), store) { bytes in
                let rest = bytes.dropFirst(skip)
                skip -= bytes.count - rest.count
                if !rest.isEmpty { goesOn = body(.bytes(stream, Array(rest))) }
                return goesOn
            }
            if !goesOn { return false }
        }
        return true
    }
}

/// The files of one attempt, and how far they were read.
private struct AttemptFiles {
    private struct Part {
        /// -1: not open.
        var file: Int32 = -1
        var given = 0
    }

    let number: Int
    private var parts: [CommandStream: Part] = [:]

    init(_ number: Int) { self.number = number }

    func given(_ stream: CommandStream) -> Int { parts[stream]?.given ?? 0 }

    /// One that is gone already is read from the outcome.
    mutating func open(_ files: OutputFollower.Files) {
        for (stream, path) in [
            (CommandStream.output, files.output), (.errorOutput, files.errorOutput),
        ] {
            guard let path, parts[stream] == nil else { continue }
            let file = openFile(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            if file >= 0 { parts[stream] = Part(file: file) }
        }
    }

    /// Gives what is new. Returns whether more is wanted.
    mutating func read(_ body: (OutputFeed.Piece) -> Bool) throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        for stream in CommandStream.both {
            guard let file = parts[stream]?.file else { continue }
            while true {
                let count = readFile(file, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else {
                    throw Failure("an output cannot be read: \(systemText(errno))", status: 74)
                }
                if count == 0 { break }
                parts[stream]?.given += count
                guard body(.bytes(stream, Array(buffer[..<count]))) else { return false }
            }
        }
        return true
    }

    mutating func close() {
        for part in parts.values { closeFile(part.file) }
        parts = [:]
    }
}

private func openFile(_ path: String, _ flags: Int32) -> Int32 { open(path, flags) }
private func closeFile(_ file: Int32) { close(file) }
private func readFile(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(file, buffer, count)
}
