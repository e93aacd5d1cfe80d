import ArgumentParser
import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole worker`: runs what `petiole add` added and what schedules enqueue, until stopped.
struct Worker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the commands of a queue, and fire its schedules, until stopped.",
        discussion: """
            Runs what `petiole add` adds, and enqueues the commands of the queue's schedules when their times come: see \
            `petiole schedule`. Jobs of other names that programs have put into the queue are left to those.

            One process at a time runs a queue; a second one is told the first one's pid, or waits with --standby and \
            takes over the moment the first ends. What commands write is kept with their outcome: see `petiole show`. \
            Ctrl-C lets running commands end (30 s at most); a second one asks them to end and kills them after 10 s, \
            a third one kills them at once.

            The lines of --on-finish and --on-failure are run when an outcome is on the disk, one at a time, beside the workers, \
            which never wait for them. They find PETIOLE_JOB, PETIOLE_QUEUE, PETIOLE_STATE (succeeded, failed, dead, cancelled, \
            expired, dropped), PETIOLE_EXIT or PETIOLE_SIGNAL, PETIOLE_ATTEMPTS, PETIOLE_SECONDS, PETIOLE_ERROR, \
            PETIOLE_COMMAND, PETIOLE_TAGS and PETIOLE_STORE in their environment, long ones cut at 32 KiB. They are run for jobs \
            of this queue that the worker itself ends; not for those that others end, as `petiole cancel` ends one that has not \
            started: `petiole tail` tells of all. For a job a line is run once at most: a crash of the worker loses those that \
            wait. When 1,000 wait, those that end then are passed over, and PETIOLE_MISSED of the next one counts them. A line \
            that takes longer than 60 s is ended; one that fails is told of on standard error, and not run again. When the \
            worker ends, those that wait are run for 10 s at most.

            With --drain it also waits for jobs that are held behind others (`petiole add --after`), in other queues too as \
            long as a process runs those; not for what is held by hand, parked or paused.

            The unit that is printed restarts the worker, however often it fails, and lets its commands end for 40 s when it is \
            stopped. It names a store that is there, and waits for it: it makes none, as under a disk that is not mounted. A \
            unit of the user's own manager runs without a login after: loginctl enable-linger

            EXAMPLES
              petiole worker
              petiole worker --queue nightly -j4 --drain
              petiole worker --queue training --resources gpu=1
              petiole worker --on-failure 'notify-send "job $PETIOLE_JOB: $PETIOLE_ERROR"'
              petiole worker --print-systemd-unit > ~/.config/systemd/user/petiole.service
              petiole worker --print-systemd-unit --system | sudo tee /etc/systemd/system/petiole.service
            """)

    @Option(
        help: ArgumentHelp("The queue.", valueName: "name"), completion: KnownQueue.completion)
    var queue = CommandQueue.standard

    @Option(
        name: [.customShort("j", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp(
            "Commands at once, 1 to 128; else one for each usable processor.", valueName: "n"))
    var jobs: Int?

    @OptionGroup var resources: ResourceOptions

    @Flag(help: "End when nothing is left to run.")
    var drain = false

    @Flag(help: "Wait while another process runs the queue.")
    var standby = false

    @Flag(help: "End with an error when the store is not there; else it is made.")
    var existing = false

    @Flag(help: "Say of each job how it ended, not only of those that failed.")
    var verbose = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "A line for /bin/sh that is run when a job has ended.", valueName: "line"))
    var onFinish: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The same for jobs that did not succeed alone.", valueName: "line"))
    var onFailure: String?

    @Flag(
        name: [.customLong("print-systemd-unit"), .customLong("systemd-unit")],
        help: "Print a systemd unit that keeps such a worker going, and do nothing else.")
    var systemdUnit = false

    @Flag(help: "With --print-systemd-unit: one for the system's manager, not the user's own.")
    var system = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        if let jobs, !(1...128).contains(jobs) {
            throw ValidationError("--jobs (-j) takes 1 to 128")
        }
        try CommandQueue.check(queue)
        if system, !systemdUnit {
            throw ValidationError("--system goes with --print-systemd-unit")
        }
        if drain, systemdUnit {
            throw ValidationError(
                "a unit restarts a worker that has ended: leave --drain out with --print-systemd-unit"
            )
        }
    }

    func run() async throws {
        if systemdUnit { return try printUnit(location.openExisting()) }
        // A worker may be there before the first job: it makes the store as `add` does.
        let store = existing ? try location.openExisting() : try location.openOrMake()
        var options = JobRunner.Options()
        options.workers = jobs
        options.asyncLimit = 1
        options.whenOwned = standby ? .standby : .fail
        try resources.check(in: store)
        var running = CommandRunOptions()
        running.start.resources = resources.needs
        running.start.onMissing = ResourceOptions.sayMissing
        let runner = try JobRunner(
            commandsOf: queue, in: store, retryPolicy: .never, options: options, running: running)
        let request = StopRequest()
        let lines = FinishHook.Lines(
            onFinish: onFinish.map { Arguments.bytes(of: $0) },
            onFailure: onFailure.map { Arguments.bytes(of: $0) })
        // Before anything can end.
        let hook = lines.isEmpty ? nil : try FinishHook(store, lines: lines)
        let reporter = OutcomeReporter(store, queue: queue, hook, isVerbose: verbose)
        let observer = store.observeOutcomes { reporter.add($0) }
        defer {
            store.stopObserving(observer)
            reporter.flush()
        }
        let place = visible(StoreLocation.resolved(store.path))
        let greeting =
            "runs the queue \"\(queue)\" of \(place)\(drain ? " until it is empty" : "; Ctrl-C stops")"
        if standby, let pid = try store.queues().first(where: { $0.name == queue })?.ownerPID {
            say("waits for process \(pid), which runs the queue \"\(queue)\" of \(place)")
        }
        // Signals are taken before anybody is told that it runs.
        let (isBegun, begin) = AsyncStream<Void>.makeStream()
        let task = Task {
            for await _ in isBegun {}
            if drain {
                try await runner.run { say(greeting) }
            } else {
                try await runner.runUntilStopped { say(greeting) }
            }
        }
        StopSignals.start(store) { signal in
            request.answer(signal, runner)
            // One that still waits for the queue has nothing to stop.
            if standby { task.cancel() }
        }
        begin.finish()
        do {
            try await task.value
            reporter.flush()
            await hook?.finish()
        } catch is CancellationError {
            if request.signal == nil { throw CancellationError() }
        }
    }

    private func printUnit(_ store: JobStore) throws {
        var words = ["--queue", queue]
        if let jobs { words += ["-j", String(jobs)] }
        if let needs = resources.resources { words += ["--resources", needs] }
        words += ["--standby", "--existing"] + (verbose ? ["--verbose"] : [])
        for (name, line) in [("--on-finish", onFinish), ("--on-failure", onFailure)] {
            guard let line else { continue }
            guard let text = String(validating: Arguments.bytes(of: line), as: UTF8.self) else {
                throw Failure.usage(
                    """
                    the line of \(name) is not UTF-8, which a unit has to be
                    put it into a script, and give that one's path
                    """)
            }
            words += [name, text]
        }
        var arguments = words.map { Array($0.utf8) }
        let path = StoreLocation.resolved(store.path)
        arguments += [Array("--store".utf8), Array(path.utf8)]
        Standard.output.write(
            try WorkerUnit(
                store: path, queue: queue, arguments: arguments, isSystem: system
            ).text())
    }
}

/// Says on standard error how jobs ended, on a thread of its own, and hands them to the lines that are run then.
private final class OutcomeReporter: Sendable {
    private let store: JobStore
    private let queue: String
    private let hook: FinishHook?
    private let isVerbose: Bool
    private let ended = Mutex<(ranges: [ClosedRange<UInt64>], isAwake: Bool)>(([], false))
    /// Held by who reports: one at a time.
    private let turn = Mutex(())

    init(_ store: JobStore, queue: String, _ hook: FinishHook?, isVerbose: Bool) {
        self.store = store
        self.queue = queue
        self.hook = hook
        self.isVerbose = isVerbose
    }

    /// On the writer's thread: hands over only.
    func add(_ range: ClosedRange<UInt64>) {
        let startsThread = ended.withLock { state in
            state.ranges.append(range)
            defer { state.isAwake = true }
            return !state.isAwake
        }
        if startsThread {
            OSThread.start(named: "petiole-report") { self.flush() }
        }
    }

    /// Reports all that was handed over; behind it nothing of that is still to be said.
    func flush() { turn.withLock { _ in report() } }

    private func report() {
        while true {
            let ranges = ended.withLock { state in
                defer { state.ranges = [] }
                if state.ranges.isEmpty { state.isAwake = false }
                return state.ranges
            }
            if ranges.isEmpty { return }
            for range in ranges {
                for id in range { report(JobID(rawValue: id)) }
            }
        }
    }

    private func report(_ id: JobID) {
        // A store that can no longer be read is told of by the runner.
        guard let outcome = try? store.commandOutcome(of: id) else { return }
        // Jobs of other queues end here too that come after one of this queue. As above.
        if let hook, (try? store.isJob(id, ofQueue: queue)) == true {
            hook.add(id, hasSucceeded: outcome.kind == .succeeded)
        }
        switch outcome.kind {
        case .succeeded:
            let time = outcome.end.map { " in " + TimeText.duration($0.runTime) } ?? ""
            if isVerbose { say("job \(id) succeeded\(time)") }
        case .failed, .deadLetter:
            say("job \(id) failed: \(visible(outcome.failure.message))")
        case .cancelled:
            if isVerbose { say("job \(id) was cancelled") }
        case .expired, .discarded, .dropped:
            if isVerbose { say("job \(id): \(JobText.word(outcome.kind))") }
        }
    }
}
