import Synchronization

/// Who in this process waits for a job's end, by id. The writer tells them when an outcome is durable; for jobs that other
/// processes run, ``OutcomeWatch`` looks when their bell rings.
final class WaiterTable: Sendable {
    /// Told once that it should look again. Called on the writer's thread: it only hands over.
    typealias Waiter = @Sendable () -> Void

    private struct State {
        var waiters: [UInt64: [UInt64: Waiter]] = [:]
        var nextToken: UInt64 = 0
    }
    private let state = Mutex(State())
    private let count = Atomic<Int>(0)

    /// Whether nobody waits.
    var isEmpty: Bool {
        // Sequentially consistent: who adds himself then looks at the store, and the writer commits then looks here.
        count.load(ordering: .sequentiallyConsistent) == 0
    }

    /// Adds a waiter. It must look at the store *after* this: what was recorded before is not told.
    func add(_ id: UInt64, _ waiter: @escaping Waiter) -> UInt64 {
        let token = state.withLock { state in
            state.nextToken += 1
            state.waiters[id, default: [:]][state.nextToken] = waiter
            return state.nextToken
        }
        // Sequentially consistent: see `isEmpty`.
        count.add(1, ordering: .sequentiallyConsistent)
        return token
    }

    /// Takes a waiter back. False when it was told already, or is being told.
    @discardableResult
    func remove(_ id: UInt64, _ token: UInt64) -> Bool {
        let removed = state.withLock { state -> Bool in
            guard state.waiters[id]?.removeValue(forKey: token) != nil else { return false }
            if state.waiters[id]?.isEmpty == true { state.waiters[id] = nil }
            return true
        }
        // Sequentially consistent: see `isEmpty`.
        if removed { count.subtract(1, ordering: .sequentiallyConsistent) }
        return removed
    }

    /// Tells who waits for ids that ended.
    func notify(_ ended: [(first: UInt64, count: UInt64)]) {
        if isEmpty { return }
        let told = state.withLock { state -> [Waiter] in
            var told: [Waiter] = []
            let endedCount = ended.reduce(0) { $0 + $1.count }
            if endedCount < state.waiters.count {
                for range in ended {
                    for id in range.first..<(range.first + range.count) {
                        if let waiters = state.waiters.removeValue(forKey: id) {
                            told += waiters.values
                        }
                    }
                }
            } else {
                let sorted = ended.sorted { $0.first < $1.first }
                for id in Array(state.waiters.keys) where Self.contains(sorted, id) {
                    told += state.waiters.removeValue(forKey: id)!.values
                }
            }
            return told
        }
        // Sequentially consistent: see `isEmpty`.
        count.subtract(told.count, ordering: .sequentiallyConsistent)
        for waiter in told { waiter() }
    }

    /// The ids that are waited for.
    var ids: [UInt64] { state.withLock { Array($0.waiters.keys) } }

    private static func contains(
        _ sorted: [(first: UInt64, count: UInt64)], _ id: UInt64
    ) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle].first <= id { low = middle + 1 } else { high = middle }
        }
        return low > 0 && id - sorted[low - 1].first < sorted[low - 1].count
    }
}
