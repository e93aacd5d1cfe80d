import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The signals that end or suspend a run, taken one after another by a thread that waits for them; no handler runs.
///
/// They are blocked before any other thread starts, so that all threads inherit that, and children do not: they are started with
/// no signal blocked.
struct StopSignals: Sendable {
    private let signals: [Int32]

    /// Blocks the signals. Call before threads are started.
    /// - Parameter suspends: whether SIGTSTP is taken too.
    init(suspends: Bool) {
        var wanted = [SIGINT, SIGTERM, SIGHUP]
        if suspends { wanted.append(SIGTSTP) }
        // One that the parent had ignored (`nohup`, `&` in a script) stays ignored: blocked, it would be delivered.
        signals = wanted.filter { signal in
            var action = sigaction()
            guard sigaction(signal, nil, &action) == 0 else { return false }
            return !Self.isIgnored(action)
        }
        var set = Self.set(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A reader that went away is told by EPIPE.
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// Waits for signals on a thread of its own, and calls `handle` there for each.
    func start(_ handle: @escaping @Sendable (Int32) -> Void) {
        let signals = signals
        if signals.isEmpty { return }
        OSThread.start(named: "petiole-signals") {
            var set = Self.set(signals)
            while true {
                var signal: Int32 = 0
                if sigwait(&set, &signal) == 0 { handle(signal) }
            }
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

/// Which signal asked a run to stop, if any.
final class StopRequest: Sendable {
    private let first = Mutex<Int32?>(nil)

    /// Notes a signal; returns whether it was the first.
    func note(_ signal: Int32) -> Bool {
        first.withLock { first in
            defer { first = first ?? signal }
            return first == nil
        }
    }
    var signal: Int32? { first.withLock { $0 } }
}
