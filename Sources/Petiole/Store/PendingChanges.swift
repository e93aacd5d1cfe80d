import CPetiole
import PetioleStorage

// A change against a claim
//
// A job that waits or is parked is changed in one transaction: nobody can claim it. One that is ready may lie claimed in a
// worker's memory, or run. It is to be changed when it has not started, and only then: the handshake of a cancel (see
// `AttemptLoop`), with one difference. A cancel stays a cancel when the job runs; a change of a job that runs is taken back.
//
//     worker                                    who asks (any process)
//     reads control: 7
//     opens a view
//     …                                         commits the change as a mark in the job's row of `active`
//                                               makes control 8, fences
//     publishes the job in its slot, fences     reads the slots
//     reads control                             asks the queue's owner to record what has ended
//                                               in a transaction: was the job in a slot? then it takes the mark back;
//                                               else it does what the mark says
//
// The slots are read first: a job that left its slot before is recorded by the owner's answer. One that leaves it behind the
// answer may not be recorded when the transaction looks; in a slot it would not be seen then either.
//
// The worker who finds control at 8 sees the mark, does not start the job and asks the writer to do what the mark says. Should
// the mark be gone by then (who asked saw the slot of just that moment), the job is put at the end of its lane as it is: the
// worker has passed it over already. Who asks and dies leaves the mark, and whoever meets the job does what it says. A job that
// ran and goes on to another attempt has lost its mark. One that was put off without an attempt (a snooze, a pause, an unknown
// name) by a worker who had not seen the mark has not, and what it says is done there.
//
// Two who ask for changes of one job. A purge stays: who comes to edit behind it is told that the job ends. An edit over an edit
// has what it does not change from the other one, and so either of the two may carry it out. Who finds the mark of another one
// does not take it back: the other may have been told by the slots what he has not seen.
//
// What must not happen: the job is put elsewhere while it runs. A worker's request carries the position of the row in which it
// met the job, and does nothing when the job's place is another by then: somebody else may run it from there.

/// A ready job with a mark.
struct MarkedJob: Sendable, Equatable {
    var id: UInt64
    var queue: UInt32
    /// Those that had ended when it was marked.
    var attempts: UInt16
    var generation: UInt32
    /// What its mark says; nil: it is to be cancelled.
    var change: PendingChange?
}

/// What became of a change.
enum ChangeResult: Sendable {
    case done
    /// It runs, or has run meanwhile and goes on.
    case started
    /// The owner of its queue did not answer, a process that is suspended perhaps: it may run.
    case unanswered
    case ended
}

/// Marks, and what they say, in the writer's transaction.
enum PendingChanges {
    /// So many jobs are marked or changed in one transaction: some tens of milliseconds.
    static let limit = 10_000

    /// Marks a job that is ready.
    static func mark(
        _ id: UInt64, _ change: PendingChange, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> MarkedJob {
        var active = active
        active.pending = change
        try active.put(&transaction, tables.active, id)
        state.controlMoved = true
        return MarkedJob(
            id: id, queue: active.queue, attempts: active.attempts, generation: active.generation,
            change: change)
    }

    /// Does what the mark of a job says, or takes it back, when everything that had ended is recorded.
    /// - Parameters:
    ///   - isCertain: false: the queue's owner did not answer, so the job may have run.
    ///   - running: the jobs that were in a slot behind the commit of the mark, and before that answer.
    static func settle(
        _ job: MarkedJob, isCertain: Bool, running: Set<UInt64>, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> ChangeResult {
        guard var active = try Lookup.active(job.id, transaction, tables) else { return .ended }
        guard let pending = active.pending else {
            // Done by who met it; or it ran, and goes on; or another one has taken it back.
            let isSame =
                active.attempts == job.attempts && active.generation == job.generation
            return isSame && job.change?.isDone(in: active, state.time) == true ? .done : .started
        }
        let hasStarted = !isCertain || running.contains(job.id)
        let started = running.contains(job.id) ? ChangeResult.started : .unanswered
        guard pending == job.change else {
            // Made behind ours.
            if pending == .purge { return .ended }
            if hasStarted { return started }
            return try carryOut(job.id, active, tables, &transaction, &state) ? .done : .ended
        }
        if hasStarted {
            active.pending = nil
            try active.put(&transaction, tables.active, job.id)
            return started
        }
        return try carryOut(job.id, active, tables, &transaction, &state) ? .done : .ended
    }

    /// A worker has met a job that is marked, and has passed it over.
    /// - Parameter position: of the row in which it lay.
    static func met(
        _ id: UInt64, position: UInt64, priority: UInt8, queue: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard try Lookup.outcomes(id, transaction, tables) == nil else { return }
        let active =
            try Lookup.active(id, transaction, tables)
            ?? ActiveRecord(state: .ready, queue: queue, priority: priority)
        guard active.state == .ready, active.position == 0 || active.position == position else {
            return
        }
        // Purged since, it is no job any more.
        guard try Lookup.block(id, transaction, tables) != nil else { return }
        try carryOut(id, active, tables, &transaction, &state)
    }

    /// Takes a job that does not run out of its place, and does what its mark says; without one it is put at the end of its
    /// lane.
    /// - Returns: false when it was to be cancelled or has expired, and so has ended.
    @discardableResult
    static func carryOut(
        _ id: UInt64, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        if active.state == .ready, active.position != 0 {
            try transaction.delete(
                tables.lanes, RecordKey.lane(active.queue, active.priority, active.position))
        }
        if active.isCancelRequested || active.isExpired {
            try OutcomeRecording.record(
                id, active.isCancelRequested ? .cancelled : .expired, nil, active, tables,
                &transaction, &state)
            return false
        }
        switch active.pending {
        case .purge:
            try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
        case .edit(let priority, let due):
            state.note(EventCode.edited, id)
            try JobEditing.place(
                id, active, priority: priority, due: due, tables, &transaction, &state)
        case .hold(let priority, let due):
            try HeldJobs.hold(
                id, active, priority: priority, due: due, tables, &transaction, &state)
        case nil:
            try JobEditing.place(
                id, active, priority: active.priority, due: 0, tables, &transaction, &state)
        }
        return true
    }
}

extension OpenStore {
    /// The process that owns the queue of a job; 0: none does any more.
    func owner(of job: MarkedJob) -> Int {
        locks.holder(of: StoreFormat.queueLock(job.queue)).map { Int($0) } ?? 0
    }

    /// Does what marks say that were committed just now, of jobs that have not started; takes the others back.
    /// - Returns: what became of each, in their order.
    func settle(_ marked: [MarkedJob]) async throws(StoreError) -> [ChangeResult] {
        if marked.isEmpty { return [] }
        // Control has moved, behind the commit: from here on whoever starts a job sees its mark first.
        petiole_fence()
        // Before the answer, in which what has left its slot by now is recorded.
        let running = slots.jobs()
        CrashPoint.pass(.changeMarked)
        var certain: Set<UInt32> = []
        for queue in Set(marked.map { $0.queue }) where await hasRecordedWhatEnded(of: queue) {
            certain.insert(queue)
        }
        let answered = certain
        let tables = tables
        return try await perform { (transaction, state) throws(StorageError) in
            var results: [ChangeResult] = []
            for job in marked {
                results.append(
                    try PendingChanges.settle(
                        job, isCertain: answered.contains(job.queue), running: running, tables,
                        &transaction, &state))
            }
            return results
        }
    }
}
