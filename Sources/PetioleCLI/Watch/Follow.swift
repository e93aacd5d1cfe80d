import ArgumentParser
import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole follow`: what a job writes, as it writes it.
struct Follow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what a job's command writes, from its beginning to its end, as it comes.",
        discussion: """
            What was written so far comes first, whoever runs the job; one that has not begun is waited for; of one that \
            has ended what is recorded is printed. Standard output goes to standard output, standard error to standard \
            error. Further attempts follow after a line about it. On a terminal what could steer it is written out; with \
            --raw, and to a pipe or file, it comes as it is. A job that is no command writes nothing that is kept; its \
            end is waited for.

            With --json one object for each piece: v, id, attempt, stream (stdout, stderr), text; at the end one: v, id, \
            state, attempt, error. Bytes that are not UTF-8 stand as {"base64": "..."}.

            Exit status: 0 it succeeded; 1 it failed; 2 it ended otherwise (cancelled, expired, discarded, dropped); 66 \
            no such job; 128 + n this command was stopped by signal n, and the job goes on.

            EXAMPLES
              petiole follow 17
              petiole follow $(petiole add -- make) && ./publish
            """)

    @Flag(help: "To a terminal, too, print what is written as it is.")
    var raw = false

    @Flag(help: "Print JSON objects.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("A job's id.", valueName: "id"))
    var number: JobNumber

    func run() async throws {
        let store = try location.openExisting()
        let id = number.id
        let feed = try OutputFeed(of: id, in: store)
        let stop = Mutex<Int32?>(nil)
        StopSignals.start(store) { signal in
            stop.withLock { $0 = $0 ?? signal }
            feed.cancel()
        }
        sayState(try store.state(of: id), id)
        let printer = Mutex(FollowPrinter(id: id, json: json, raw: raw))
        let outcome: Outcome? = try await withCheckedThrowingContinuation { continuation in
            OSThread.start(named: "petiole-feed") {
                var outcome: Outcome?
                continuation.resume(
                    with: Result {
                        try feed.run { piece in
                            if case .ended(let end) = piece { outcome = end }
                            return printer.withLock { $0.print(piece) }
                        }
                        return outcome
                    })
            }
        }
        if let failure = Standard.output.flush().flatMap(Failure.output) { throw failure }
        if let signal = stop.withLock({ $0 }) { throw Failure("", status: 128 + signal) }
        // A reader that went away has not heard how it ended.
        guard let outcome else { throw Failure("", status: 128 + SIGPIPE) }
        switch outcome.kind {
        case .succeeded: return
        case .failed, .deadLetter:
            if !json { say("job \(id) failed: \(visible(outcome.failure?.message ?? ""))") }
            throw Failure("", status: 1)
        case .cancelled, .expired, .discarded, .dropped:
            if !json { say("job \(id) was not finished: it is \(JobText.word(outcome.kind))") }
            throw Failure("", status: 2)
        }
    }

    /// Why nothing comes yet.
    private func sayState(_ state: JobState, _ id: JobID) {
        switch state {
        case .running, .ended: return
        case .ready: say("job \(id) has not begun; waits for it")
        case .waiting, .parked, .paused, .awaiting, .held:
            say("job \(id) has not begun (\(JobText.word(state))); waits for it")
        }
    }
}

/// Prints the pieces of a feed.
private struct FollowPrinter: Sendable {
    let id: JobID
    let json: Bool
    let raw: Bool
    private var attempt = 0
    private var shown: [CommandStream: ShownBytes] = [:]
    private var split: [CommandStream: WholeLetters] = [:]

    init(id: JobID, json: Bool, raw: Bool) {
        self.id = id
        self.json = json
        self.raw = raw
    }

    /// Returns whether more is wanted.
    mutating func print(_ piece: OutputFeed.Piece) -> Bool {
        switch piece {
        case .attempt(let number):
            finish()
            if attempt > 0, !json { say("attempt \(number) of job \(id):") }
            attempt = number
        case .bytes(let stream, let bytes):
            if json {
                line(stream, split[stream, default: WholeLetters()].take(bytes))
            } else if raw || !stream.standard.isTerminal {
                bytes.withUnsafeBytes { _ = stream.standard.write($0) }
            } else {
                stream.standard.write(shown[stream, default: ShownBytes()].take(bytes))
            }
        case .ended(let outcome):
            finish()
            if json {
                var line = JSONLine()
                line.add("id", Int(clamping: id.rawValue))
                line.add("state", JobText.word(outcome.kind))
                line.add("attempt", outcome.attempt)
                line.add("error", outcome.failure.map { "\($0.type): \($0.message)" })
                Standard.output.line(line.line)
            }
        }
        Standard.error.flush()
        // What cannot be written is told at the end.
        return Standard.output.flush() == nil
    }

    /// Prints what was held back.
    private mutating func finish() {
        for stream in CommandStream.both {
            if let text = shown[stream]?.end(), !text.isEmpty { stream.standard.write(text) }
            if let rest = split[stream]?.end() { line(stream, rest) }
        }
    }

    private func line(_ stream: CommandStream, _ bytes: [UInt8]) {
        if bytes.isEmpty { return }
        var line = JSONLine()
        line.add("id", Int(clamping: id.rawValue))
        line.add("attempt", attempt)
        line.add("stream", stream.name)
        line.add("text", bytes)
        Standard.output.line(line.line)
    }
}

/// Bytes cut between letters of UTF-8 and not inside of one.
private struct WholeLetters: Sendable {
    private var held: [UInt8] = []

    mutating func take(_ bytes: [UInt8]) -> [UInt8] {
        let all = held + bytes
        held = Array(all.suffix(ShownBytes.unfinishedLetter(all)))
        return Array(all.dropLast(held.count))
    }

    mutating func end() -> [UInt8] {
        defer { held = [] }
        return held
    }
}
