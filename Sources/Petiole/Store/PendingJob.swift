import PetioleStorage
import Synchronization

/// A job that was handed over and may not be on the disk yet.
public struct PendingJob<Output: Codable & Sendable>: Sendable {
    let store: JobStore
    let pending: PendingAcceptance
    let codec: PayloadCodec

    /// The job's handle, when it is on the disk.
    /// - Throws: ``EnqueueError`` when it was refused; it was not accepted then.
    public var accepted: JobHandle<Output> {
        get async throws(EnqueueError) {
            switch await pending.value() {
            case .success(let acceptance):
                if case .refused(let id) = acceptance.conflict {
                    throw .notUnique(job: pending.name, existing: JobID(rawValue: id))
                }
                var id = acceptance.first
                if case .existing(let existing) = acceptance.conflict { id = existing }
                return JobHandle(store: store, id: JobID(rawValue: id), codec: codec)
            case .failure(let error):
                throw .refused(job: pending.name, queue: pending.queue, error)
            }
        }
    }
}

/// What becomes of one buffered enqueue, told to any number of waiters.
final class PendingAcceptance: Sendable {
    typealias Outcome = Result<Acceptance, StoreError>
    private enum State {
        case waiting([UnsafeContinuation<Outcome, Never>])
        case settled(Outcome)
    }
    private let state = Mutex(State.waiting([]))
    let name: String
    let queue: String

    init(_ request: EnqueueRequest) {
        name = request.name
        queue = request.queue
    }

    func settle(_ outcome: Outcome) {
        let waiters = state.withLock { state -> [UnsafeContinuation<Outcome, Never>] in
            defer { state = .settled(outcome) }
            if case .waiting(let waiters) = state { return waiters }
            return []
        }
        for waiter in waiters { waiter.resume(returning: outcome) }
    }

    func value() async -> Outcome {
        await withUnsafeContinuation { continuation in
            let outcome = state.withLock { state -> Outcome? in
                switch state {
                case .settled(let outcome): return outcome
                case .waiting(let waiters):
                    state = .waiting(waiters + [continuation])
                    return nil
                }
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
    }
}

/// Buffered enqueues that were refused since somebody last asked.
final class BufferedFailures: Sendable {
    private let state = Mutex<(first: StoreError, count: Int)?>(nil)

    func failed(_ error: StoreError) {
        state.withLock { $0 = ($0?.first ?? error, ($0?.count ?? 0) + 1) }
    }

    func take() -> (first: StoreError, count: Int)? {
        state.withLock { state in
            defer { state = nil }
            return state
        }
    }
}

/// Some of what was handed over since the last flush was refused.
public struct FlushError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Why the first was.
    public let first: StoreError
    /// How many jobs were.
    public let count: Int

    /// What happened, and the next step.
    public var description: String {
        "\(count) jobs handed over were not accepted; the first because \(first)"
    }
}
