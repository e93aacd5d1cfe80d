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
        // Marked: the job's queue, and the attempts that it had then.
        enum Request {
            case marked(queue: UInt32, attempts: Int)
            case done(CancelResult)
            /// Jobs of a workflow still run.
            case closing(token: UInt64)
        }
        let found = try await open.perform {
            (transaction, state) throws(StorageError) -> Request? in
            if try Lookup.active(number, transaction, tables) == nil,
                try Lookup.outcomes(number, transaction, tables) != nil
            {
                return .done(.alreadyEnded)
            }
            guard let block = try Lookup.block(number, transaction, tables),
                try !Self.isStaged(number, transaction, tables)
            else { return nil }
            var active = try UnstartedJobs.standing(
                Lookup.active(number, transaction, tables), number, block, transaction, tables)
            if active.state != .ready {
                // Nobody can have claimed it, though a slot may still name the attempt before.
                try OutcomeRecording.cancel(number, active, tables, &transaction, &state)
                // A workflow ends when nothing of it runs any more.
                let hasEnded = try Lookup.outcomes(number, transaction, tables) != nil
                if hasEnded { return .done(.cancelled) }
                return active.parking == .workflow
                    ? .closing(token: UInt64(active.position)) : .done(.stopping)
            }
            active.isCancelRequested = true
            try active.put(&transaction, tables.active, number)
            state.controlMoved = true
            return .marked(queue: active.queue, attempts: Int(active.attempts))
        }
        let (queue, attempts): (UInt32, Int)
        switch found {
        case nil: throw .noSuchJob(id)
        case .done(let result): return result
        case .closing(let token):
            // Control has moved, behind the commit: as below.
            petiole_fence()
            try await open.perform { (transaction, state) throws(StorageError) in
                try WorkflowSteps.askThoseThatBegan(token, &transaction, &state)
            }
            return .stopping
        case .marked(let ofQueue, let had): (queue, attempts) = (ofQueue, had)
        }
        CrashPoint.pass(.cancelRequested)
        // Control has moved, behind the commit: from here on whoever starts a job sees the request first.
        petiole_fence()
        if let slot = open.slots.slot(of: number), slot.job == number,
            open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == slot.runner
        {
            return .stopping
        }
        // Not in a slot: it will not start, or it has ended since we asked, which may not be recorded yet.
        guard await open.hasRecordedWhatEnded(of: queue) else { return .stopping }
        // It will not start any more. Whoever meets it first records it; mostly that is us.
        return try await open.perform { (transaction, state) throws(StorageError) in
            guard let active = try Lookup.active(number, transaction, tables) else {
                guard let block = try Lookup.outcomes(number, transaction, tables) else {
                    return .cancelled
                }
                return try formatted { () throws(FormatError) in
                    let outcome = try block.entry(number)
                    guard outcome.state == .cancelled else { return .alreadyEnded }
                    // An attempt that was under way has heeded the request already.
                    return outcome.attempt > attempts ? .stopping : .cancelled
                }
            }
            // Recorded by who met it, and requeued since.
            guard active.isCancelRequested else { return .cancelled }
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

extension OpenStore {
    /// Waits until the owner of a queue, if there is one, has recorded all attempts that have left their slots by now.
    ///
    /// It moves control once more: an answer to the request may have been given while the attempt was still in its slot, and
    /// says nothing of its end.
    /// - Returns: false when it did not within ten seconds.
    func hasRecordedWhatEnded(of queue: UInt32) async -> Bool {
        guard locks.holder(of: StoreFormat.queueLock(queue)) != nil else { return true }
        return await withUnsafeContinuation { continuation in
            OSThread.start(named: "petiole-cancel") { [self] in
                continuation.resume(returning: waitForWhatEnded(of: queue))
            }
        }
    }

    /// The same for a thread that waits.
    func waitForWhatEnded(of queue: UInt32) -> Bool {
        guard let owner = locks.holder(of: StoreFormat.queueLock(queue)) else { return true }
        signals.control.ring()
        let control = signals.control.value
        let end = petiole_steady_time() + 10_000_000_000
        for seat in 0..<RunningSlots.seatCount
        where locks.holder(of: StoreFormat.seatLock(seat)) == owner {
            let answer = slots.answer(seat: seat)
            while !answer.isGiven(to: control) {
                let now = petiole_steady_time()
                // Given up or dead: what it had not recorded never will be.
                if locks.holder(of: StoreFormat.queueLock(queue)) != owner { break }
                if now >= end { return false }
                // A tenth of a second: the kernel tells nobody that a lock was dropped.
                answer.wait(for: control, atMost: min(end - now, 100_000_000))
            }
        }
        return true
    }
}
