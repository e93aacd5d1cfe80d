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

            EXAMPLES
              petiole worker
              petiole worker --queue nightly -j4 --drain
              petiole worker --systemd-unit > ~/.config/systemd/user/petiole.service
            """)

    @Option(help: ArgumentHelp("The queue.", valueName: "name"))
    var queue = CommandQueue.standard

    @Option(
        name: [.customShort("j", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp(
            "Commands at once, 1 to 128; else one for each usable processor.", valueName: "n"))
    var jobs: Int?

    @Flag(help: "End when nothing is left to run.")
    var drain = false

    @Flag(help: "Wait while another process runs the queue.")
    var standby = false

    @Flag(help: "Say of each job how it ended, not only of those that failed.")
    var verbose = false

    @Flag(help: "Print a systemd unit that keeps such a worker going, and do nothing else.")
    var systemdUnit = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        if let jobs, !(1...128).contains(jobs) { throw ValidationError("-j takes 1 to 128") }
        try CommandQueue.check(queue)
    }

    func run() async throws {
        // A worker may be there before the first job: it makes the store as `add` does.
        let store = try location.openOrMake()
        if systemdUnit { return try printUnit(store) }
        var options = JobRunner.Options()
        options.workers = jobs
        options.asyncLimit = 1
        options.whenOwned = standby ? .standby : .fail
        let runner = try JobRunner(
            commandsOf: queue, in: store, retryPolicy: .never, options: options)
        let request = StopRequest()
        let task = Task {
            if drain { try await runner.run {} } else { try await runner.run() }
        }
        StopSignals.start(store) { signal in
            request.answer(signal, runner)
            // One that still waits for the queue has nothing to stop.
            if standby { task.cancel() }
        }
        let reporter = OutcomeReporter(store, isVerbose: verbose)
        let observer = store.observeOutcomes { reporter.add($0) }
        let place = visible(StoreLocation.resolved(store.path))
        say(
            "runs the queue \"\(queue)\" of \(place)\(drain ? " until it is empty" : "; Ctrl-C stops")"
        )
        defer {
            store.stopObserving(observer)
            reporter.flush()
        }
        do {
            try await task.value
        } catch is CancellationError {
            if request.signal == nil { throw CancellationError() }
        }
    }

    private func printUnit(_ store: JobStore) throws {
        let program = Self.unitWord(try Self.ownPath())
        let path = Self.unitWord(Array(StoreLocation.resolved(store.path).utf8))
        Standard.output.write(
            """
            [Unit]
            Description=Petiole worker of the queue \(queue)

            [Service]
            ExecStart=\(program) worker --queue \(queue)\(jobs.map { " -j \($0)" } ?? "") --standby --store \(path)
            Restart=always
            RestartSec=1
            # The worker ends its commands itself; what it leaves behind is ended after 60 s.
            KillMode=mixed
            TimeoutStopSec=60

            [Install]
            WantedBy=default.target

            """)
    }

    /// Quoted for a unit file, where % and $ are special too.
    private static func unitWord(_ bytes: [UInt8]) -> String {
        var word = "\""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            switch scalar {
            case "\"", "\\": word += "\\" + String(scalar)
            case "%": word += "%%"
            case "$": word += "$$"
            default: word += visible(String(scalar))
            }
        }
        return word + "\""
    }

    private static func ownPath() throws -> [UInt8] {
        #if os(Linux)
            let name = "/proc/self/exe"
        #else
            let name = CommandLine.arguments.first ?? "petiole"
        #endif
        guard let path = realpath(name, nil) else {
            throw Failure("the tool's own path cannot be found: \(systemText(errno))", status: 74)
        }
        defer { free(path) }
        return Array(String(cString: path).utf8)
    }
}

/// Says on standard error how jobs ended, on a thread of its own.
private final class OutcomeReporter: Sendable {
    private let store: JobStore
    private let isVerbose: Bool
    private let ended = Mutex<(ranges: [ClosedRange<UInt64>], isAwake: Bool)>(([], false))

    init(_ store: JobStore, isVerbose: Bool) {
        self.store = store
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

    /// Reports all that was handed over.
    func flush() {
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
