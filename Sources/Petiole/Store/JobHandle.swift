import PetioleStorage
import Synchronization

/// A job, for whoever wants to know what becomes of it: an id and the type of its result.
public struct JobHandle<Output: Codable & Sendable>: Sendable {
    /// The store that the job lies in.
    public let store: JobStore
    /// The job's id.
    public let id: JobID
    let codec: PayloadCodec

    init(store: JobStore, id: JobID, codec: PayloadCodec) {
        self.store = store
        self.id = id
        self.codec = codec
    }

    /// Where the job is in its life. Cost: that of ``JobStore/state(of:)``.
    /// - Throws: ``StoreError/noSuchJob(_:)`` when it was pruned or never was.
    public var state: JobState {
        get throws(StoreError) { try store.state(of: id) }
    }

    /// Waits for the job's end, in this process or another, and gives its result.
    ///
    /// Inside an ``AsyncJob`` the waiting job gives up its place among those in flight.
    /// - Throws: ``JobError`` for every end but success, and at once when the job keeps no result; `CancellationError` when the
    ///   waiting task is cancelled; ``RunnerError/tooManyWaiting(limit:)`` inside an ``AsyncJob`` when so many wait already
    ///   (some 950 a runner) that nobody would be left to run what they wait for: a job that lets this error through is
    ///   postponed for about a second, and the attempt is not counted.
    public var result: Output {
        get async throws {
            if let end = store.endIfThere(id) {
                return try end.flatMap { Result { try read() } }.get()
            }
            let place = AsyncPlace.current
            try place?.leave(for: id)
            defer { place?.comeBack(from: id) }
            try await store.awaitEnd(of: id)
            return try read()
        }
    }

    /// The same for a thread that may block: not one of Swift's cooperative pool.
    /// - Parameters:
    ///   - wait: where the thread waits; who sets what `isOver` reads wakes it then.
    ///   - isOver: whether to give up, with a `CancellationError`.
    func waitForResult(
        _ wait: HandleWait = HandleWait(), isOver: () -> Bool = { false }
    ) -> Result<Output, any Error> {
        let done = wait.word
        let open = store.open
        if let end = store.endIfThere(id) { return end.flatMap { _ in Result { try read() } } }
        let token = open.writer.waiters.add(id.rawValue) {
            done.publish(1)
            done.wakeAll()
        }
        store.startWatch()
        defer { open.writer.waiters.remove(id.rawValue, token) }
        while true {
            if let end = store.endIfThere(id) { return end.flatMap { _ in Result { try read() } } }
            open.writer.hurry()
            if isOver() { return .failure(CancellationError()) }
            if done.value == 1 { return Result { try read() } }
            done.wait(while: 0)
        }
    }

    /// Reads the result of a job that has ended.
    func read() throws -> Output {
        let outcome: OutcomeBytes
        do throws(StoreError) {
            outcome = try store.outcomeBytes(id)
        } catch {
            if case .noSuchJob = error { throw JobError.noSuchJob(id) }
            throw JobError.store(error)
        }
        switch outcome.state {
        case .succeeded:
            if outcome.isResultDiscarded { throw JobError.keepsNoResult(id) }
            // It is recorded as no bytes at all.
            if let none = NoResult() as? Output { return none }
            var (stored, bytes) = (outcome.codec, outcome.result)
            if stored == SealedBytes.codec {
                (stored, bytes) = try opened(bytes, of: outcome.source)
            }
            do throws(CodecError) {
                let form = PayloadCodec(storedID: stored) ?? codec
                return try form.decode(Output.self, from: bytes)
            } catch { throw JobError.undecodable(id, reason: error.description) }
        case .cancelled: throw JobError.cancelled(id)
        case .expired: throw JobError.expired(id)
        case .dropped: throw JobError.dropped(id)
        case .discarded:
            throw JobError.discarded(id, attempt: outcome.attempt, outcome.failure)
        case .failed, .deadLetter:
            throw JobError.failed(
                id, attempt: outcome.attempt, outcome.failure,
                isDeadLetter: outcome.state == .deadLetter)
        }
    }
}

extension JobHandle {
    /// A result as it was before it was sealed.
    private func opened(
        _ bytes: [UInt8], of id: JobID
    ) throws(JobError) -> PayloadCipher.Opened {
        let name: String
        do throws(StoreError) { name = try store.name(of: id) } catch { throw .store(error) }
        do throws(SealError) {
            return try store.opened(
                bytes, codec: SealedBytes.codec, .result(of: name, id.rawValue, store.open))
        } catch {
            throw .undecodable(id, reason: error.description)
        }
    }
}

extension JobStore {
    /// The name of a job's type.
    func name(of id: JobID) throws(StoreError) -> String {
        let open = open
        let number = try open.read { (reader) throws(StorageError) -> UInt32? in
            guard let block = try Lookup.block(id.rawValue, reader, open.tables) else { return nil }
            return try formatted { () throws(FormatError) in
                try block.entry(id.rawValue).meta.name
            }
        }
        guard let number else { throw .noSuchJob(id) }
        return try jobName(number) ?? "?"
    }

    /// The handle of a job by its id, for another process or a later start of the program. Nothing is looked up: that there is
    /// no such job, its ``JobHandle/state`` and ``JobHandle/result`` say.
    public func handle<J: CodableJob>(of id: JobID, as type: J.Type) -> JobHandle<J.Output> {
        JobHandle(store: self, id: id, codec: J.codec)
    }

    /// The handle of a raw job by its id.
    public func handle<J: RawJob>(of id: JobID, as type: J.Type) -> JobHandle<[UInt8]> {
        JobHandle(store: self, id: id, codec: .raw)
    }

