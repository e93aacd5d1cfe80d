import PetioleDispatch

/// What an attempt knows of itself.
public struct JobContext: Sendable {
    /// The job's id.
    public internal(set) var id: JobID
    /// Which attempt this is, from 1.
    public internal(set) var attempt: Int
    private let place: AttemptPlace
    /// The job's tags and headers, nil when it has none.
    public var metadata: JobMetadata? { told?.metadata }
    /// The planned time for which a schedule has enqueued this job, however late it runs: of the day's export the day. Nil for any
    /// other job.
    public var plannedTime: WallTime? { told?.planned.map { WallTime(microseconds: $0.time) } }
    /// The name of that schedule.
    public var schedule: String? { told?.planned?.schedule }
    var told: ToldBox?
    /// The workflow that the job is a part of.
    var member: WorkflowMember?
    /// The job at the beginning of its lineage; 0: itself.
    var root: UInt64
    /// The job's priority, 0…9, 0 first.
    public var priority: Int { Int(lanePriority) }
    var lanePriority: UInt8
    /// Of the job; 0: as its type says.
    var mostAttempts: UInt8 = 0
    var effects: EffectsBox { place.effects }
    var slot: AttemptSlot { place.slot }
    var resourceUse: ResourceUse { place.resourceUse }
    var resourcePlace: Int { place.resourcePlace }
    var runner: RunnerCore { place.runner }

    init(
        id: JobID, attempt: Int, root: UInt64 = 0, metadata: JobMetadata? = nil,
        planned: PlannedRun? = nil, priority: UInt8 = 4, place: AttemptPlace
    ) {
        lanePriority = priority
        self.id = id
        self.attempt = attempt
        self.root = root
        told = ToldBox(metadata, planned)
        self.place = place
    }

    /// Whether somebody asked that this job stop, or the runner is stopping now. Cheap enough to ask in a loop. A job that
    /// heeds it throws `CancellationError`.
    public var isCancelled: Bool {
        slot.stopping == id.rawValue || runner.stopsNow
    }

    /// Throws `CancellationError` if ``isCancelled``.
    public func checkCancellation() throws {
        if isCancelled { throw CancellationError() }
    }

    /// The store that this job lies in.
    public var store: JobStore { runner.jobStore }

    /// Waits for another job's result on this thread, and meanwhile gives up this job's place in the pool, so that jobs that
    /// wait for jobs come to an end even on one thread. For `Job` and `RawJob`; an `AsyncJob` awaits the handle.
    /// - Throws: what ``JobHandle/result`` throws; ``RunnerError/tooManyWaiting`` when 64 jobs wait like this already.
    public func result<Output>(of job: JobHandle<Output>) throws -> Output {
        runner.flushOutcomes(of: Worker.current)
        let isOver = SharedFlag()
        let wait = HandleWait()
        runner.stoppables.add(id.rawValue, startedAt: slot.startedAt) {
            isOver.set()
            wait.wake()
        }
        defer { runner.stoppables.remove(id.rawValue) }
        // Asked to stop before it could be found.
        if isCancelled { throw CancellationError() }
        runner.stepper?.waits(for: job.id, blockingThread: true)
        defer { runner.stepper?.comesBack(from: job.id, blockingThread: true) }
        guard
            let result = runner.withoutPlace(
                id.rawValue, slot, { job.waitForResult(wait, isOver: { isOver.isSet }) })
        else {
            throw RunnerError.tooManyWaiting(limit: WorkerPool.defaultSpareLimit)
        }
        return try result.get()
    }
}

/// One word in a context, so that those of jobs that were told nothing of it are cheap to hand on.
final class ToldBox: Sendable {
    let metadata: JobMetadata?
    let planned: PlannedRun?

    /// Nil when there is nothing in it.
    init?(_ metadata: JobMetadata?, _ planned: PlannedRun?) {
        if metadata == nil, planned == nil { return nil }
        self.metadata = metadata
        self.planned = planned
    }
}

/// Where attempts are made: on a worker's thread, or in a place for asynchronous ones. Contexts refer to it rather than to
/// the runner: a reference count that all workers change costs each of them more than a small job does.
final class AttemptPlace: Sendable {
    let slot: AttemptSlot
    let runner: RunnerCore
    let effects = EffectsBox()
    let resourceUse = ResourceUse()
    /// The number of the slot whose resources are used here.
    let resourcePlace: Int

    /// - Parameter owner: whose resources are used, where that is another slot.
    init(_ slot: AttemptSlot, _ runner: RunnerCore, resourcesOf owner: AttemptSlot? = nil) {
        self.slot = slot
        self.runner = runner
        resourcePlace = runner.store.slots.index(of: owner ?? slot)
    }
}
