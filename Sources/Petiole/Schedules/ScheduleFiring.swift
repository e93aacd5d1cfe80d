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
// One behind. With ``Schedule/Overlap/queueOne`` a time may wait for the last job's end: `behind`. That job's options name its
// schedule, and whoever records its end, in that transaction, makes the schedule due at once.
//
// Bounds. A transaction fires 1,000 schedules, 8 MiB of jobs, 20,000 times that are looked at, whatever comes first; what is left is
// found due behind it. A queue that has no room is left alone for some seconds.

/// What came of a firing, for the log.
struct FiringReport: Sendable {
    enum Event: Sendable {
        case fired(planned: Int64, UInt64)
        case missed(Int)
        /// So many planned times were left out since this job has not ended.
        case skipped(Int, job: UInt64)
        case waits(planned: Int64, job: UInt64)
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
    private let scope: Scope
    private let completion: (ScheduleFiring, StorageError?) -> Void
    // The writer's, while it commits.
    private(set) var reports: [FiringReport] = []
    /// Queues that had no room for a job, and why.
    private(set) var full: [UInt32: EnqueueError] = [:]
    /// Whether more is due than one transaction fires.
    private(set) var hasMore = false
    private var bytes = 0
    private var looks = 0

    /// What of all that is due is fired.
    struct Scope {
        /// 1,000: some milliseconds of work.
        var count = 1_000
        /// So many due ones of each queue are passed over.
        var skipping = 0
        /// That the jobs of those have, about.
        var bytes = 0
    }
    static let byteLimit = 8 << 20
    static let lookLimit = 20_000
    /// 60 s: when the times of a schedule could not be told, it is looked at again so much later.
    static let stallWait: Int64 = 60_000_000

    init(
        _ queues: [OwnedQueue], _ scope: Scope,
        ownRules: [String: @Sendable (WallTime) -> WallTime?],
        completion: @escaping (ScheduleFiring, StorageError?) -> Void
    ) {
        self.queues = queues
        self.ownRules = ownRules
        self.scope = scope
        self.completion = completion
    }

    override var byteCount: Int { scope.bytes }
    override func finished(_ error: StorageError?) { completion(self, error) }

    // MARK: In the transaction

    /// What was enqueued for a schedule, whose ids are not given yet.
    private struct Fired {
        var name: String
        var queue: UInt32
        var overlap: Schedule.Overlap
        var before: ScheduleState
        var after: ScheduleState
        var due: Int64?
        /// The last one's id is the schedule's last job.
        var jobs: [(planned: Int64, EnqueueSubmission)] = []
        /// How many times were left out.
        var skipped = 0
        /// The job because of which, or because of which one waits; 0: the last one of ``jobs``.
        var unfinished: UInt64 = 0
    }

    override func apply(
        _ commit: LogCommit, _ lanes: inout LogCommit.AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        (reports, full, hasMore, bytes, looks) = ([], [:], false, 0, 0)
        var fired: [Fired] = []
        for queue in queues {
            let row = try state.queue(named: queue.name, &transaction)
            // Fencing: somebody else owns the queue now, and fires there.
            guard row.epoch == queue.epoch else {
                queue.noteFenced()
                continue
            }
            if row.isPaused { continue }
            try fire(queue.id, commit, &fired, &lanes, &transaction, &state)
        }
        // With their ids the rows can be written.
        try commit.accept(&lanes, &transaction, &state)
        for one in fired { try settle(one, &transaction, &state) }
    }

    private func fire(
        _ queue: UInt32, _ commit: LogCommit, _ fired: inout [Fired],
        _ lanes: inout LogCommit.AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let now = state.now
        var due: [(time: Int64, name: String)] = []
        var passed = 0
        try ScheduleRows.forEachDue(in: queue, transaction, state.tables) { time, name in
            guard time <= now else { return false }
            passed += 1
            if passed <= scope.skipping { return true }
            hasMore = hasMore || due.count + fired.count >= scope.count
            if !hasMore { due.append((time, name)) }
            return !hasMore
        }
        for (time, name) in due {
            if bytes >= Self.byteLimit || looks >= Self.lookLimit {
                hasMore = true
                return
            }
            if let one = try fire(
                name, due: time, queue, commit, &lanes, &transaction, &state)
            {
                fired.append(one)
            }
            if full[queue] != nil { return }
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
            name: name, queue: queue, overlap: definition.overlap, before: before, after: before)
        let plan: SchedulePlan
        do throws(ScheduleError) {
            plan = try definition.plan(named: name, anchor: before.anchor, own: ownRules[name])
        } catch {
            reports.append(FiringReport(schedule: name, event: .stalled(error)))
            one.due = state.now + Self.stallWait
            return one
        }
        let told = reports.count
        let runs = decide(&one.after, plan, definition.missed, name, now: state.now)
        var unfinished: UInt64?
        if definition.overlap != .allow {
            unfinished = try Self.unfinished(before, transaction, tables)
        }
        for planned in runs {
            if definition.overlap != .allow, unfinished != nil || !one.jobs.isEmpty {
                putOff(planned, unfinished ?? 0, &one)
                continue
            }
            // The rest is fired behind this transaction.
            if bytes >= Self.byteLimit, !one.jobs.isEmpty {
                hasMore = true
                one.after.next = planned
                break
            }
            let job = definition.job.submission(
                PlannedRun(schedule: name, time: planned), at: state.time)
            try commit.take(job, &lanes, &transaction, &state)
            if let refusal = job.refusal {
                full[queue] = Self.error(refusal, job)
                // It is as if it had not come yet, nor what comes behind it.
                if one.jobs.isEmpty {
                    reports.removeLast(reports.count - told)
                    return nil
                }
                one.after.next = planned
                break
            }
            bytes += job.byteCount
            one.jobs.append((planned, job))
        }
        one.due = one.after.next.map { plan.firing(of: $0) }
        return one
    }

