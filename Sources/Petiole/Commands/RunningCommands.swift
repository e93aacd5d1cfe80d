import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The children of this process that run, so that all of them can be suspended, resumed and
/// stopped.
package final class RunningCommands: Sendable {
    package static let shared = RunningCommands()

    private struct State {
        var children: [pid_t: ChildProcess] = [:]
        var isSuspended = false
    }

    private let state = Mutex(State())

    package init() {}

    package var count: Int { state.withLock { $0.children.count } }

    func add(_ child: ChildProcess) {
        state.withLock { state in
            state.children[child.pid] = child
            if state.isSuspended { child.suspend() }
        }
    }

    func remove(_ child: ChildProcess) {
        state.withLock { state in
            // A number may belong to a newer child by the time the older one is taken out.
            if state.children[child.pid] === child { state.children[child.pid] = nil }
        }
    }

    /// Suspends every command, and those that start from now on, until ``resumeAll()``.
    package func suspendAll() {
        state.withLock { state in
            state.isSuspended = true
            for child in state.children.values { child.suspend() }
        }
    }

    package func resumeAll() {
        state.withLock { state in
            state.isSuspended = false
            for child in state.children.values { child.resume() }
        }
    }

    /// Stops every command that runs now. One that starts afterwards is not stopped: who calls this
    /// stops handing out first, and looks again when a child has started (`onStart` of
    /// ``ChildProcess/run(_:mark:limits:among:onStart:)``).
    package func stopAll(soft: Int32 = SIGTERM, after grace: Duration = ChildProcess.stopGrace) {
        state.withLock { state in
            for child in state.children.values { child.stop(soft: soft, after: grace) }
        }
    }
}
