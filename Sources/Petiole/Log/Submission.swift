import PetioleStorage
import Synchronization

/// Which queue and which name jobs are for: made once and used again, so that an enqueue hashes no text. The numbers
/// are filled in by the writer when the commit that made them is durable.
final class JobTarget: Sendable {
    let queueName: String
    let jobName: String
    let priority: UInt8
    /// 0 while unknown.
    private let numbers = Atomic<UInt64>(0)

    init(queueName: String, jobName: String, priority: UInt8) {
        self.queueName = queueName
        self.jobName = jobName
        self.priority = priority
    }

    var resolved: (queue: UInt32, name: UInt32)? {
        // Acquiring: pairs with the releasing store in `resolve`. Both numbers are in the one word.
        let word = numbers.load(ordering: .acquiring)
        return word == 0
            ? nil : (UInt32(truncatingIfNeeded: word >> 32), UInt32(truncatingIfNeeded: word))
    }

    func resolve(queue: UInt32, name: UInt32) {
        // Releasing: pairs with the acquiring load above; the commit that made the numbers is over.
        numbers.store(UInt64(queue) << 32 | UInt64(name), ordering: .releasing)
    }
}

/// What is handed to the log's writer. Each belongs to its maker until it is submitted, then to the writer.
class Submission {
    /// Bytes that it will write, about; what a commit gathers is bounded by their sum.
    var byteCount: Int { 0 }
    /// Whether somebody waits for it, so that it is committed at once.
    var isUrgent: Bool { true }
    /// Whether it brings something that a full store may refuse.
    var needsRoom: Bool { false }
    /// The next one of a list; the writer's.
    final var following: Submission?

    /// Told on the writer's thread when the commit is durable, or has failed.
    func finished(_ error: StorageError?) {}
}

/// Jobs of one lane and one name, accepted together: all of them or none.
final class EnqueueSubmission: Submission {
    let target: JobTarget
    /// When its jobs are due and when they expire.
    let options: JobOptions
    var block: JobBlockBuilder
    /// More blocks of the same jobs.
    var more: [EnqueueSubmission] = []
    /// Counted against the bound of buffered enqueues.
    var isBuffered = false
    /// Set for a part of what is larger than one transaction: see ``Staging``.
    var stage: UInt32?
    let onConflict: Uniqueness.Conflict
    /// Its one job stands for a workflow, which is accepted with it.
    var workflow: WorkflowDraft?
    /// The jobs that its jobs are to come after.
    var predecessors: [Predecessor] = []
    /// What follows from where those are; the writer's, while it commits.
    var hold = EnqueueHold.none
    /// The unique keys of many; `options` have none then.
    var keys: UniqueKeyList?
    /// What becomes of it when there is no room; nil: what the capacity says.
    let whenFull: CapacityRecord.WhenFull?
    /// The writer's, while it commits.
    var conflict: UniqueConflict?
    var refusal: AdmissionRefusal?
    var replaced: UInt64?
    /// Which of many are there already; the others are accepted.
    var existing: [ExistingJob] = []
    /// What room was looked for and not found, when it is less than ``load``.
    var wanted: JobLoad?
    var reply: (Result<Acceptance, StorageError>) -> Void
    /// The id of the first job; the writer's, while it commits.
    var first: UInt64 = 0

    init(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder,
        reply: @escaping (Result<Acceptance, StorageError>) -> Void = { _ in }
    ) {
        target = request.target
        options = request.jobOptions
        onConflict = request.onConflict
        whenFull = request.whenFull
        predecessors = request.predecessors
        self.block = block
        self.reply = reply
    }

    /// One that was made in another process.
    init(
        to target: JobTarget, options: JobOptions, onConflict: Uniqueness.Conflict,
        whenFull: CapacityRecord.WhenFull?, _ block: consuming JobBlockBuilder
    ) {
        self.target = target
        self.options = options
        self.onConflict = onConflict
        self.whenFull = whenFull
        self.block = block
        reply = { _ in }
    }

