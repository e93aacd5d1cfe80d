import PetioleStorage

/// Writes what is larger than one transaction, part by part, and publishes it: see ``Staging`` for the protocol.
struct StageWriter {
    private let store: JobStore
    private let request: EnqueueRequest
    private let stage: UInt32
    /// Its row in `stages`.
    var number: UInt32 { stage }
    private let lease: StageLease

    /// Holds the stage's lock byte until it is published or given up; what is given up is swept.
    private final class StageLease: Sendable {
        let locks: ByteLocks
        let byte: Int64
        init(locks: ByteLocks, byte: Int64) {
            self.locks = locks
            self.byte = byte
        }
        deinit { locks.unlock(byte) }
    }

    /// - Parameter pick: proposes a number; asked again as long as one is in use.
    init(
        _ store: JobStore, _ request: EnqueueRequest,
        pick: () -> UInt32 = { UInt32.random(in: 1...UInt32.max) }
    ) async throws(EnqueueError) {
        self.store = store
        self.request = request
        let open = store.open
        let target = request.target
        let refused = { (error: StoreError) in
            EnqueueError.refused(job: request.name, queue: request.queue, error)
        }
        while true {
            let stage = pick()
            let byte = StoreFormat.stageLock(UInt64(stage))
            do throws(StorageError) {
                guard try open.locks.tryLock(byte) == .taken else { continue }
            } catch { throw refused(open.storeError(error)) }
            let lease = StageLease(locks: open.locks, byte: byte)
            do throws(StoreError) {
                let hasBegun = try await open.perform {
                    (transaction, state) throws(StorageError) in
                    try Staging.begin(stage, target, &transaction, &state)
                }
                guard hasBegun else { continue }
            } catch { throw refused(error) }
            self.stage = stage
            self.lease = lease
            return
        }
    }

    /// The same, for who does something else meanwhile.
    func added(_ part: Handover<EnqueueSubmission>) async -> Result<UInt64, EnqueueError> {
        do throws(EnqueueError) { return .success(try await add(part.value)) } catch {
            return .failure(error)
        }
    }

    /// Writes a part, durably and unseen.
    /// - Returns: the id of its first job; those of the others follow.
    @discardableResult
    func add(_ part: EnqueueSubmission) async throws(EnqueueError) -> UInt64 {
        CrashPoint.pass(.stagePart)
        part.stage = stage
        let submission = Handover(part)
        let writer = store.open.writer
        let result: Result<Acceptance, StorageError> = await withUnsafeContinuation {
            continuation in
            submission.value.reply = { continuation.resume(returning: $0) }
            writer.submit(submission.value)
        }
        switch result {
        case .success(let acceptance): return acceptance.first
        case .failure(let error):
            await giveUp()
            throw .refused(
                job: request.name, queue: request.queue, store.open.storeError(error))
        }
    }

    /// Makes all parts ready, in one transaction, when there is room.
    /// - Parameter load: what they are in all.
    func publish(_ load: JobLoad) async throws(EnqueueError) -> [(first: UInt64, count: UInt64)] {
        let stage = stage
        let whenFull = request.whenFull
        CrashPoint.pass(.stagePublish)
        var turn = RoomTurn(store.open, request, load, fileBytes: 0)
        var step = turn.first()
        while true {
            switch step {
            case .submit:
                let publication: Staging.Publication
                do throws(StoreError) {
                    publication = try await store.open.perform {
                        (transaction, state) throws(StorageError) in
                        try Staging.publish(stage, whenFull: whenFull, &transaction, &state)
                    }
                } catch {
                    step = .failed(
                        .refused(job: request.name, queue: request.queue, error))
                    continue
                }
                switch publication {
                case .published(let ranges):
                    turn.end()
                    return withExtendedLifetime(lease) {
                        ranges.map { ($0.lowerBound, UInt64($0.count)) }
                    }
                case .refused(let refusal): step = turn.next(after: refusal)
                }
            case .wait: step = turn.next(after: await store.waitForRoom(turn))
            case .failed(let error):
                turn.end()
                await giveUp()
                throw error
            // What is staged is settled above.
            case .settled: return []
            }
        }
    }

    /// Deletes what was written. When that fails too, whoever opens the store next sweeps it.
    func giveUp() async {
        let stage = stage
        var isSwept = false
        while !isSwept {
            do throws(StoreError) {
                isSwept = try await store.open.perform {
                    (transaction, state) throws(StorageError) in
                    try Staging.sweep(stage, &transaction, &state)
                }
            } catch {
                return
            }
        }
    }
}
