import CPetiole
import Synchronization

/// What each job of a runner passes before it begins: a pause since the one before, memory that is available, resources of the
/// store.
///
/// One thread at a time is at the gate, in the order in which they came, with its ticket in its rest and nothing of the store
/// open; the others wait for their turn. So what waits there may be cancelled, and is nobody's when the runner stops.
package final class StartGate: Sendable {
    /// What a start waits for.
    package struct Rules: Sendable {
        /// At least so long after the start before.
        package var delay: Duration?
        /// At least so many bytes of memory that the system could give without swapping.
        package var memory: UInt64?
        /// Called when there is less, once until there is enough again: how many bytes there are. On a thread of the pool.
        package var onShortage: (@Sendable (UInt64) -> Void)?

        /// What it takes of the store's resources until it has ended.
        package var resources: [ResourceNeed] = []
        /// Called when there is not enough of one, once until there is: which, and how many there are in all; nil: the store
        /// knows none of that name. On a thread of the pool.
        package var onMissing: (@Sendable (ResourceNeed, _ of: Int?) -> Void)?
        /// Called when these cannot be read: the job does not begin. On a thread of the pool.
        package var onFailure: (@Sendable (StoreError) -> Void)?

        package init() {}
        package var isEmpty: Bool { delay == nil && memory == nil && resources.isEmpty }
    }

    private struct State {
        /// Whose turn it is, and the number of the next who comes.
        var serving: UInt64 = 0
        var next: UInt64 = 0
        var isStopped = false
        /// Nanoseconds of the steady clock.
        var startsFrom: Int64 = 0
    }

    private let rules: Rules
    private let tokens: ResourceTokens?
    private let availableMemory: @Sendable () -> UInt64?
    private let state = Mutex(State())
    /// Moved when it is another one's turn, and by a stop.
    private let word = SharedWord()
    /// Nobody tells when memory is given back: it is asked for each second while there is too little. After that, one start a
    /// second, since what has just begun has not yet taken what it will.
    private static let memoryTick: Int64 = 1_000_000_000

    init(
        _ rules: Rules, store: OpenStore? = nil,
        availableMemory: @escaping @Sendable () -> UInt64? = { StartGate.systemMemory() }
    ) {
        self.rules = rules
        tokens =
            rules.resources.isEmpty ? nil : store.map { ResourceTokens($0, rules.resources) }
        self.availableMemory = availableMemory
    }

    /// Bytes that the system could give; nil where it does not tell.
    private static func systemMemory() -> UInt64? {
        let bytes = petiole_available_memory()
        return bytes < 0 ? nil : UInt64(bytes)
    }

    /// Blocks the thread until a job may begin.
    /// - Returns: what it holds until it has ended, for ``ended(_:)``; nil when the gate was stopped: none is to begin.
    func pass() -> [Int64]? {
        let turn = state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
        defer {
            state.withLock { $0.serving += 1 }
            ring()
        }
        guard wait(until: { $0.serving == turn ? nil : .max }),
            wait(until: { $0.startsFrom > petiole_steady_time() ? $0.startsFrom : nil })
        else { return nil }
        // Resources last: what is held is used. While they were waited for, the memory may have gone.
        var wasShort = false
        var held: [Int64] = []
        repeat {
            ended(held)
            held = []
            guard let isShort = awaitMemory(), let taken = awaitTokens() else { return nil }
            held = taken
            wasShort = wasShort || isShort
        } while tokens != nil && !hasMemory
        let pause = max(Self.nanoseconds(rules.delay), wasShort ? Self.memoryTick : 0)
        state.withLock { $0.startsFrom = petiole_steady_time() + pause }
        return held
    }

    /// 146 years at most, so that an instant may be that far away.
    private static func nanoseconds(_ delay: Duration?) -> Int64 {
        guard let delay else { return 0 }
        let (sum, overflow) = RetryPolicy.microseconds(delay).multipliedReportingOverflow(by: 1_000)
        return overflow ? .max >> 1 : min(sum, .max >> 1)
    }

    /// Gives back what a job held that has ended, or not begun after all.
    func ended(_ held: [Int64]) {
        if !held.isEmpty { tokens?.giveBack(held) }
    }

    /// Lets nobody through any more.
    func stop() {
        state.withLock { $0.isStopped = true }
        ring()
        tokens?.ring()
    }

    private func ring() {
        word.add(1)
        word.wakeAll()
    }

    /// - Parameter next: until when to wait, by the steady clock; nil: no longer.
    /// - Returns: false when stopped.
    private func wait(until next: (State) -> Int64?) -> Bool {
        while true {
            // Read before looking: what comes in between makes the wait return at once.
            let seen = word.value
            let (isStopped, next) = state.withLock { ($0.isStopped, next($0)) }
            if isStopped { return false }
            guard let next else { return true }
            if next == .max {
                word.wait(while: seen)
            } else {
                word.wait(while: seen, for: next - petiole_steady_time())
            }
        }
    }

    /// - Returns: what is held now; nil when stopped.
    private func awaitTokens() -> [Int64]? {
        guard let tokens else { return [] }
        // Whether it was said of the last try that it may have them some time.
        var told: Bool?
        while true {
            // Read before looking: what comes in between makes the wait return at once.
            let seen = tokens.now
            if state.withLock({ $0.isStopped }) { return nil }
            do throws(StoreError) {
                switch try tokens.take() {
                case .all(let held): return held
                case .missing(let need, let count):
                    let isPossible = (count ?? 0) >= need.count
                    if told != isPossible { rules.onMissing?(need, count) }
                    told = isPossible
                case .othersTake: break
                }
            } catch {
                stop()
                rules.onFailure?(error)
                return nil
            }
            tokens.wait(since: seen)
        }
    }

    private var hasMemory: Bool {
        guard let wanted = rules.memory, let available = availableMemory() else { return true }
        return available >= wanted
    }

    /// - Returns: whether there was too little; nil when stopped.
    private func awaitMemory() -> Bool? {
        guard let wanted = rules.memory else { return false }
        var isShort = false
        while let available = availableMemory(), available < wanted {
            if !isShort { rules.onShortage?(available) }
            isShort = true
            let until = petiole_steady_time() + Self.memoryTick
            guard wait(until: { _ in petiole_steady_time() < until ? until : nil }) else {
                return nil
            }
        }
        return isShort
    }
}
