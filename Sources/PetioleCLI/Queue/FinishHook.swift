import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Lines for `/bin/sh` that a worker runs when jobs have ended.
///
/// One runs at a time, on a thread of its own, when the outcome is on the disk: the workers never wait for it. For a job it is
/// run at most once: what ends while no such worker runs, what another process ends, and what still waits when the worker dies,
/// is not told. When 1,000 wait, those for which a line is to be run are passed over, and the next line is told how many.
final class FinishHook: Sendable {
    /// What is run when.
    struct Lines: Sendable {
        /// Whatever a job came to.
        var onFinish: [UInt8]?
        /// It did not succeed.
        var onFailure: [UInt8]?

        var isEmpty: Bool { onFinish == nil && onFailure == nil }
        /// By which those are called that were not run.
        fileprivate var options: String {
            [onFinish.map { _ in "--on-finish" }, onFailure.map { _ in "--on-failure" }]
                .compactMap { $0 }.joined(separator: " and ")
        }
    }

    /// So many wait at most.
    private static let limit = 1_000
    /// A line that takes longer is ended.
    private static let timeLimit: Duration = .seconds(60)
    /// So long the lines that wait are run for when the worker ends.
    private static let farewell: Duration = .seconds(10)
    /// One that runs then is killed so long after it was asked to end.
    private static let lastGrace: Duration = .seconds(1)
    /// 32 KiB: the kernel takes 128 KiB in a variable, and all of them share what it takes of arguments.
    private static let variableLimit = 32 << 10

    private struct State {
        var waiting: [JobID] = []
        var missed = 0
        var isRunning = false
        /// What runs, and when it is ended.
        var current: (child: ChildProcess, end: ContinuousClock.Instant)?
        /// The worker ends then at the latest.
        var close: ContinuousClock.Instant?
        var whenIdle: CheckedContinuation<Void, Never>?
    }

    private let store: JobStore
    private let lines: Lines
    private let directory: [UInt8]
    private let state = Mutex(State())
    private let work: WakePipe
    private let watch: WakePipe

    init(_ store: JobStore, lines: Lines) throws {
        self.store = store
        self.lines = lines
        directory = try Surroundings.workingDirectory()
        work = try WakePipe()
        watch = try WakePipe()
        OSThread.start(named: "petiole-hook") { self.serve() }
        OSThread.start(named: "petiole-hook-end") { self.endLate() }
    }

    /// Takes a job that has ended, if a line is to be run for it.
    func add(_ id: JobID, hasSucceeded: Bool) {
        if hasSucceeded, lines.onFinish == nil { return }
        state.withLock { state in
            if state.waiting.count < Self.limit {
                state.waiting.append(id)
            } else {
                state.missed += 1
            }
        }
        work.ring()
    }

