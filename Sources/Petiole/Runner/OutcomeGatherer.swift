import Synchronization

/// Gathers what a worker's attempts come to, as long as ids follow each other, and hands it to the writer: at the end of a
/// ticket, or earlier when somebody idle does it for a slow neighbour.
final class OutcomeGatherer: @unchecked Sendable {
    // What guards it: `gathered` is touched only while `lock` is held (`Mutex<Gathered>` would do, but for what its `inout
    // sending` asks of values that are not `Sendable`); the ticket's fields on the worker's thread alone.
    private struct Gathered: ~Copyable {
        var outcomes = OutcomeBlockBuilder(capacity: 0)
        var queue: OwnedQueue?
        var tag: UInt32 = 0
        var settled: [SettledRange] = []
        var transitions: [Transition] = []
        var releases: [UniqueRelease] = []
        var retentions: [ResultRetention] = []
        var members: [EndedMembers] = []
        /// Of the jobs whose outcomes these are; below zero when not all are known.
        var contentBytes = 0
        var isEmpty: Bool { outcomes.count == 0 && settled.isEmpty && transitions.isEmpty }
    }

    private let writer: LogWriter
    private let lock = Mutex(())
    @exclusivity(unchecked) private var gathered = Gathered()
    @exclusivity(unchecked) private var queue: OwnedQueue?
    @exclusivity(unchecked) private var tag: UInt32 = 0
    @exclusivity(unchecked) private var priority: UInt8 = 0

    init(_ writer: LogWriter) { self.writer = writer }

    /// What follows is of this ticket.
    func begin(queue: OwnedQueue, tag: UInt32, priority: UInt8) {
        self.queue = queue
        self.tag = tag
        self.priority = priority
    }

    /// In place of a job's bytes when they could not be read: no sum of those in a block comes near it.
    static let unknownBytes = -(1 << 50)

    /// - Parameter contentBytes: the job's, as `JobLoad` counts them.
    func record(
        _ id: UInt64, _ outcome: OutcomeEntry, history: [UInt8], result: UnsafeRawBufferPointer,
        contentBytes: Int
    ) {
        lock.withLock { _ in add(id, outcome, history, result, contentBytes) }
    }

    /// The same for a job that leaves something besides.
    /// - Parameters:
    ///   - release: what frees the job's unique key.
    ///   - member: the workflow that it is a part of.
    func record(
        _ id: UInt64, _ outcome: OutcomeEntry, history: [UInt8], result: UnsafeRawBufferPointer,
        release: UniqueRelease?, retention: ResultRetention?, member: WorkflowMember?,
        contentBytes: Int
    ) {
        lock.withLock { _ in
            add(id, outcome, history, result, contentBytes)
            if let release { gathered.releases.append(release) }
            if let retention { gathered.retentions.append(retention) }
            if let member { gathered.members.add(member, id) }
        }
    }

    @inline(__always) private func add(
        _ id: UInt64, _ outcome: OutcomeEntry, _ history: [UInt8],
        _ result: UnsafeRawBufferPointer, _ contentBytes: Int
    ) {
        let size = result.count + history.count + 4
        if gathered.tag != tag
            || !gathered.outcomes.accepts(id, startedAt: outcome.startedAt, byteCount: size)
        {
            submit()
        }
        join()
        gathered.outcomes.append(id, outcome, history: history, result: result)
        gathered.contentBytes += contentBytes
    }

    /// Nothing is to be recorded of a job: it ended before, or is elsewhere.
    func settle(_ id: UInt64) {
        lock.withLock { _ in
            join()
            gathered.settled.append(SettledRange(tag: tag, first: id, count: 1))
        }
    }

    /// - Parameter orderedKey: the key that the job keeps until it goes on.
    func transition(_ id: UInt64, _ step: Transition.Step, orderedKey: GateKey? = nil) {
        lock.withLock { _ in
            join()
            gathered.transitions.append(
                Transition(id: id, priority: priority, step: step, orderedKey: orderedKey))
            gathered.settled.append(SettledRange(tag: tag, first: id, count: 1))
        }
    }

    /// Hands over what was gathered. Whoever is idle may call this for a neighbour that is slow.
    func flush() { lock.withLock { _ in submit() } }

    /// What is gathered is of one queue, outcomes of one range.
    private func join() {
        // A tag is of one queue.
        if gathered.tag == tag, gathered.queue != nil { return }
        if gathered.queue !== queue { submit() }
        if gathered.outcomes.count == 0 {
            gathered.queue = queue
            gathered.tag = tag
        }
    }

    private func submit() {
        guard !gathered.isEmpty, let queue = gathered.queue else { return }
        var outcomes = OutcomeBlockBuilder(capacity: 64)
        swap(&outcomes, &gathered.outcomes)
        var settled = gathered.settled
        if outcomes.count > 0 {
            settled.append(
                SettledRange(
                    tag: gathered.tag, first: outcomes.first, count: UInt64(outcomes.count)))
        }
        let submission = OutcomeSubmission(queue, outcomes)
        submission.settled = settled
        submission.transitions = gathered.transitions
        submission.releases = gathered.releases
        if gathered.contentBytes >= 0 {
            submission.contentBytes = UInt64(gathered.contentBytes)
        }
        gathered.contentBytes = 0
        gathered.releases = []
        submission.retentions = gathered.retentions
        submission.members = gathered.members
        gathered.members = []
        gathered.retentions = []
        gathered.settled = []
        gathered.transitions = []
        writer.submit(submission)
    }
}
