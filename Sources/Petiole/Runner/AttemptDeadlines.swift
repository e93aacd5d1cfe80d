import CPetiole
import Synchronization

/// Looks after attempts that have a time limit: asks them to stop when it passes, and ends commands. One thread, which sleeps
/// until the next limit; started with the first attempt that has one, so that who uses none pays nothing.
final class AttemptDeadlines: Sendable {
    private struct Entry {
        let slot: AttemptSlot
        /// Which attempt it is, for who is asked to stop it when it may have ended.
        let startedAt: Int64
        let limit: TimeLimit
        /// Nanoseconds of the steady clock: a limit is a duration, and the system's clock may be set.
        var softAt: Int64?
        var hardAt: Int64?
        var hasPassed = false
        var hasHardPassed = false
        var next: Int64? { [softAt, hardAt].compactMap { $0 }.min() }
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var isStarted = false
        var isStopped = false
    }

    private let state = Mutex(State())
    /// Moved when there is something new to wait for.
    private let word = SharedWord()
    /// An attempt begins. Its slot names it already.
    func begin(_ id: UInt64, _ slot: AttemptSlot, _ limit: TimeLimit, _ stoppables: Stoppables) {
        let now = petiole_steady_time()
        func at(_ duration: Duration?) -> Int64? { duration.map { now + Self.nanoseconds($0) } }
        enter(
            id,
            Entry(
                slot: slot, startedAt: slot.startedAt, limit: limit, softAt: at(limit.soft),
                hardAt: at(limit.hard)), stoppables)
    }

    /// An attempt that may have begun a while ago, by the steady clock, is to be asked to stop after so long; its hard limit, if it
    /// has one, stays. It is ended with ``end(_:)``.
    func limit(
        _ id: UInt64, _ slot: AttemptSlot, after soft: Duration, from startedAt: Int64,
        _ stoppables: Stoppables
    ) {
        guard slot.job == id else { return }
        let earlier = state.withLock { $0.entries[id] }
        enter(
            id,
            Entry(
                slot: slot, startedAt: slot.startedAt,
                limit: TimeLimit(soft: soft, hard: earlier?.limit.hard),
                softAt: startedAt + Self.nanoseconds(soft), hardAt: earlier?.hardAt), stoppables)
    }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        min(RetryPolicy.microseconds(duration), .max >> 11) * 1_000
    }

    private func enter(_ id: UInt64, _ entry: Entry, _ stoppables: Stoppables) {
        let isFirst = state.withLock { state -> Bool in
            state.entries[id] = entry
            defer { state.isStarted = true }
            return !state.isStarted
        }
        if isFirst {
            OSThread.start(named: "petiole-limits") { [self] in work(stoppables) }
        } else {
            word.add(1)
            word.wakeAll()
        }
    }

    /// Whether the soft limit of an attempt that runs has passed.
    func hasPassed(_ id: UInt64) -> TimeLimitExceeded? {
        state.withLock { state in
            guard let entry = state.entries[id], entry.hasPassed else { return nil }
            return TimeLimitExceeded(limit: entry.limit.soft ?? entry.limit.hard ?? .zero)
        }
    }

    /// The hard limit of an attempt that runs, when it has passed.
    func hardPassed(_ id: UInt64) -> Duration? {
        state.withLock { state in
            guard let entry = state.entries[id], entry.hasHardPassed else { return nil }
            return entry.limit.hard
        }
    }

    /// Whether an attempt that was asked to stop will be ended at its hard limit, or is about to be: when both limits have
    /// passed at one look, the order to stop is given first.
    func endsLater(_ id: UInt64) -> Bool {
        state.withLock { state in
            state.entries[id].map { $0.hasPassed && ($0.hardAt != nil || $0.hasHardPassed) }
                ?? false
        }
    }

    /// An attempt has ended.
    /// - Returns: the limit that had passed.
    func end(_ id: UInt64) -> TimeLimitExceeded? {
        let passed = hasPassed(id)
        state.withLock { _ = $0.entries.removeValue(forKey: id) }
        return passed
    }

    /// The thread ends. No attempt is left that it looks after.
    func stop() {
        state.withLock { $0.isStopped = true }
        word.add(1)
        word.wakeAll()
    }

    private func work(_ stoppables: Stoppables) {
        while true {
            // Read before looking: what comes in between makes the wait return at once.
            let seen = word.value
            let now = petiole_steady_time()
            var stops: [(id: UInt64, startedAt: Int64)] = []
            var kills: [(id: UInt64, startedAt: Int64)] = []
            let next = state.withLock { state -> Int64?? in
                if state.isStopped { return nil }
                for (id, entry) in state.entries {
                    if let softAt = entry.softAt, softAt <= now {
                        state.entries[id]!.softAt = nil
                        state.entries[id]!.hasPassed = true
                        // The mark is the job's number: should the slot have gone on to another, it says nothing of that one.
                        if entry.slot.job == id { entry.slot.stopping = id }
                        stops.append((id, entry.startedAt))
                    }
                    if let hardAt = entry.hardAt, hardAt <= now {
                        state.entries[id]!.hardAt = nil
                        state.entries[id]!.hasPassed = true
                        state.entries[id]!.hasHardPassed = true
                        // For a command that has not been found yet.
                        if entry.slot.job == id { entry.slot.stopping = id }
                        kills.append((id, entry.startedAt))
                    }
                }
                return .some(state.entries.values.compactMap { $0.next }.min())
            }
            for (id, startedAt) in stops { stoppables.stop(id, startedAt: startedAt) }
            for (id, startedAt) in kills { stoppables.kill(id, startedAt: startedAt) }
            guard let next else { return }
            if let next { word.wait(while: seen, for: next - now) } else { word.wait(while: seen) }
        }
    }
}
