import PetioleStorage

// Firing
//
// Enqueueing the jobs for what has come and moving the schedule on are one transaction, of whoever runs the queue of its jobs.
//
// | before the transaction | in it |
// |---|---|
// | the runner died | it has not happened: the row among the due ones is there for the next one |
// | another process has taken the queue over | the queue's epoch is another one: nothing is done |
// | the queue was paused | nothing is done; when it goes on, what has come by then is missed, or a little late |
// | somebody paused, changed or removed the schedule | what the rows say now counts |
//
// A planned time is decided about once: the state's `next` goes past it, and only forward, whatever the clock does. The unique key
// of its job says it again.
//
// One behind. With ``Schedule/Overlap/queueOne`` a time may wait for the last job's end: `behind`. That job's options say so, and
// whoever records its end, in that transaction, makes the schedule due at once.

/// What came of a firing, for the log.
struct FiringReport: Sendable {
    enum Event: Sendable {
        case fired(planned: Int64, UInt64)
        case missed(Int)
        /// A planned time was left out, or put behind, since this job has not ended.
        case skipped(planned: Int64, job: UInt64)
        case waits(planned: Int64, job: UInt64)
        /// There is no room for its job.
        case noRoom(EnqueueError)
        /// Its times cannot be told here.
        case stalled(ScheduleError)
        /// Its rows cannot be read; it comes no more.
        case damaged(String)
        case ended
    }
    var schedule: String
    var event: Event
}

/// Enqueues jobs of schedules, in the writer's transaction.
class FiringSubmission: Submission {
    func apply(
        _ commit: LogCommit, _ lanes: inout LogCommit.AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {}
    override var needsRoom: Bool { true }
}

/// Enqueues the jobs for what has come of the schedules of some queues.
final class ScheduleFiring: FiringSubmission {
    private let queues: [OwnedQueue]
    private let ownRules: [String: @Sendable (WallTime) -> WallTime?]
    private let size: Int
    /// The writer's, while it commits.
    private(set) var reports: [FiringReport] = []
    private let completion: (ScheduleFiring, StorageError?) -> Void

    /// 1,000 schedules a transaction: some milliseconds of work.
    static let limit = 1_000
    /// 8 MiB of jobs.
    static let byteLimit = 8 << 20
    /// 5 s: when a job has found no room, or the times of a schedule could not be told, it is looked at again so much later.
    static let retryWait: Int64 = 5_000_000
    static let stallWait: Int64 = 60_000_000

    /// - Parameter bytes: that its jobs have, about.
    init(
        _ queues: [OwnedQueue], bytes: Int,
        ownRules: [String: @Sendable (WallTime) -> WallTime?],
        completion: @escaping (ScheduleFiring, StorageError?) -> Void
    ) {
        self.queues = queues
        self.ownRules = ownRules
        size = bytes
        self.completion = completion
    }

    override var byteCount: Int { size }
    override func finished(_ error: StorageError?) { completion(self, error) }

    // MARK: In the transaction

    /// What was enqueued for a schedule, whose ids are not given yet.
    private struct Fired {
        var name: String
        var queue: UInt32
        var before: ScheduleState
        var after: ScheduleState
        var due: Int64?
        /// The last one's id is the schedule's last job.
        var jobs: [(planned: Int64, EnqueueSubmission)]
    }

    override func apply(
        _ commit: LogCommit, _ lanes: inout LogCommit.AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        reports = []
        var fired: [Fired] = []
        var bytes = 0
        for queue in queues {
            let row = try state.queue(named: queue.name, &transaction)
            guard row.epoch == queue.epoch, !row.isPaused else { continue }
            let now = state.now
            // What is more than one transaction fires is found again behind it.
            var due: [(time: Int64, name: String)] = []
            try ScheduleRows.forEachDue(in: queue.id, transaction, state.tables) { time, name in
                guard time <= now, due.count + fired.count < Self.limit else { return false }
                due.append((time, name))
                return true
            }
            for (time, name) in due where bytes < Self.byteLimit {
                guard
                    let one = try fire(
                        name, due: time, queue.id, commit, &lanes, &transaction, &state)
                else { continue }
                bytes += one.jobs.reduce(0) { $0 + $1.1.byteCount }
                fired.append(one)
            }
        }
        // With their ids the rows can be written.
        try commit.accept(&lanes, &transaction, &state)
        for var one in fired {
            for (planned, job) in one.jobs {
                var id = job.first
                if case .existing(let holder)? = job.conflict { id = holder }
                one.after.lastPlanned = planned
                one.after.lastJob = id
                one.after.lastFired = state.now
                reports.append(
                    FiringReport(schedule: one.name, event: .fired(planned: planned, id)))
            }
            try ScheduleRows.put(
                one.after, one.name, due: one.due, before: one.before, in: one.queue, &transaction,
                &state)
        }
    }

