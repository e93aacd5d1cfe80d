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
    /// What is done about a signal; nil: what the system would do.
    private static let action = Mutex<(@Sendable (Int32) -> Void)?>(nil)

    /// Blocks the signals, and takes them from now on: until somebody says what is to be done about them, they do what they
    /// do to any program. Call before threads are started.
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
        // A reader that went away is told by EPIPE, a file that may not grow by EFBIG.
        _ = signal(SIGPIPE, SIG_IGN)
        _ = signal(SIGXFSZ, SIG_IGN)
        if signals.isEmpty { return }
        OSThread.start(named: "petiole-signals") { [set] in
            var set = set
            while true {
                var signal: Int32 = 0
                guard sigwait(&set, &signal) == 0 else { continue }
                if let action = action.withLock({ $0 }) { action(signal) } else { obey(signal) }
            }
        }
    }

    /// From now on SIGTSTP suspends the running commands and this process, and SIGCONT lets them go on; for any other signal,
    /// `stop` is called, on the thread that waits for them.
    /// - Parameter resize: called with 1 for SIGUSR1 and -1 for SIGUSR2.
    static func start(
        _ store: JobStore, resize: (@Sendable (Int) -> Void)? = nil,
        stop: @escaping @Sendable (Int32) -> Void
    ) {
        forEach { signal in
            switch signal {
            case SIGTSTP: suspend(store)
            case SIGCONT: RunningCommands.shared.resumeAll()
            case SIGUSR1: resize?(1)
            case SIGUSR2: resize?(-1)
            default: stop(signal)
            }
        }
    }

    /// From now on gives each signal as it comes, on the thread that waits for them; nothing else is done about it.
    static func forEach(_ body: @escaping @Sendable (Int32) -> Void) {
        action.withLock { $0 = body }
    }

    /// Does what a signal does to a program that knows nothing of it.
    private static func obey(_ number: Int32) {
        switch number {
        case SIGTSTP: kill(getpid(), SIGSTOP)
        case SIGCONT, SIGWINCH: break
        default:
            _ = signal(number, SIG_DFL)
            var set = set([number])
            // Of this thread alone, which is enough for it to be delivered.
            pthread_sigmask(SIG_UNBLOCK, &set, nil)
            raise(number)
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
    func answer(_ signal: Int32, _ runner: JobRunner) { answer(signal) { _ in runner.stop() } }

    /// - Parameter stop: stops what runs, in order or now.
    func answer(_ signal: Int32, _ stop: (_ isNow: Bool) -> Void) {
        let count = state.withLock { state in
            state.first = state.first ?? signal
            state.count += 1
            return state.count
        }
        switch count {
        case 1:
            stop(false)
            say("stops when the running commands have ended; once more stops them now")
        case 2:
            stop(true)
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
    private let held: Mutex<RunStopper>

    init(_ stopper: RunStopper) { held = Mutex(stopper) }

    var stopper: RunStopper {
        get { held.withLock { $0 } }
        set { held.withLock { $0 = newValue } }
    }
}