    /// Takes what has come off a schedule.
    private func decide(
        _ schedule: inout ScheduleState, _ plan: SchedulePlan, _ missed: MissedRuns, _ name: String,
        now: Int64
    ) -> [Int64] {
        var runs: [Int64] = []
        looks += 1
        if schedule.behind != 0 { runs.append(schedule.behind) }
        if schedule.plansAfter != 0 {
            schedule.next = plan.first(after: max(schedule.plansAfter, schedule.lastPlanned))
            schedule.plansAfter = 0
        }
        let known = max(schedule.lastPlanned, schedule.behind)
        if let next = schedule.next, next <= known { schedule.next = plan.first(after: known) }
        schedule.behind = 0
        guard let next = schedule.next, plan.firing(of: next) <= now else { return runs }
        let due = DueTimes(plan, from: next, now: now, missed)
        looks += due.looks
        schedule.next = due.next
        schedule.missed += UInt64(due.missed)
        if due.missed > 0 {
            reports.append(FiringReport(schedule: name, event: .missed(due.missed)))
        }
        return runs + due.runs
    }

    private func putOff(_ planned: Int64, _ unfinished: UInt64, _ one: inout Fired) {
        if one.overlap == .queueOne, one.after.behind == 0 {
            one.after.behind = planned
            one.unfinished = unfinished
        } else {
            one.after.skipped += 1
            one.skipped += 1
            one.unfinished = unfinished
        }
    }

    /// Writes how far a schedule is.
    private func settle(
        _ one: Fired, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var (after, due) = (one.after, one.due)
        for (planned, job) in one.jobs {
            var id = job.first
            if case .existing(let holder)? = job.conflict { id = holder }
            after.lastPlanned = planned
            after.lastJob = id
            after.lastFired = state.now
            after.fired += 1
            reports.append(FiringReport(schedule: one.name, event: .fired(planned: planned, id)))
        }
        let unfinished = one.unfinished == 0 ? after.lastJob : one.unfinished
        // One that has waited before is nothing new.
        if after.behind != 0, after.behind != one.before.behind {
            reports.append(
                FiringReport(
                    schedule: one.name, event: .waits(planned: after.behind, job: unfinished)))
        }
        if one.skipped > 0 {
            reports.append(
                FiringReport(schedule: one.name, event: .skipped(one.skipped, job: unfinished)))
        }
        if after.behind != 0 {
            // What it waits for may have been dropped for another job of this very transaction.
            if try Self.unfinished(after, transaction, state.tables) == nil {
                due = state.now
            } else if due == nil {
                // The end of one that cannot be read tells nobody.
                due = state.now + Self.stallWait
            }
        } else if due == nil {
            reports.append(FiringReport(schedule: one.name, event: .ended))
        }
        try ScheduleRows.put(
            after, one.name, due: due, before: one.before, in: one.queue, &transaction, &state)
    }

    /// Nil: there is no such schedule, or its rows are damaged; then that is reported. Others go on.
    private func read(
        _ name: String, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> (ScheduleDefinition, ScheduleState)? {
        do throws(StorageError) {
            return try ScheduleRows.both(name, transaction, tables)
        } catch {
            guard case .damaged(let reason) = error else { throw error }
            reports.append(FiringReport(schedule: name, event: .damaged(reason)))
            return nil
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

    // MARK: The last job

    /// The last job of a schedule, if it has not ended. One that cannot be read has.
    static func unfinished(
        _ schedule: ScheduleState, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        let job = schedule.lastJob
        if job == 0 { return nil }
        do throws(StorageError) {
            if try Lookup.hasEnded(job, transaction, tables) { return nil }
            // It may have been purged, or pruned since.
            return try Lookup.block(job, transaction, tables) == nil ? nil : job
        } catch {
            guard case .damaged = error else { throw error }
            return nil
        }
    }

    /// A job of a schedule has ended: what waits for that is due now. In the transaction that records it, which goes on when the
    /// schedule cannot be read.
    static func jobEnded(
        _ job: UInt64, of name: String, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        do throws(StorageError) {
            guard let before = try ScheduleRows.state(name, transaction, state.tables),
                before.behind != 0, before.lastJob == job, !before.isPaused, !before.isDisabled,
                let definition = try ScheduleRows.definition(name, transaction, state.tables)
            else { return }
            let queue = try state.queue(named: definition.job.queueName, &transaction).id
            try ScheduleRows.put(
                before, name, due: state.now, before: before, in: queue, &transaction, &state)
        } catch {
            guard case .damaged = error else { throw error }
        }
    }
}
