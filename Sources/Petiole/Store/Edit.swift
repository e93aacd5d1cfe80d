import PetioleStorage

/// What an edit of a job came to.
public enum EditResult: Sendable, Hashable {
    /// The job has its new due time and priority.
    case edited
    /// It runs, or started before it could be edited: nothing was changed.
    case started
    /// It had ended, or was to be cancelled: nothing was changed.
    case ended
    /// Its expiry is not later than the new due time, so that it would never start: nothing was changed.
    case expiresBefore
    /// It waits for others of its workflow, and is due when they have ended: nothing was changed.
    case awaiting
    /// It may run: the process that runs its queue did not answer, since it is suspended perhaps. Nothing was changed.
    case unanswered(pid: Int)
}

/// What an edit of many jobs came to.
public struct EditCounts: Sendable, Hashable {
    /// Have their new due time and priority.
    public var edited = 0
    /// Run, or started before they could be edited.
    public var started = 0
    /// Would never start: see ``EditResult/expiresBefore``.
    public var expiring = 0
    /// Wait for others of their workflow.
    public var awaiting = 0
    /// May run: see ``EditResult/unanswered(pid:)``.
    public var unanswered = 0
}

extension JobStore {
    /// Gives a job that has not started another due time, another priority, or both.
    ///
    /// A job that waits for another attempt has it at the new due time, one that was ready joins the end of its new lane; with
    /// a due time that has passed a job is ready at once. The due time of its enqueue does not count any more, its expiry does.
    /// - Parameters:
    ///   - due: nil: as it is.
    ///   - priority: 0…9, 0 first; nil: as it is.
    /// - Throws: ``StoreError/noSuchJob(_:)``; ``StoreError/invalidOption(_:)`` for what is out of its bounds; other errors when
    ///   it could not be recorded, and then nothing has changed.
    /// - Complexity: O(log *n*) and a commit; for a ready job two, and an answer of its queue's owner.
    @discardableResult
    public func edit(
        _ id: JobID, due: JobTime? = nil, priority: Int? = nil
    ) async throws(StoreError) -> EditResult {
        let edit = try JobEditing(due: due, priority: priority, now: open.clock.reading)
        var results: [EditResult?] = []
        try await apply(edit, [id.rawValue]) { results.append($0) }
        guard let result = results.first ?? nil else { throw .noSuchJob(id) }
        return result
    }

    /// The same for all jobs that a filter lets pass and that have not ended, 10,000 a transaction.
    /// - Throws: ``StoreError``; what was edited before stays so.
    /// - Complexity: that of the listing, and O(log *n*) a job. Their ids are kept in memory.
    @discardableResult
    public func edit(
        matching filter: JobFilter, due: JobTime? = nil, priority: Int? = nil
    ) async throws(StoreError) -> EditCounts {
        let edit = try JobEditing(due: due, priority: priority, now: open.clock.reading)
        let (found, damage) = try unfinishedJobs(filter)
        var counts = EditCounts()
        for start in stride(from: 0, to: found.count, by: PendingChanges.limit) {
            let some = Array(found[start..<min(found.count, start + PendingChanges.limit)])
            try await apply(edit, some) { result in
                switch result {
                case .edited: counts.edited += 1
                case .started: counts.started += 1
                case .expiresBefore: counts.expiring += 1
                case .awaiting: counts.awaiting += 1
                case .unanswered: counts.unanswered += 1
                case .ended, nil: break
                }
            }
        }
        if let damage { throw damage }
        return counts
    }

    /// The ids of jobs that a filter lets pass and that have not ended; and why some could not be read.
    func unfinishedJobs(
        _ filter: JobFilter
    ) throws(StoreError) -> (ids: [UInt64], damage: StoreError?) {
        var found: [UInt64] = []
        do throws(StoreError) {
            try forEachJob(filter) { summary in
                if !summary.state.isEnded { found.append(summary.id.rawValue) }
                return true
            }
        } catch {
            // Those that can be read are dealt with before this is said.
            guard case .damaged = error else { throw error }
            return (found, error)
        }
        return (found, nil)
    }

    /// - Parameter tell: what became of each, in no order; nil: there is no such job.
    private func apply(
        _ edit: JobEditing, _ ids: [UInt64], _ tell: (EditResult?) -> Void
    ) async throws(StoreError) {
        let tables = open.tables
        let (results, marked) = try await open.perform {
            (transaction, state) throws(StorageError) -> ([EditResult?], [MarkedJob]) in
            var results: [EditResult?] = []
            var marked: [MarkedJob] = []
            for id in ids {
                switch try edit.begin(id, tables, &transaction, &state) {
                case .decided(let result): results.append(result)
                case .marked(let job): marked.append(job)
                }
            }
            return (results, marked)
        }
        for result in results { tell(result) }
        for (job, result) in zip(marked, try await open.settle(marked)) {
            switch result {
            case .done: tell(.edited)
            case .started: tell(.started)
            case .unanswered: tell(.unanswered(pid: open.owner(of: job)))
            case .ended: tell(.ended)
            }
        }
    }
}

