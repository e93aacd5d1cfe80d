import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Prints what commands wrote, each whole, when its outcome is recorded; and how far the run is.
///
/// One thread owns both outputs while a run goes on, so that nothing is interleaved. It is handed ranges of ids, 16 bytes
/// each, and reads what is to be printed from the store: a slow reader of the output costs no memory.
final class RunPrinter: Sendable {
    private struct Handed {
        var history: [ClosedRange<UInt64>] = []
        var endedBefore: [ClosedRange<UInt64>] = []
        var ended: [ClosedRange<UInt64>] = []
        /// Jobs in the order of their inputs, for who is to print in that.
        var expected: [ClosedRange<UInt64>] = []
        var total: Int?
        var isStarted = false
        /// Whether it is to be said that jobs of before are printed again.
        var saysRepeated = false
        var isOver = false
        /// Somebody asked the run to stop: what ended before this start need not be printed to its end.
        var isStopped = false
        var whenDone: (@Sendable () -> Void)?
    }
    /// What the thread has counted; read by others when it has ended.
    struct Tally: Sendable {
        var failed = 0
        var cancelled = 0
        var problem: Failure?
        /// The reader of our output went away.
        var isPipeBroken = false
    }

    private let store: JobStore
    private let showsBar: Bool
    private let handed = Mutex(Handed())
    private let tally = Mutex(Tally())
    private let wake: WakePipe
    private let keepsOrder: Bool
    private let log: JobLog?
    private let manner: Manner
    private let outputs: JobOutputs
    private let stopRun: @Sendable (_ isNow: Bool) -> Void

    /// Ranges that wait to be printed, 1 MiB of them: when the output is read so slowly that there are more, those that wait are
    /// printed in the order of their ids.
    private static let mostRanges = 65_536
    /// A line of a log each 10 seconds; a bar is drawn ten times a second.
    private static let logInterval = Duration.seconds(10)
    private static let barInterval = Duration.milliseconds(100)

    /// How outputs are printed, and where else they are written.
    struct Manner: Sendable {
        var style = OutputStyle()
        /// Prints lines as they are written: what has ended is printed then.
        var live: LivePrinter?
        var results: ResultFolder?
    }

    /// - Parameters:
    ///   - keepsOrder: whether outcomes are printed in the order of the jobs that are expected.
    ///   - log: where a line is added for each command that ends.
    ///   - stopRun: called when printing has become impossible: whether commands are asked to end.
    init(
        _ store: JobStore, showsBar: Bool, keepsOrder: Bool = false, log: JobLog? = nil,
        manner: Manner = Manner(),
        stopRun: @escaping @Sendable (_ isNow: Bool) -> Void
    ) throws {
        self.store = store
        self.showsBar = showsBar
        self.keepsOrder = keepsOrder
        self.log = log
        self.manner = manner
        outputs = JobOutputs(store: store, style: manner.style)
        self.stopRun = stopRun
        wake = try WakePipe()
        manner.live?.whenBroken { [weak self] in self?.check($0, .output) }
    }

    /// Prints these first, or in the places in which they are expected, and does not count them.
    /// - Parameters:
    ///   - before: how many jobs ended before this start.
    ///   - ended: those jobs, for results that were not written then.
    func start(
        history: [ClosedRange<UInt64>], before: Int, ended: [ClosedRange<UInt64>] = []
    ) {
        handed.withLock { handed in
            handed.history = history
            handed.endedBefore = ended
            handed.isStarted = true
        }
        OSThread.start(named: "petiole-print") { self.work(before: before) }
    }

    func add(_ range: ClosedRange<UInt64>) {
        let isFirst = handed.withLock { handed in
            defer { handed.ended.add(range, atMost: Self.mostRanges) }
            return handed.ended.isEmpty
        }
        if isFirst { wake.ring() }
    }

    /// These jobs come next in the order of the inputs.
    func expect(_ ranges: [ClosedRange<UInt64>]) {
        if keepsOrder { handed.withLock { $0.expected += ranges } }
    }

    func setTotal(_ total: Int) { handed.withLock { $0.total = total } }

    /// Says of how many jobs of before the output is printed again, if of any.
    func sayRepeated() { handed.withLock { $0.saysRepeated = true } }

