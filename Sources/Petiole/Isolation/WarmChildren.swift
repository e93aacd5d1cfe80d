import Synchronization

/// The child processes of a runner: kept while they have nothing to do, and given out one to an attempt.
///
/// As many are made as attempts run at once. The one that was used last is given out first, so that those that a burst has made
/// are the ones that lie idle.
final class WarmChildren: Sendable {
    private struct State {
        /// By kind, the one that was used last at the end.
        var idle: [ChildSettings: [ServingChild]] = [:]
        var isOver = false
    }
    private let state = Mutex(State())
    private let store: OpenStore
    private let grace = Mutex(ChildProcess.stopGrace)

    /// How long a job has that was asked to stop, as a command has; then its child is killed.
    var stopGrace: Duration {
        get { grace.withLock { $0 } }
        set { grace.withLock { $0 = newValue } }
    }

    init(_ store: OpenStore) { self.store = store }

    /// Takes an idle child, or starts one.
    func take(_ settings: ChildSettings) throws -> ServingChild {
        if let child = state.withLock({ $0.idle[settings]?.popLast() }) { return child }
        return try ServingChild.start(settings, store)
    }

    /// Takes a child back that has ended its attempt; ends it when it is to be replaced, or the runner is over.
    func give(_ child: ServingChild) {
        let isKept =
            child.isFit
            && state.withLock { state in
                if !state.isOver { state.idle[child.settings, default: []].append(child) }
                return !state.isOver
            }
        if isKept { return }
        child.letGo()
        _ = child.end()
    }

    /// Passes on what idle children have written, and takes away those that have died. Called now and then.
    func lookAfter() {
        // Mostly none, and then workers find all of them meanwhile.
        let stirring = state.withLock { state -> [ServingChild] in
            var stirring: [ServingChild] = []
            for kind in state.idle.keys {
                let children = state.idle[kind]!
                stirring += children.filter { $0.hasStirred }
                state.idle[kind] = children.filter { child in
                    !stirring.contains { $0 === child }
                }
            }
            return stirring
        }
        for child in stirring {
            if child.passOn() { give(child) } else { _ = child.end() }
        }
    }

    /// Ends all idle children and awaits their ends; others end when their attempts do. Blocks the thread.
    func end() {
        let idle = state.withLock { state in
            state.isOver = true
            defer { state.idle = [:] }
            return state.idle.values.flatMap { $0 }
        }
        for child in idle { child.letGo() }
        for child in idle { _ = child.end() }
    }

    // For tests.
    var idleTails: [String] {
        state.withLock { $0.idle.values.flatMap { $0.map { $0.lastLines } } }
    }
    var idleSettings: ChildSettings? { state.withLock { $0.idle.keys.first } }
    var idleProcesses: [ChildProcess] {
        state.withLock { $0.idle.values.flatMap { $0.map { $0.process } } }
    }
}
