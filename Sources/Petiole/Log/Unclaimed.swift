import PetioleStorage

/// Jobs that nobody can have claimed, so that a transaction may end them there and then: what waits or is parked, and what is
/// ready in a queue that nobody owns. `Dropping` has the argument. The queue's owner is looked for once.
struct Unclaimed {
    private let runners: Runners
    /// Of a dead owner too: what it left running ends with the next takeover.
    private let running: Set<UInt64>
    private var owned: [UInt32: Bool] = [:]

    init(_ runners: Runners) {
        self.runners = runners
        running = runners.slots.jobs()
    }

    mutating func contains(_ id: UInt64, _ active: ActiveRecord) -> Bool {
        if active.state != .ready { return true }
        // To run alone, or at most once and perhaps begun when its owner died: left to the next one.
        if active.isSuspect || active.startEpoch != 0 || running.contains(id) { return false }
        if let isOwned = owned[active.queue] { return !isOwned }
        let isOwned = runners.isOwned(active.queue)
        owned[active.queue] = isOwned
        return !isOwned
    }

    /// Cancels one of them.
    static func cancel(
        _ id: UInt64, _ active: ActiveRecord, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        if active.state == .ready, active.position != 0 {
            try transaction.delete(
                tables.lanes, RecordKey.lane(active.queue, active.priority, active.position))
        }
        try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
    }
}
