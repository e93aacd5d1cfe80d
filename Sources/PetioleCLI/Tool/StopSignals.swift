import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The signals that end or suspend a run, or change how many of its commands go on at once, taken one after another by a thread that waits for them; no handler runs.
///
/// They are blocked before any other thread starts, so that all threads inherit that, and children do not: they are started
/// with no signal blocked.
enum StopSignals {
    private static let blocked = Mutex<[Int32]>([])

    /// Blocks the signals. Call before threads are started.
    /// - Parameters:
    ///   - resizes: whether SIGUSR1 and SIGUSR2 are taken too.
    ///   - windowSize: whether those are that tell of another size of the terminal, and SIGQUIT.
    static func block(resizes: Bool = false, windowSize: Bool = false) {
        // One that the parent had ignored (`nohup`, `&` in a script) stays ignored: blocked, it would be delivered.
        var signals = ([SIGINT, SIGTERM, SIGHUP, SIGTSTP] + (resizes ? [SIGUSR1, SIGUSR2] : []))
            .filter { signal in
                var action = sigaction()
                guard sigaction(signal, nil, &action) == 0 else { return false }
                return !isIgnored(action)
            }
        if signals.contains(SIGTSTP) {
            // Its default is to be discarded: one that has a handler, which is never called, can be waited for.
            _ = signal(SIGCONT) { _ in }
            signals.append(SIGCONT)
        }
        if windowSize {
            _ = signal(SIGWINCH) { _ in }
            signals += [SIGWINCH, SIGQUIT]
        }
        var set = set(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A reader that went away is told by EPIPE.
        _ = signal(SIGPIPE, SIG_IGN)
        blocked.withLock { $0 = signals }
    }

    /// Waits for signals on a thread of its own. SIGTSTP suspends the running commands and this process, SIGCONT lets them go
    /// on; for any other, `stop` is called there.
    /// - Parameter resize: called with 1 for SIGUSR1 and -1 for SIGUSR2.
    static func start(
        _ store: JobStore, resize: (@Sendable (Int) -> Void)? = nil,
        stop: @escaping @Sendable (Int32) -> Void
    ) {
        let signals = blocked.withLock { $0 }
        if signals.isEmpty { return }
        OSThread.start(named: "petiole-signals") {
            var set = set(signals)
            while true {
                var signal: Int32 = 0
                guard sigwait(&set, &signal) == 0 else { continue }
                switch signal {
                case SIGTSTP: suspend(store)
                case SIGCONT: RunningCommands.shared.resumeAll()
                case SIGUSR1: resize?(1)
                case SIGUSR2: resize?(-1)
                default: stop(signal)
                }
            }
        }
    }

    /// Gives each signal as it comes, on a thread of its own; nothing else is done about it.
    static func forEach(_ body: @escaping @Sendable (Int32) -> Void) {
        let signals = blocked.withLock { $0 }
        if signals.isEmpty { return }
        OSThread.start(named: "petiole-signals") {
            var set = set(signals)
            while true {
                var signal: Int32 = 0
                if sigwait(&set, &signal) == 0 { body(signal) }
            }
        }
    }

    /// Suspends the commands, then this process; the SIGCONT that lets it go on lets them go on.
    private static func suspend(_ store: JobStore) {
        RunningCommands.shared.suspendAll()
        Task {
            // Nothing is buffered, so nothing can fail; when it returns, the writer holds no lock that others wait for.
            try? await store.flush()
            RunningCommands.shared.suspendProcess()
        }
    }

    private static func set(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }

    private static func isIgnored(_ action: sigaction) -> Bool {
        #if canImport(Darwin)
            let handler = action.__sigaction_u.__sa_handler
        #else
            let handler = action.__sigaction_handler.sa_handler
        #endif
        // SIG_IGN is the address 1 on both systems; a function cannot be compared.
        return unsafeBitCast(handler, to: Int.self) == 1
    }
}

/// Which signal asked a run to stop, if any, and what further ones do.
final class StopRequest: Sendable {
    private let state = Mutex<(first: Int32?, count: Int)>((nil, 0))

    var signal: Int32? { state.withLock { $0.first } }

    /// The first signal lets the running commands end, the second asks them to, each further one kills them. Said when it
    /// is so.
    func answer(_ signal: Int32, _ runner: JobRunner) {
        let count = state.withLock { state in
            state.first = state.first ?? signal
            state.count += 1
            return state.count
        }
        switch count {
        case 1:
            runner.stop()
            say("stops when the running commands have ended; once more stops them now")
        case 2:
            runner.stop()
            say(
                """
                the running commands are asked to end, and killed in \
                \(ChildProcess.stopGrace.components.seconds) s; once more kills them at once
                """)
        default:
            RunningCommands.shared.killAll()
            if count == 3 { say("the running commands are killed") }
        }
    }
}

/// The runner that a signal is meant for: those of a run come one after the other.
final class CurrentRunner: Sendable {
    private let held: Mutex<JobRunner>

    init(_ runner: JobRunner) { held = Mutex(runner) }

    var runner: JobRunner {
        get { held.withLock { $0 } }
        set { held.withLock { $0 = newValue } }
    }
}
