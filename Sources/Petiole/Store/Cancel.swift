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
        let found = try await open.perform {
            (transaction, state) throws(StorageError) -> Found in
            if try Lookup.active(number, transaction, tables) == nil,
                try Lookup.outcomes(number, transaction, tables) != nil
            {
                return .ended
            }
            guard let block = try Lookup.block(number, transaction, tables),
                try !Self.isStaged(number, transaction, tables)
            else { return .missing }
            var active =
                try Lookup.active(number, transaction, tables)
                ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            active.isCancelRequested = true
            try active.put(&transaction, tables.active, number)
            state.controlMoved = true
            return .unfinished(queue: active.queue)
        }
        let queue: UInt32
        switch found {
        case .missing: throw .noSuchJob(id)
        case .ended: return .alreadyEnded
        case .unfinished(let itsQueue): queue = itsQueue
        }
        CrashPoint.pass(.cancelRequested)
        // Control has moved, behind the commit: from here on whoever starts a job sees the request first.
        petiole_fence()
        if let slot = open.slots.slot(of: number), slot.job == number,
            open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == slot.runner
        {
            return .stopping
        }
        // Not in a slot: it will not start any more, but it may have ended, and that be on its way to the log.
        await open.waitForAnswer(ofOwner: queue)
        // Whoever meets it first records it; mostly that is us.
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

    private enum Found {
        case missing, ended
        case unfinished(queue: UInt32)
    }
}

extension OpenStore {
    /// Waits until the owner of a queue, if there is one, has recorded what it had gathered when control moved last.
    fileprivate func waitForAnswer(ofOwner queue: UInt32) async {
        guard let owner = locks.holder(of: StoreFormat.queueLock(queue)) else { return }
        let control = signals.control.value
        await withUnsafeContinuation { continuation in
            OSThread.start(named: "petiole-cancel") { [self] in
                slots.waitForAnswer(of: owner, control: control, locks)
                continuation.resume()
            }
        }
    }
}
