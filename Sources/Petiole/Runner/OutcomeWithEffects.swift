import PetioleStorage
import Synchronization

/// Outcomes that found no room for their effects, and of which is being decided what follows: for who wants to know when all
/// that an attempt came to has been handed to the writer.
final class Refusals: Sendable {
    private let state = Mutex<(count: Int, waiters: [UnsafeContinuation<Void, Never>])>((0, []))

    /// On the writer's thread.
    func begin() { state.withLock { $0.count += 1 } }

    func end() {
        let waiters = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
            state.count -= 1
            guard state.count == 0 else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Waits until there are none. Returns whether there were some.
    func wait() async -> Bool {
        if state.withLock({ $0.count == 0 }) { return false }
        await withUnsafeContinuation { continuation in
            let isOver = state.withLock { state -> Bool in
                if state.count > 0 { state.waiters.append(continuation) }
                return state.count == 0
            }
            if isOver { continuation.resume() }
        }
        return true
    }
}

extension OutcomeSubmission {
    /// The success of one job, with its effects.
    convenience init(
        _ id: UInt64, _ outcome: OutcomeEntry, result: UnsafeRawBufferPointer, history: [UInt8],
        _ effects: AttemptEffects, queue: OwnedQueue, tag: UInt32
    ) {
        var block = OutcomeBlockBuilder()
        block.append(id, outcome, history: history, result: result)
        self.init(queue, block)
        settled = [SettledRange(tag: tag, first: id, count: 1)]
        self.effects = effects
    }

    /// When there is no room for the effects, the attempt has failed: what follows is decided by the policy and recorded
    /// instead, which needs none.
    func handleRefusal(
        _ outcome: OutcomeEntry, priority: UInt8, policy: RetryPolicy, maxAttempts: UInt8,
        acceptedAt: Int64, history: [UInt8], _ store: OpenStore
    ) {
        guard let effects else { return }
        self.priority = priority
        let id = effects.job
        let attempt = effects.attempt
        let queue = queue
        let settled = settled
        let releases = releases
        let members = members
        let orderedKey = orderedKey
        let whenDurable = whenDurable
        let contentBytes = contentBytes
        // The policy is the user's code, which may call the writer: on a thread of its own.
        whenRefused = { error in
            store.refusals.begin()
            OSThread.start(named: "petiole-refused") {
                refuse(error)
                store.refusals.end()
            }
        }
        whenReplaced = { store.replaced.add($0, store) }
        whenRoomFirst = { submission, room in
            // Handed over again before anybody takes it for the last.
            store.refusals.begin()
            let submission = Handover(submission)
            var refusal: AdmissionRefusal?
            store.writer.submit(
                OperationSubmission { (transaction, state) throws(StorageError) in
                    let (queue, _) = try state.numbers(of: room.target, &transaction)
                    refusal = try state.admit(
                        room.load, in: queue, priority: room.target.priority,
                        whenFull: room.whenFull, &transaction)
                } completion: { error in
                    defer { store.refusals.end() }
                    let submission = submission.value
                    submission.roomFirst = nil
                    if let error { return submission.finished(error) }
                    switch refusal {
                    case nil, .again: store.writer.submit(submission)
                    case .refused(let reached), .wait(_, let reached):
                        submission.refusal = .noRoom(room.target, reached)
                        submission.finished(nil)
                    }
                })
        }
        @Sendable func refuse(_ error: any Error) {
            let cause: any Error = (error as? StorageError).map { store.storeError($0) } ?? error
            let failed = AttemptFollowUp.Failed(
                cause, attempt: attempt,
                startedAt: outcome.startedAt, runMicroseconds: outcome.runMicroseconds,
                acceptedAt: acceptedAt)
            let submission: OutcomeSubmission
            switch AttemptFollowUp.of(
                failed, policy: policy, maxAttempts: maxAttempts, now: store.clock.reading)
            {
            case .transition(let step):
                submission = OutcomeSubmission(queue, OutcomeBlockBuilder())
                submission.transitions = [
                    Transition(id: id, priority: priority, step: step, orderedKey: orderedKey)
                ]
            case .end(let state, let failure):
                var writer = ByteWriter(capacity: 256)
                failure.write(to: &writer)
                var block = OutcomeBlockBuilder()
                var outcome = outcome
                outcome.state = state
                outcome.codec = 0
                writer.withBytes { block.append(id, outcome, history: history, result: $0) }
                submission = OutcomeSubmission(queue, block)
                submission.contentBytes = contentBytes
                submission.releases = releases
                submission.members = members
            }
            submission.settled = settled
            submission.whenDurable = whenDurable
            store.writer.submit(submission)
        }
    }
}

extension OutcomeBlockBuilder {
    mutating func append(
        _ id: UInt64, _ outcome: OutcomeEntry, history: [UInt8], result: UnsafeRawBufferPointer
    ) {
        if history.isEmpty { return append(id, outcome, result: result) }
        history.withUnsafeBytes { append(id, outcome, history: $0, result: result) }
    }
}