    /// Waits until all that was handed over is printed; not at all if it was never started.
    /// - Parameter isStopped: whether what ended before this start need not be.
    func finish(isStopped: Bool = false) async -> Tally {
        guard handed.withLock({ $0.isStarted }) else { return Tally() }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            handed.withLock { handed in
                handed.isOver = true
                handed.isStopped = isStopped
                handed.whenDone = { continuation.resume() }
            }
            wake.ring()
        }
        return tally.withLock { $0 }
    }

    // MARK: The thread

    private func work(before: Int) {
        let start = ContinuousClock.now
        let look = TerminalLook()
        let isTerminal = Standard.error.isTerminal && !look.isDumb
        var bar = ProgressBar(total: nil, before: before)
        var lastShown = start
        var drawn = ""
        let (history, endedBefore) = handed.withLock { handed in
            defer { (handed.history, handed.endedBefore) = ([], []) }
            return (handed.history, handed.endedBefore)
        }
        var order = PrintOrder()
        var repeated = 0
        var isOld = RangeSet<UInt64>()
        if keepsOrder {
            order.add(history)
            for range in history {
                isOld.insert(contentsOf: Range(range))
                repeated += range.count
            }
        } else {
            for range in history { repeated += printAgain(range) }
        }
        writeMissingResults(endedBefore)
        while true {
            let (ranges, isOver, saysRepeated) = handed.withLock { handed in
                defer { (handed.ended, handed.expected) = ([], []) }
                bar.total = handed.total ?? bar.total
                order.expect(handed.expected)
                return (handed.ended, handed.isOver, handed.saysRepeated)
            }
            if saysRepeated, repeated > 0 {
                flush()
                say(
                    "\(counted(repeated, "job")) of before \(repeated == 1 ? "is" : "are") printed again"
                        + "; --fresh runs all anew")
                repeated = 0
            }
            for range in ranges { take(range, &bar) }
            if keepsOrder {
                order.add(ranges)
                // What is left at the end stands behind a job that has not ended.
                while let id = order.next(orAny: isOver && ranges.isEmpty) {
                    let isRepeated = isOld.contains(id)
                    if isRepeated, isStopped { continue }
                    guard let outcome = outcome(id) else { continue }
                    print(JobID(rawValue: id), outcome, isRepeated: isRepeated)
                }
            }
            flush()
            let isLast = isOver && ranges.isEmpty
            let interval = isTerminal ? Self.barInterval : Self.logInterval
            if showsBar, isLast || lastShown.duration(to: .now) >= interval {
                bar.look(after: start.duration(to: .now), running: runningTimes())
                lastShown = .now
                if isTerminal {
                    drawn = bar.line(
                        columns: Standard.error.columns, look: look, isLast: isLast)
                    Standard.error.drawBar(drawn, isLast: isLast)
                } else {
                    say(bar.plain)
                }
            } else if !drawn.isEmpty, !Standard.error.showsBar {
                // It made room for what the commands wrote.
                Standard.error.drawBar(drawn, isLast: false)
            }
            if isOver, ranges.isEmpty { break }
            // Nobody rings once it is over.
            if !isOver { wait(isTerminal) }
        }
        let done = handed.withLock { $0.whenDone }
        done?()
    }

    /// For how long each command of this process has run.
    private func runningTimes() -> [Duration] {
        let own = Int(getpid())
        let now = store.now
        // A store that cannot be read is met by who prints.
        let running = (try? store.runningJobs()) ?? []
        return running.filter { $0.pid == own }.map { now.since($0.since) }
    }

    private func wait(_ isTerminal: Bool) {
        guard showsBar else { return wake.wait(milliseconds: -1) }
        wake.wait(milliseconds: isTerminal ? 100 : 10_000)
    }

    /// Counts what jobs have come to, stops the run when that says so, and prints what they wrote unless that has an order.
    private func take(_ range: ClosedRange<UInt64>, _ bar: inout ProgressBar) {
        for id in range {
            guard let outcome = outcome(id) else { continue }
            bar.add(
                hasFailed: outcome.kind == .failed || outcome.kind == .deadLetter,
                runTime: outcome.end?.runTime)
            tally.withLock { tally in
                switch outcome.kind {
                case .succeeded: break
                case .failed, .deadLetter: tally.failed += 1
                case .cancelled, .expired, .discarded, .dropped: tally.cancelled += 1
                }
            }
            if let log { note(JobID(rawValue: id), outcome, log) }
            if let results = manner.results {
                writeResult(JobID(rawValue: id), outcome, to: results)
            }
            if !keepsOrder { print(JobID(rawValue: id), outcome) }
        }
    }

    private func note(_ id: JobID, _ outcome: CommandOutcome, _ log: JobLog) {
        let end = outcome.end
        // One that was never started is no line.
        guard end != nil || outcome.kind == .failed || outcome.kind == .deadLetter else { return }
        do {
            let details = try store.details(of: id)
            guard case .ended(let known) = details.summary.state,
                let command = JobText.command(
                    name: details.summary.name, payload: details.payload)
            else { return }
            try log.add(
                id, end, known,
                Command(arguments: command.arguments, environment: command.environment).shellLine)
        } catch {
            give(up: Failure(error) ?? Failure("\(error)", status: 125))
        }
    }

    /// Nil when there is none, or it cannot be read, which ends the run.
    private func outcome(_ id: UInt64) -> CommandOutcome? {
        do {
            return try store.commandOutcome(of: JobID(rawValue: id))
        } catch {
            give(up: Failure(error))
            return nil
        }
    }

    private var isStopped: Bool { handed.withLock { $0.isStopped } }

    /// Prints what ended before this start.
    /// - Returns: how many of the jobs wrote something to standard output.
    private func printAgain(_ range: ClosedRange<UInt64>) -> Int {
        var written = 0
        for id in range {
            if isStopped { break }
            guard let outcome = outcome(id) else { continue }
            print(JobID(rawValue: id), outcome, isRepeated: true)
            if let end = outcome.end, end.output.byteCount > 0 { written += 1 }
        }
        return written
    }

    /// - Parameter isRepeated: the job ended in an earlier start.
    private func print(_ id: JobID, _ outcome: CommandOutcome, isRepeated: Bool = false) {
        guard tally.withLock({ $0.problem == nil && !$0.isPipeBroken }) else { return }
        guard let end = outcome.end else {
            if outcome.kind == .failed || outcome.kind == .deadLetter {
                flush()
                say("job \(id): \(visible(outcome.failure.message))")
            }
            return
        }
        guard end.output.byteCount + end.errorOutput.byteCount > 0, let tag = tag(of: id) else {
            return
        }
        let isPrinted = manner.live != nil && !isRepeated
        check(
            outputs.print(
                end.output, of: id, to: .output, tag: tag, isPrinted: isPrinted,
                whenUnreadable: { give(up: $0) }),
            .output)
        if end.errorOutput.byteCount > 0 {
            // In the order in which they are read: what a command said before comes before.
            flush()
            _ = outputs.print(
                end.errorOutput, of: id, to: .error, tag: tag, isPrinted: isPrinted,
                whenUnreadable: { give(up: $0) })
            Standard.error.flush()
        }
    }

    /// Nil when it cannot be read, which ends the run.
    private func tag(of id: JobID) -> [UInt8]?? {
        do {
            return .some(try manner.style.tag(of: id, in: store))
        } catch {
            give(up: Failure(error) ?? Failure("\(error)", status: 125))
            return .none
        }
    }

    // MARK: Results

    /// Writes the results of jobs of earlier starts that are not there.
    private func writeMissingResults(_ ranges: [ClosedRange<UInt64>]) {
        guard let results = manner.results else { return }
        for id in ranges.joined() {
            guard tally.withLock({ $0.problem == nil }), !isStopped else { return }
            writeResult(JobID(rawValue: id), nil, to: results)
        }
    }

    /// - Parameter outcome: nil: it is read, if there is no result yet.
    private func writeResult(_ id: JobID, _ outcome: CommandOutcome?, to results: ResultFolder) {
        do {
            let extras = try store.extras(of: id)
            let (values, occurrence) = extras.withUnsafeBytes {
                (JobInput.values($0) ?? [], JobInput.occurrence($0))
            }
            if outcome == nil, try results.has(values, occurrence: occurrence) { return }
            guard let outcome = try outcome ?? store.commandOutcome(of: id) else { return }
            try results.add(id, outcome, values, occurrence: occurrence, store)
        } catch {
            give(up: Failure(error) ?? Failure("\(error)", status: 125))
        }
    }

    private func flush() { check(Standard.output.flush(), .output) }

    private func check(_ code: Int32?, _ target: Standard) {
        guard let code, target === Standard.output else { return }
        if code == EPIPE {
            tally.withLock { $0.isPipeBroken = true }
            stopRun(false)
        } else if var failure = Failure.output(code) {
            failure.message +=
                "\nwhat the commands wrote is recorded: start the same line again with another output"
            failure.status = 125
            give(up: failure)
        }
    }

    private func give(up problem: Failure) {
        tally.withLock { $0.problem = $0.problem ?? problem }
        stopRun(false)
    }
}