    /// Runs what waits, for 10 s at most, and says what was not run.
    func finish() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                state.close = .now + Self.farewell
                if state.waiting.isEmpty, !state.isRunning { return true }
                state.whenIdle = continuation
                return false
            }
            if isIdle { continuation.resume() }
            watch.ring()
        }
        let missed = state.withLock { $0.missed }
        if missed > 0 {
            say(
                "\(counted(missed, "job")) ended for which the line of \(lines.options) was not run"
            )
        }
    }

    // MARK: The thread that runs them

    private func serve() {
        while true {
            while let (id, missed) = next() {
                run(id, missed: missed)
                state.withLock { $0.current = nil }
            }
            work.wait(milliseconds: -1)
        }
    }

    private func next() -> (JobID, missed: Int)? {
        let (found, idle) = state.withLock { state in
            if let close = state.close, close <= .now {
                state.missed += state.waiting.count
                state.waiting = []
            }
            guard !state.waiting.isEmpty else {
                state.isRunning = false
                defer { state.whenIdle = nil }
                return ((JobID, missed: Int)?.none, state.whenIdle)
            }
            state.isRunning = true
            let missed = state.missed
            // Told with this one.
            if state.close == nil { state.missed = 0 }
            return ((state.waiting.removeFirst(), missed), nil)
        }
        idle?.resume()
        return found
    }

    private func run(_ id: JobID, missed: Int) {
        // A store that can no longer be read is told of by the runner.
        guard let outcome = try? store.commandOutcome(of: id) else { return }
        let hasSucceeded = outcome.kind == .succeeded
        let variables = variables(id, outcome, missed: missed)
        for line in [lines.onFinish, hasSucceeded ? nil : lines.onFailure] {
            guard let line else { continue }
            if state.withLock({ $0.close.map { $0 <= .now } ?? false }) {
                return state.withLock { $0.missed += 1 }
            }
            do {
                let command = try Command(
                    arguments: [Array("/bin/sh".utf8), Array("-c".utf8), line],
                    workingDirectory: directory, environment: .inheritedWith(variables))
                let end = try ChildProcess.runAside(command) { child in
                    state.withLock { state in
                        let late = ContinuousClock.now + Self.timeLimit
                        state.current = (child, min(late, state.close ?? late))
                    }
                    watch.ring()
                }
                if !end.succeeded { tell(id, end) }
            } catch {
                say("the line that is run when job \(id) has ended could not be started: \(error)")
            }
        }
    }

    private func tell(_ id: JobID, _ end: CommandEnd) {
        var words = ""
        if case .inline(let bytes) = end.errorOutput,
            let first = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first
        {
            words = ": \(visible(String(first.prefix(200))))"
        }
        say("the line that is run when job \(id) has ended failed, \(end.reason)\(words)")
    }

    private func variables(
        _ id: JobID, _ outcome: CommandOutcome, missed: Int
    ) -> [Command.Variable] {
        var exit = ""
        var signal = ""
        switch outcome.end?.cause {
        case .exited(let code): exit = String(code)
        case .signalled(let number, _): signal = String(number)
        case .lost, nil: break
        }
        let seconds = outcome.end.map { $0.runTime.components.seconds } ?? 0
        // Of one that is gone already nothing is told.
        let details = try? store.details(of: id)
        let command = details.flatMap {
            JobText.command(name: $0.summary.name, payload: $0.payload)
        }
        let tags = details?.summary.metadata.tags ?? []
        var error = ""
        if case .ended(let end)? = details?.summary.state { error = end.failure?.message ?? "" }
        return [
            Command.Variable("PETIOLE_JOB", id.description),
            Command.Variable("PETIOLE_QUEUE", details?.summary.queue ?? ""),
            Command.Variable("PETIOLE_STATE", JobText.word(outcome.kind)),
            Command.Variable("PETIOLE_EXIT", exit),
            Command.Variable("PETIOLE_SIGNAL", signal),
            Command.Variable("PETIOLE_ATTEMPTS", String(outcome.attempt)),
            Command.Variable("PETIOLE_SECONDS", String(seconds)),
            Command.Variable("PETIOLE_ERROR", Self.cut(error)),
            Command.Variable("PETIOLE_COMMAND", Self.cut(command?.description ?? "")),
            Command.Variable("PETIOLE_TAGS", Self.cut(tags.joined(separator: " "))),
            Command.Variable("PETIOLE_STORE", StoreLocation.resolved(store.path)),
            Command.Variable("PETIOLE_MISSED", String(missed)),
        ].filter { !$0.value.contains(0) }
    }

    /// A text that is too long for a variable ends in an ellipsis.
    private static func cut(_ text: String) -> String {
        guard text.utf8.count > variableLimit else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: variableLimit)
        while end.samePosition(in: text.unicodeScalars) == nil { text.utf8.formIndex(before: &end) }
        return text[..<end] + "…"
    }

    // MARK: The thread that ends those that take too long

    private func endLate() {
        while true {
            let (child, isLast, wait) = state.withLock { state -> (ChildProcess?, Bool, Int32) in
                guard let current = state.current else { return (nil, false, -1) }
                let end = min(current.end, state.close ?? current.end)
                let left = end - .now
                guard left > .zero else {
                    // Asked once; it is killed by itself when it does not heed that.
                    state.current = nil
                    return (current.child, state.close.map { $0 <= .now } ?? false, -1)
                }
                let milliseconds = left.components.seconds * 1_000 + 1_000
                return (nil, false, Int32(clamping: milliseconds))
            }
            if isLast { child?.stop(after: Self.lastGrace) } else { child?.stop() }
            watch.wait(milliseconds: wait)
        }
    }
}
