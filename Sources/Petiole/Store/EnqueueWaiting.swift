import CPetiole
import PetioleStorage
import Synchronization

// What an enqueue does until it is accepted or refused: once mostly; again when it waited for room, or when more was to be
// dropped than one transaction does.

/// One enqueue on its way.
struct RoomTurn {
    private let open: OpenStore
    private let target: JobTarget
    private let whenFull: CapacityRecord.WhenFull?
    /// What there is to be room for.
    var load: JobLoad
    /// What the writer needs room for in the file.
    private let fileBytes: Int
    private(set) var ticket: UInt64?
    private var deadline: Int64?
    private var limit: UInt64 = 0
    private var isForFile = false
    private var reached: CapacityRecord.Reached?

    init(_ open: OpenStore, _ request: EnqueueRequest, _ load: JobLoad, fileBytes: Int) {
        self.open = open
        target = request.target
        whenFull = request.whenFull
        self.load = load
        self.fileBytes = fileBytes
    }

    /// What is to be done next.
    enum Step {
        case submit
        case wait
        case settled(Acceptance)
        case failed(EnqueueError)
    }

    /// Behind those of this process that wait for the same already.
    mutating func first() -> Step {
        guard let limit = open.room.limitBehindOthers(target, whenFull) else { return .submit }
        begin(limit)
        return .wait
    }

    mutating func next(after result: Result<Acceptance, StorageError>) -> Step {
        switch result {
        case .success(let acceptance):
            return acceptance.refusal.map { next(after: $0) } ?? .settled(acceptance)
        case .failure(.mapFull):
            // Pruning makes room in the file.
            if case .wait(let limit)? = whenFull, !open.writer.isTooLarge(fileBytes) {
                isForFile = true
                begin(limit)
                return .wait
            }
            return .failed(refused(open.storeError(.mapFull)))
        case .failure(let error): return .failed(refused(open.storeError(error)))
        }
    }

    mutating func next(after refusal: AdmissionRefusal) -> Step {
        switch refusal {
        case .again: return .submit
        case .refused(let reached): return .failed(.noRoom(target, reached))
        case .wait(let limit, let reached):
            self.reached = reached
            isForFile = false
            begin(limit)
            return .wait
        }
    }

    mutating func next(after wake: RoomWaiters.Wake) -> Step {
        switch wake {
        case .room: return .submit
        case .cancelled: return .failed(refused(.waitCancelled))
        case .tooLate:
            if isForFile { return .failed(refused(open.storeError(.mapFull))) }
            guard let reached else {
                // It has only waited behind others: its own transaction says what there is room for.
                return .submit
            }
            return .failed(.noRoom(target, reached, hasWaited: true))
        }
    }

    private func refused(_ error: StoreError) -> EnqueueError {
        .refused(job: target.jobName, queue: target.queueName, error)
    }

    /// The time for which it waits begins with the first wait.
    private mutating func begin(_ limit: UInt64) {
        if ticket != nil { return }
        ticket = open.room.takeTicket()
        self.limit = limit
        if limit > 0 {
            let (end, overflow) = petiole_steady_time().addingReportingOverflow(
                Int64(clamping: limit).multipliedReportingOverflow(by: 1_000).overflow
                    ? .max : Int64(clamping: limit) * 1_000)
            deadline = overflow ? nil : end
        }
    }

    func waiter(_ resume: @escaping @Sendable (RoomWaiters.Wake) -> Void) -> RoomWaiters.Waiter {
        RoomWaiters.Waiter(
            ticket: ticket!, target: target, load: load, whenFull: whenFull, limit: limit,
            deadline: deadline, fileBytes: isForFile ? fileBytes : nil, resume: resume)
    }

    /// It was accepted or refused for good.
    func end() { if let ticket { open.room.settle(ticket, open) } }
}

extension JobStore {
    /// Submits by `submit` until it is accepted or refused, and waits for room in between if that is to be done.
    func untilSettled(
        _ request: EnqueueRequest, _ submission: Handover<EnqueueSubmission>
    ) async throws(EnqueueError) -> Acceptance {
        var turn = RoomTurn(
            open, request, submission.value.load, fileBytes: submission.value.byteCount)
        var step = turn.first()
        while true {
            switch step {
            case .submit:
                step = turn.next(after: await submitted(submission))
                if let wanted = submission.value.wanted { turn.load = wanted }
            case .wait: step = turn.next(after: await waitForRoom(turn))
            case .settled(let acceptance):
                turn.end()
                return acceptance
            case .failed(let error):
                turn.end()
                throw error
            }
        }
    }

    private func submitted(
        _ submission: Handover<EnqueueSubmission>
    ) async -> Result<Acceptance, StorageError> {
        await withUnsafeContinuation { continuation in
            submission.value.reply = { continuation.resume(returning: $0) }
            open.writer.submit(submission.value)
        }
    }

    func waitForRoom(_ turn: RoomTurn) async -> RoomWaiters.Wake {
        let open = open
        let ticket = turn.ticket!
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                open.room.add(turn.waiter { continuation.resume(returning: $0) }, open)
            }
        } onCancel: {
            open.room.cancel(ticket)
        }
    }

    /// The same for a thread that waits.
    func untilSettledBlocking(
        _ request: EnqueueRequest, _ submission: EnqueueSubmission
    ) throws(EnqueueError) -> Acceptance {
        var turn = RoomTurn(open, request, submission.load, fileBytes: submission.byteCount)
        var step = turn.first()
        while true {
            switch step {
            case .submit:
                let promise = Promise<Result<Acceptance, StorageError>>()
                submission.reply = { promise.give($0) }
                open.writer.submitBlocking(submission)
                step = turn.next(after: promise.wait())
            case .wait:
                let promise = Promise<RoomWaiters.Wake>()
                open.room.add(turn.waiter { promise.give($0) }, open)
                step = turn.next(after: promise.wait())
            case .settled(let acceptance):
                turn.end()
                return acceptance
            case .failed(let error):
                turn.end()
                throw error
            }
        }
    }

    /// Refuses at once, before anything is written, what would not fit into an empty queue either.
    func refuseWhatNeverFits(
        _ request: EnqueueRequest, _ load: JobLoad
    ) throws(EnqueueError) {
        let open = open
        let target = request.target
        let reached: CapacityRecord.Reached?
        do throws(StoreError) {
            reached = try open.read { (reader) throws(StorageError) in
                let queue = try RoomWaiters.counters(target.queueName, reader, open.tables)
                let total = try QueueCounters.read(0, reader, open.tables)
                for (capacity, isOfStore) in [
                    (queue.capacity, false), (total?.capacity ?? CapacityRecord(), true),
                ] {
                    let admission = Admission.of(
                        load, held: JobLoad(), capacity: capacity, whenFull: .refuse)
                    if case .refuse(var reached) = admission {
                        reached.isOfStore = isOfStore
                        return reached
                    }
                }
                return nil
            }
        } catch {
            throw .refused(job: request.name, queue: request.queue, error)
        }
        if let reached { throw .noRoom(target, reached) }
    }
}
