import PetioleStorage

/// Enqueues the job of one schedule, beside its planned times.
final class RunNow: FiringSubmission {
    enum Answer: Sendable {
        case enqueued(UInt64)
        /// The last job has not ended, and the schedule does not let two overlap.
        case unfinished(UInt64)
        case noRoom(EnqueueError)
        case missing
    }
    private let name: String
    private let size: Int
    private var answer = Answer.missing
    private let completion: (Result<Answer, StorageError>) -> Void

    /// - Parameter bytes: that its job has, about.
    init(_ name: String, bytes: Int, completion: @escaping (Result<Answer, StorageError>) -> Void) {
        self.name = name
        size = bytes
        self.completion = completion
    }

    override var byteCount: Int { size }

    override func finished(_ error: StorageError?) {
        completion(error.map { .failure($0) } ?? .success(answer))
    }

    override func apply(
        _ commit: LogCommit, _ lanes: inout LogCommit.AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        answer = .missing
        guard let (definition, before) = try ScheduleRows.both(name, transaction, state.tables)
        else { return }
        let unfinished = try ScheduleFiring.unfinished(before, transaction, state.tables)
        if definition.overlap != .allow, let unfinished {
            answer = .unfinished(unfinished)
            return
        }
        // Of several in one commit, or in one microsecond, each has a time of its own.
        let isTaken = before.lastFired >= state.now && before.lastFired - state.now < 1_000
        let time = isTaken ? before.lastFired + 1 : state.now
        let run = PlannedRun(schedule: name, time: time, isExtra: true)
        let job = definition.job.submission(run, at: state.time)
        try commit.take(job, &lanes, &transaction, &state)
        if let refusal = job.refusal {
            answer = .noRoom(ScheduleFiring.error(refusal, job))
            return
        }
        try commit.accept(&lanes, &transaction, &state)
        var after = before
        after.lastJob = job.first
        if case .existing(let holder)? = job.conflict { after.lastJob = holder }
        after.lastFired = time
        after.fired += 1
        answer = .enqueued(after.lastJob)
        let queue = try state.queue(named: definition.job.queueName, &transaction).id
        try ScheduleRows.put(
            after, name, due: before.due == 0 ? nil : before.due, before: before, in: queue,
            &transaction, &state)
    }
}