    override var byteCount: Int {
        let size = more.reduce(
            block.size + (keys?.rowBytes ?? 0) + (workflow?.byteCount ?? 0)
        ) { $0 + $1.block.size }
        let brings = options.hasTimes || options.unique != nil || !predecessors.isEmpty
        return brings ? size + rowBytes * Int(jobCount) : size
    }
    /// What a job's options write besides its block: rows, their keys, and what the pages need for both.
    private var rowBytes: Int {
        (options.due.isNone ? 0 : 200) + (options.expiry.isNone ? 0 : 100)
            + (options.unique.map { 150 + $0.key.count } ?? 0)
            + (predecessors.isEmpty ? 0 : 200 + 120 * predecessors.count)
    }
    override var needsRoom: Bool { true }
    var jobCount: UInt64 { more.reduce(UInt64(block.count)) { $0 + UInt64($1.block.count) } }
    /// What it adds to what its queue holds.
    var load: JobLoad {
        JobLoad(
            jobs: jobCount,
            bytes: UInt64(more.reduce(block.contentSize) { $0 + $1.block.contentSize }))
    }

    override func finished(_ error: StorageError?) {
        if let error { return reply(.failure(error)) }
        reply(
            .success(
                Acceptance(
                    first: first, conflict: conflict, existing: existing, replaced: replaced,
                    refusal: refusal, hold: hold)))
    }

    /// Adds the jobs of a filled block to those before: a payload that is too large for the block that it came into lies alone.
    /// - Returns: their bytes.
    static func add(
        _ filled: consuming JobBlockBuilder, _ request: EnqueueRequest,
        to head: inout EnqueueSubmission?
    ) -> Int {
        var block = filled
        var alone = JobBlockBuilder(jobs: 1)
        if block.count > 1, block.size > StoreFormat.blockLimit { block.moveLast(to: &alone) }
        var bytes = 0
        for part in [EnqueueSubmission(request, block), EnqueueSubmission(request, alone)]
        where part.block.count > 0 {
            bytes += part.block.size
            if let head { head.more.append(part) } else { head = part }
        }
        return bytes
    }

    /// The same jobs without some of them.
    func without(_ existing: [ExistingJob]) -> EnqueueSubmission {
        var left = existing[...]
        var index = 0
        var kept: EnqueueSubmission?
        for part in [self] + more {
            var block = JobBlockBuilder(jobs: Int(part.block.count), bytes: part.block.size)
            for place in 0..<Int(part.block.count) {
                if left.first?.index == index {
                    left.removeFirst()
                } else {
                    block.append(place, of: part.block)
                }
                index += 1
            }
            let part = EnqueueSubmission(
                to: target, options: options, onConflict: onConflict, whenFull: whenFull, block)
            part.predecessors = predecessors
            part.hold = hold
            if let kept { kept.more.append(part) } else { kept = part }
        }
        return kept!
    }
}

/// What became of an enqueue.
struct Acceptance: Sendable {
    /// The id of the first job.
    var first: UInt64
    /// Nothing was accepted, since another job holds the unique key.
    var conflict: UniqueConflict?
    /// Which of many are there already.
    var existing: [ExistingJob] = []
    /// The job that was replaced; whoever enqueued sees to it that it ends.
    var replaced: UInt64?
    /// Nothing was accepted, since there is no room.
    var refusal: AdmissionRefusal?
    /// What follows from the predecessors that were named; ``EnqueueHold/missing(_:)``: nothing was accepted.
    var hold = EnqueueHold.none
}

/// What attempts of a queue came to: outcomes of consecutive ids, or another attempt later, and what is settled thereby.
final class OutcomeSubmission: Submission {
    let queue: OwnedQueue
    var outcomes: OutcomeBlockBuilder
    /// Unique keys of jobs that have ended.
    var releases: [UniqueRelease] = []
    /// Results that are not kept as long as the store keeps what has ended.
    var retentions: [ResultRetention] = []
    /// Which of the jobs that have ended are parts of workflows.
    var members: [EndedMembers] = []
    /// Which of the lane's ranges are done with: what ended, and what turned out to have ended or moved before.
    var settled: [SettledRange] = []
    var transitions: [Transition] = []
    /// Jobs that cannot start now, and wait at a gate.
    var moves: [GateMove] = []
    /// The ordered key that the job with the effects holds.
    var orderedKey: GateKey?
    /// The writer's, while it commits: a job that keeps its ordered key runs again.
    var isPostponed = false
    /// Told on the writer's thread, with that.
    var whenDurable: (@Sendable (Bool) -> Void)?
    /// What the one job whose outcome this is wants done with it.
    var effects: AttemptEffects?
    /// That job's priority.
    var priority: UInt8 = 0
    /// What follows instead when there is no room for the effects: a `StorageError`, or an ``EnqueueError``.
    var whenRefused: ((any Error) -> Void)?
    /// Which of the jobs that it enqueues found no room; the writer's, while it commits.
    var refusal: EnqueueError?
    /// More is to be dropped for the jobs that it enqueues than this transaction did: nothing of it was recorded, and it is to be
    /// submitted again behind what drops for them. The writer's, while it commits.
    var roomFirst: RoomFirst?
    /// Told with that, on the writer's thread.
    var whenRoomFirst: ((OutcomeSubmission, RoomFirst) -> Void)?
    /// Told of each job that one of those has replaced.
    var whenReplaced: ((UInt64) -> Void)?
    /// Bytes of the jobs that ended, as `JobLoad` counts them; nil: they are looked up.
    var contentBytes: UInt64?
    private let urgent: Bool

