import CPetiole
import PetioleStorage

/// What a cancel came to.
public enum CancelResult: Sendable, Hashable {
    /// The job had not started and never will: that is recorded.
    case cancelled
    /// The job runs and was asked to stop. What it comes to is recorded when it has: cancelled if it heeds the request.
    case stopping
    /// The job had ended before.
    case alreadyEnded
}

extension JobStore {
    /// Asks that a job not run, or that it stop.
    ///
    /// `cancelled` is true though claims are made in memory: see `AttemptLoop` for the handshake.
    /// - Throws: ``StoreError/noSuchJob(_:)``; other errors when the request could not be recorded, and then it was not made.
    @discardableResult
    public func cancel(_ id: JobID) async throws(StoreError) -> CancelResult {
        let open = open
        let number = id.rawValue
        let tables = open.tables
        let wasFound = try await open.perform {
            (transaction, state) throws(StorageError) -> Bool? in
            if try Lookup.active(number, transaction, tables) == nil,
                try Lookup.outcomes(number, transaction, tables) != nil
            {
                return false
            }
            guard let block = try Lookup.block(number, transaction, tables),
                try !Self.isStaged(number, transaction, tables)
            else { return nil }
            var active =
                try Lookup.active(number, transaction, tables)
                ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            active.isCancelRequested = true
            try active.put(&transaction, tables.active, number)
            state.controlMoved = true
            return true
        }
        guard let wasFound else { throw .noSuchJob(id) }
        if !wasFound { return .alreadyEnded }
        // Control has moved, behind the commit: from here on whoever starts a job sees the request first.
        petiole_fence()
        if let slot = open.slots.slot(of: number), slot.job == number,
            open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == slot.runner
        {
            return .stopping
        }
        // Not in a slot: it will not start any more. Whoever meets it first records it; mostly that is us.
        return try await open.perform { (transaction, state) throws(StorageError) in
            guard let active = try Lookup.active(number, transaction, tables) else {
                guard let block = try Lookup.outcomes(number, transaction, tables) else {
                    return .cancelled
                }
                return try formatted { () throws(FormatError) in
                    try block.entry(number).state == .cancelled ? .cancelled : .alreadyEnded
                }
            }
            if active.state == .ready, active.position != 0 {
                try transaction.delete(
                    tables.lanes,
                    RecordKey.lane(active.queue, active.priority, active.position))
            }
            try OutcomeRecording.cancel(number, active, tables, &transaction, &state)
            return .cancelled
        }
    }
}