    /// The handle of a job by its id, without its type's code.
    /// - Parameter output: what the result is read as; its codec is recorded with it.
    public func handle<Output: Codable & Sendable>(
        of id: JobID, output: Output.Type = NoResult.self
    ) -> JobHandle<Output> {
        JobHandle(store: self, id: id, codec: .compact)
    }
}

/// Where a thread waits for a job's end.
final class HandleWait: Sendable {
    let word = SharedWord()
    func wake() {
        word.publish(1)
        word.wakeAll()
    }
}

/// An outcome taken out of the store.
struct OutcomeBytes {
    let state: OutcomeBlock.State
    let codec: UInt8
    let attempt: Int
    let isResultDiscarded: Bool
    let failure: JobFailure
    let result: [UInt8]
    /// The job whose result it is: itself, or that of another for one that stands for a workflow.
    let source: JobID
}

extension JobStore {
    func outcomeBytes(_ id: JobID) throws(StoreError) -> OutcomeBytes {
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> OutcomeBytes? in
            let source = try Lookup.source(of: id.rawValue, reader, open.tables)
            guard let block = try Lookup.outcomes(source, reader, open.tables) else {
                return nil
            }
            let entry = try formatted { () throws(FormatError) in try block.entry(source) }
            let failure = try Outcome(entry, reader, open.tables).failure
            return OutcomeBytes(
                state: entry.state, codec: entry.codec, attempt: entry.attempt,
                isResultDiscarded: entry.isResultDiscarded,
                failure: failure ?? JobFailure(type: "Command", message: "it failed"),
                result: Array(entry.result), source: JobID(rawValue: source))
        }
        guard let found else { throw .noSuchJob(id) }
        return found
    }

    /// Waits for a job's end, in this process or another, whether it keeps a result or not.
    /// - Returns: what it came to.
    /// - Throws: ``JobError/noSuchJob(_:)`` when it was pruned or never was, ``JobError/store(_:)``; `CancellationError` when the
    ///   waiting task is cancelled. Outside of jobs only: it gives up no place.
    public func waitForEnd(of id: JobID) async throws -> Outcome {
        while true {
            try await awaitEnd(of: id, forResult: false)
            let state: JobState
            do throws(StoreError) { state = try self.state(of: id) } catch {
                if case .noSuchJob = error { throw JobError.noSuchJob(id) }
                throw JobError.store(error)
            }
            // Requeued in between: it is to end once more.
            if case .ended(let outcome) = state { return outcome }
        }
    }

    /// Waits until an outcome is recorded. Throws at once when nobody will be able to read a result.
    /// - Parameter forResult: false: an outcome is enough.
    func awaitEnd(of id: JobID, forResult: Bool = true) async throws {
        let open = open
        while true {
            try Task.checkCancellation()
            if let end = endIfThere(id, forResult: forResult) { return try end.get() }
            startWatch()
            let waiting = TaskWaiter()
            await withTaskCancellationHandler {
                await withUnsafeContinuation { continuation in
                    waiting.wait(continuation)
                    let token = open.writer.waiters.add(id.rawValue) { waiting.wake() }
                    waiting.setToken(token)
                    open.writer.hurry()
                    // Recorded between the look above and the entry: nobody else would tell.
                    if endIfThere(id, forResult: forResult) != nil { waiting.wake() }
                }
            } onCancel: {
                waiting.wake()
            }
            open.writer.waiters.remove(id.rawValue, waiting.token)
        }
    }

    /// Success when an outcome is recorded, an error when there will be nothing to wait for, nil when it is yet to come.
    func endIfThere(_ id: JobID, forResult: Bool = true) -> Result<Void, any Error>? {
        let open = open
        do throws(StoreError) {
            let found = try open.read { (reader) throws(StorageError) -> Result<Void, JobError>? in
                if try Lookup.active(id.rawValue, reader, open.tables) == nil,
                    try Lookup.outcomes(id.rawValue, reader, open.tables) != nil
                {
                    return .success(())
                }
                guard let block = try Lookup.block(id.rawValue, reader, open.tables),
                    try !Self.isStaged(id.rawValue, reader, open.tables)
                else { return .failure(.noSuchJob(id)) }
                if !forResult { return nil }
                let entry = try? block.entry(id.rawValue)  // A damaged job still gets its outcome.
                if let entry, entry.meta.flags & JobBlock.discardsResult != 0 {
                    return .failure(.keepsNoResult(id))
                }
                return nil
            }
            return found.map { $0.mapError { $0 as any Error } }
        } catch {
            return .failure(JobError.store(error))
        }
    }

    func startWatch() {
        let store = JobStore(open)
        open.watch.start { id in store.endIfThere(JobID(rawValue: id), forResult: false) != nil }
    }
}

/// One task's wait: resumed once, by whoever is first.
final class TaskWaiter: Sendable {
    private struct State {
        var continuation: UnsafeContinuation<Void, Never>?
        var isWoken = false
        var token: UInt64 = 0
    }
    private let state = Mutex(State())

    func wait(_ continuation: UnsafeContinuation<Void, Never>) {
        let isWoken = state.withLock { state in
            if !state.isWoken { state.continuation = continuation }
            return state.isWoken
        }
        if isWoken { continuation.resume() }
    }

    func wake() {
        let continuation = state.withLock { state in
            state.isWoken = true
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume()
    }

    func setToken(_ token: UInt64) { state.withLock { $0.token = token } }
    var token: UInt64 { state.withLock { $0.token } }
}