    init(
        _ queue: OwnedQueue, _ outcomes: consuming OutcomeBlockBuilder, isUrgent: Bool = false
    ) {
        self.queue = queue
        self.outcomes = outcomes
        urgent = isUrgent
    }

    override var byteCount: Int {
        outcomes.size + retentions.count * 100 + transitions.count * 1_024 + 64
            + (effects?.byteCount ?? 0)
    }
    override var needsRoom: Bool { effects != nil }
    // What it has written another may have to read before it can go on.
    override var isUrgent: Bool {
        urgent || orderedKey != nil || effects?.reads.isEmpty == false
            || members.contains { $0.member.isAlone }
    }

    /// Whether ids are all that have ended here.
    func isAllOf(_ ids: [(first: UInt64, end: UInt64)]) -> Bool {
        ids.count == 1 && ids[0].first == outcomes.first && ids[0].end == outcomes.end
    }

    override func finished(_ error: StorageError?) {
        if let roomFirst, let whenRoomFirst { return whenRoomFirst(self, roomFirst) }
        if let whenRefused, let refusal { return whenRefused(refusal) }
        guard let error else {
            if let whenReplaced, let effects {
                for enqueue in effects.spawned {
                    if let replaced = enqueue.replaced { whenReplaced(replaced) }
                }
            }
            whenDurable?(isPostponed)
            return
        }
        if let whenRefused, error == .mapFull || error == .diskFull { return whenRefused(error) }
        queue.failed(error)
    }
}

/// For what room is to be made before effects are tried again.
struct RoomFirst: Sendable {
    let load: JobLoad
    let target: JobTarget
    let whenFull: CapacityRecord.WhenFull?
}

/// Ids of one ticket's range that need no further claim.
struct SettledRange: Equatable, Sendable {
    var tag: UInt32
    var first: UInt64
    var count: UInt64
}

/// An attempt after which the job goes on elsewhere.
struct Transition: Sendable {
    enum Step: Sendable {
        /// Another attempt, not before `due`.
        case retry(due: StoreTime, AttemptHistory.Item)
        /// The same attempt again, not before `due`: it could not go on, and it is nobody's fault.
        case postpone(due: StoreTime)
        /// Its name is unknown here: it waits for a runner that knows it, until `deadline`.
        case park(name: UInt32, deadline: StoreTime)
        /// Its job type is paused: it waits until that goes on.
        case pause(name: UInt32)
        /// Met before it started, and to be cancelled: recorded unless whoever asked was quicker.
        case cancel
        /// Met before it started, and its expiry has passed: likewise.
        case expire
        /// Met in the row at that position before it started, and marked: see ``PendingChanges``.
        case change(position: UInt64)
        /// Met before it started, and dropped to make room for others: likewise.
        case drop
    }
    var id: UInt64
    var priority: UInt8
    var step: Step
    /// The ordered key that it keeps until then.
    var orderedKey: GateKey?

    /// For how long a job is postponed that found no place to wait in, in microseconds: about a second, so that those that
    /// were refused together do not come back together.
    static func postponement() -> Int64 { .random(in: 500_000...1_500_000) }
}

/// Anything else that is done in a transaction. It may be run again, alone, when the commit with others fails.
final class OperationSubmission: Submission {
    let apply: (inout WriteTransaction, inout CommitState) throws(StorageError) -> Void
    private let completion: (StorageError?) -> Void
    /// Bytes that it brings and that a full store may refuse.
    private let brings: Int

    init(
        bringing bytes: Int = 0,
        _ apply: @escaping (inout WriteTransaction, inout CommitState) throws(StorageError) -> Void,
        completion: @escaping (StorageError?) -> Void
    ) {
        brings = bytes
        self.apply = apply
        self.completion = completion
    }

    override var byteCount: Int { 4_096 + brings }
    override var needsRoom: Bool { brings > 0 }
    override func finished(_ error: StorageError?) { completion(error) }
}