    private func fire(
        _ name: String, due: Int64, _ queue: UInt32, _ commit: LogCommit,
        _ lanes: inout LogCommit.AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Fired? {
        let tables = state.tables
        guard let (definition, before) = try read(name, transaction, tables),
            !before.isPaused, !before.isDisabled, before.due == due
        else {
            // A row that says nothing would be due for ever.
            try ScheduleRows.removeDue(due, name, in: queue, &transaction, tables)
            return nil
        }
        var one = Fired(
            name: name, queue: queue, before: before, after: before, due: nil, jobs: [])
        let plan: SchedulePlan
        do throws(ScheduleError) {
            plan = try definition.plan(named: name, anchor: before.anchor, own: ownRules[name])
        } catch {
            reports.append(FiringReport(schedule: name, event: .stalled(error)))
            one.due = state.now + Self.stallWait
            return one
        }
        var runs: [Int64] = []
        if before.behind != 0 { runs.append(before.behind) }
        one.after.behind = 0
        if before.plansAfter != 0 {
            one.after.next = plan.first(after: max(before.plansAfter, before.lastPlanned))
            one.after.plansAfter = 0
        }
        if let next = one.after.next, plan.firing(of: next) <= state.now {
            let due = DueTimes(plan, from: next, now: state.now, definition.missed)
            one.after.next = due.next
            one.after.missed += UInt64(due.missed)
            if due.missed > 0 {
                reports.append(FiringReport(schedule: name, event: .missed(due.missed)))
            }
            runs += due.runs
        }
        var unfinished: UInt64? = try Self.unfinished(before, transaction, tables)
        for planned in runs {
            if definition.overlap != .allow, unfinished != nil || !one.jobs.isEmpty {
                putOff(planned, definition.overlap, unfinished ?? 0, &one)
                continue
            }
            let run = PlannedRun(
                schedule: name, time: planned, tellsEnd: definition.overlap == .queueOne)
            let job = definition.job.submission(run, at: state.time)
            try commit.take(job, &lanes, &transaction, &state)
            if let refusal = job.refusal {
                reports.append(
                    FiringReport(schedule: name, event: .noRoom(Self.error(refusal, job))))
                // It is as if it had not come yet, nor what comes behind it.
                if planned == before.behind {
                    one.after = before
                } else {
                    one.after.next = planned
                }
                one.due = state.now + Self.retryWait
                return one
            }
            one.jobs.append((planned, job))
            one.after.fired += 1
            unfinished = nil
        }
        one.due = one.after.next.map { plan.firing(of: $0) }
        if one.due == nil, one.after.behind == 0 {
            reports.append(FiringReport(schedule: name, event: .ended))
        }
        return one
    }

    /// Nil: there is no such schedule, or its rows are damaged; then that is reported. Others go on.
    private func read(
        _ name: String, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> (ScheduleDefinition, ScheduleState)? {
        do throws(StorageError) {
            guard let definition = try ScheduleRows.definition(name, transaction, tables),
                let state = try ScheduleRows.state(name, transaction, tables)
            else { return nil }
            return (definition, state)
        } catch {
            guard case .damaged(let reason) = error else { throw error }
            reports.append(FiringReport(schedule: name, event: .damaged(reason)))
            return nil
        }
    }

    private func putOff(
        _ planned: Int64, _ overlap: Schedule.Overlap, _ unfinished: UInt64, _ one: inout Fired
    ) {
        if overlap == .queueOne, one.after.behind == 0 {
            one.after.behind = planned
            // One that waits already is nothing new.
            guard planned != one.before.behind else { return }
            reports.append(
                FiringReport(schedule: one.name, event: .waits(planned: planned, job: unfinished)))
        } else {
            one.after.skipped += 1
            reports.append(
                FiringReport(schedule: one.name, event: .skipped(planned: planned, job: unfinished))
            )
        }
    }

    static func error(
        _ refusal: AdmissionRefusal, _ job: EnqueueSubmission
    ) -> EnqueueError {
        switch refusal {
        case .refused(let reached), .wait(_, let reached), .again(let reached):
            job.noRoom(reached)
        }
    }

    /// The last job of a schedule, if it has not ended.
    static func unfinished(
        _ schedule: ScheduleState, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        let job = schedule.lastJob
        if job == 0 { return nil }
        if try Lookup.hasEnded(job, transaction, tables) { return nil }
        // It may have been purged, or pruned since.
        return try Lookup.block(job, transaction, tables) == nil ? nil : job
    }

    /// A job of a schedule has ended: what waits for that is due now. In the transaction that records it.
    static func jobEnded(
        _ job: UInt64, of name: String, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard let before = try ScheduleRows.state(name, transaction, state.tables),
            before.behind != 0, before.lastJob == job, !before.isPaused, !before.isDisabled,
            let definition = try ScheduleRows.definition(name, transaction, state.tables)
        else { return }
        let queue = try state.queue(named: definition.job.queueName, &transaction).id
        try ScheduleRows.put(
            before, name, due: state.now, before: before, in: queue, &transaction, &state)
    }
}
