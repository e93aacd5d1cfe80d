import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The children of this process that run, so that all of them can be suspended, resumed and
/// killed.
///
/// **None is overlooked.** A command may run before the thread that started it has entered it here.
/// Such starts are counted: the process is suspended once there are none, under `state`, which a
/// start takes first. So whoever finds the process suspended finds its commands suspended. What
/// was asked of all commands meanwhile is done to it when it is entered.
package final class RunningCommands: Sendable {
    package static let shared = RunningCommands()

    private struct State {
        var children: [pid_t: ChildProcess] = [:]
        /// Commands that may run, and are not among `children` yet.
        var starting = 0
        var isSuspended = false
        /// Those that something else had suspended before all were.
        var suspendedBefore: Set<pid_t> = []
        var isKilled = false
        /// Suspends the process; waits for the last of `starting`.
        var suspension: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    package init() {}

    package var count: Int { state.withLock { $0.children.count } }

    /// Starts a command and enters it. It is suspended at once if all are.
    func start(_ spawn: () throws(SpawnError) -> ChildProcess) throws(SpawnError) -> ChildProcess {
        state.withLock { $0.starting += 1 }
        var started: ChildProcess?
        defer {
            state.withLock { state in
                state.starting -= 1
                if let started {
                    state.children[started.pid] = started
                    if state.isSuspended { started.suspend() }
                    if state.isKilled { Self.kill(started) }
                }
                if state.starting == 0 { state.suspension.take()?() }
            }
        }
        let child = try spawn()
        started = child
        return child
    }

    func remove(_ child: ChildProcess) {
        state.withLock { state in
            // A number may belong to a newer child by the time the older one is taken out.
            if state.children[child.pid] === child {
                state.children[child.pid] = nil
                state.suspendedBefore.remove(child.pid)
            }
        }
    }

    /// Suspends every command, and those that start from now on, until ``resumeAll()``.
    package func suspendAll() {
        state.withLock { state in
            if !state.isSuspended {
                state.suspendedBefore = Set(
                    state.children.keys.filter {
                        ProcessIdentity.info(of: $0).map { $0.is_suspended != 0 } ?? false
                    })
            }
            state.isSuspended = true
            for child in state.children.values { child.suspend() }
        }
    }

    /// Suspends this process as well, when no command is just being started; not at all if
    /// ``resumeAll()`` came first.
    /// - Parameter suspend: sends the signal to the calling thread, which takes it before it leaves
    ///   `state`; sent to the process, it may reach another thread later.
    package func suspendProcess(by suspend: @escaping @Sendable () -> Void = { raise(SIGSTOP) }) {
        state.withLock { state in
            guard state.isSuspended else { return }
            if state.starting == 0 { suspend() } else { state.suspension = suspend }
        }
    }

    /// Lets those go on that ``suspendAll()`` has suspended, and no others.
    package func resumeAll() {
        state.withLock { state in
            guard state.isSuspended else { return }
            state.isSuspended = false
            state.suspension = nil
            for child in state.children.values where !state.suspendedBefore.contains(child.pid) {
                child.resume()
            }
            state.suspendedBefore = []
        }
    }

    /// Kills every command, with what it left in its group, and those that start from now on.
    package func killAll() {
        state.withLock { state in
            state.isKilled = true
            for child in state.children.values { Self.kill(child) }
        }
    }

    private static func kill(_ child: ChildProcess) { child.stop(soft: SIGKILL, after: .zero) }
}