/// What an edit does, in the writer's transaction.
struct JobEditing: Sendable {
    /// 0: as it is.
    let due: StoreTime
    let priority: UInt8?

    init(due: JobTime?, priority: Int?, now: ClockReading) throws(StoreError) {
        guard due != nil || priority != nil else {
            throw .invalidOption("neither a due time nor a priority is given")
        }
        if let problem = EnqueueOptions(priority: priority ?? 4, due: due).problem {
            throw .invalidOption(problem)
        }
        self.priority = priority.map { UInt8($0) }
        switch due {
        case nil: self.due = 0
        case .at(let instant): self.due = StoreTime(wall: instant.microseconds)
        case .after(let wait):
            self.due = StoreTime(now, after: wait == .zero ? 0 : RetryPolicy.microseconds(wait))
        }
    }

    enum Beginning {
        /// Nil: there is no such job.
        case decided(EditResult?)
        case marked(MarkedJob)
    }

    /// Edits a job that waits or is parked, marks one that is ready.
    func begin(
        _ id: UInt64, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Beginning {
        let found = try Lookup.active(id, transaction, tables)
        if found == nil, try Lookup.outcomes(id, transaction, tables) != nil {
            return .decided(.ended)
        }
        guard let block = try Lookup.block(id, transaction, tables),
            try !JobStore.isStaged(id, transaction, tables)
        else { return .decided(nil) }
        let active = try UnstartedJobs.standing(found, id, block, transaction, tables)
        if active.state == .parked, active.parking == .workflow { return .decided(.awaiting) }
        if active.isCancelRequested || active.isExpired || active.pending == .purge {
            return .decided(.ended)
        }
        // One that runs at most once: its start is on the disk.
        if active.startEpoch != 0 { return .decided(.started) }
        // What cannot be read has no expiry: whoever runs it finds the damage.
        let expiry = (try? block.entry(id).options().expiry) ?? 0
        if !due.isNone, !expiry.isNone, active.generation == 0,
            expiry.left(state.time) <= due.left(state.time)
        {
            return .decided(.expiresBefore)
        }
        var priority = priority ?? active.priority
        var due = due
        if active.state == .ready {
            // Of another change that is not carried out yet stays what this one does not change.
            var isHold = false
            switch active.pending {
            case .edit(let other, let otherDue)?, .hold(let other, let otherDue)?:
                if self.priority == nil { priority = other }
                if due.isNone { due = otherDue }
                if case .hold? = active.pending { isHold = true }
            case .purge?, nil: break
            }
            let change =
                isHold
                ? PendingChange.hold(priority: priority, due: due)
                : .edit(priority: priority, due: due)
            return .marked(
                try PendingChanges.mark(id, change, active, tables, &transaction, &state))
        }
        state.note(EventCode.edited, id)
        let isHeld = active.state == .parked && active.parking == .held
        if due.isNone || isHeld {
            var active = active
            active.priority = priority
            if !due.isNone {
                // From when it is let go on.
                active.due = due
                active.isRescheduled = true
            }
            try active.put(&transaction, tables.active, id)
        } else {
            try Self.place(
                id, active, priority: priority, due: due, tables, &transaction, &state)
        }
        return .decided(.edited)
    }

    /// Takes a job out of where it waits, if it does, and puts it at the end of a lane, or lets it wait until it is due. Nobody
    /// may be running it; of a ready one the row in its lane is gone.
    /// - Parameter due: 0: that of its enqueue, if that is yet to come.
    static func place(
        _ id: UInt64, _ found: ActiveRecord, priority: UInt8, due: StoreTime, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var active = found
        try OutcomeRecording.removeRows(id, found, tables, &transaction)
        active.isSuspect = false
        active.pending = nil
        // Recorded behind the mark of who put it here, and so it has not begun: see `StartMarks`.
        active.startEpoch = 0
        active.priority = priority
        active.due = due
        if !due.isNone {
            active.isRescheduled = true
        } else if !active.isRescheduled, active.generation == 0 {
            let block = try Lookup.block(id, transaction, tables)
            // What cannot be read is due: whoever runs it finds the damage.
            active.due = block.flatMap { try? $0.entry(id).options().due } ?? 0
        }
        let waits = !active.due.hasPassed(state.time)
        if waits {
            active.state = .waiting
            try state.setTimer(&transaction, queue: active.queue, due: active.due, id: id)
        } else {
            active.state = .ready
            active.due = 0
            active.position = try state.makeReady(
                &transaction, queue: active.queue, priority: priority, first: id, count: 1)
        }
        try active.put(&transaction, tables.active, id)
        try state.count(transaction, active.queue) { counters in
            if found.state == .waiting { counters.waiting &-= 1 }
            if found.state == .parked { counters.parked &-= 1 }
            if waits { counters.waiting += 1 }
        }
    }
}
