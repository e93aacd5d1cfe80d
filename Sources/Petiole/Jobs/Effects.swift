import PetioleStorage
import Synchronization

// Effects that are part of the outcome
//
// What a job enqueues through its context, and what it writes to the store's tables, is gathered in memory while it runs, and
// applied in the transaction that records its success: all of it or nothing. So however often the job runs, its effects
// happen once: with the one outcome that is recorded.
//
// | what happens | what becomes of the effects |
// |---|---|
// | the attempt fails, is stopped, or its process dies | forgotten; another attempt makes its own |
// | somebody else has recorded an outcome, or owns the queue now | not applied, like the outcome |
// | a row that it has read was changed since | not applied: the job runs again, and nothing is counted |
// | the store or the disk is full | the attempt has failed with that error, and is retried by its policy |
//
// The last but one is what makes a job that reads a row and writes it anew right beside others that do the same: of two that
// have read the same balance, the one that is recorded second has read something that is no longer so. What is read by way of
// a whole table's rows in order is not compared.

/// What an attempt wants done with its success.
struct AttemptEffects {
    /// Whose they are: a context that is kept beyond its attempt changes nothing of another's.
    let job: UInt64
    let attempt: Int
    var spawned: [EnqueueSubmission] = []
    /// The workflow that takes the job's place.
    var replacement: EnqueueSubmission?
    /// Rows of the users' tables by their keys in `tables`; nil: deleted.
    var writes: [[UInt8]: [UInt8]?] = [:]
    /// What committed rows held when they were read, as a hash; nil: there was none.
    var reads: [[UInt8]: UInt64?] = [:]
    var byteCount = 0

    var isEmpty: Bool { spawned.isEmpty && writes.isEmpty && replacement == nil }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 { RowHash.hash(bytes) }

    static func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { hash($0) } }
}

/// The effects that attempts in one place gather, one attempt at a time.
final class EffectsBox: Sendable {
    /// 64 MiB: what an attempt may gather in memory, and what a transaction holds besides.
    static let byteLimit = 64 << 20

    private let gathered = Mutex<Handover<AttemptEffects>?>(nil)
    private let hasAny = Atomic<Bool>(false)
    /// Whose attempt runs: a context that is kept beyond its attempt adds nothing to another's.
    private let owner = Atomic<UInt64>(0)

    /// Whether an attempt has gathered something: asked once an attempt.
    var isEmpty: Bool {
        // Relaxed: set by the thread that asks, or before a hand-over that orders it.
        !hasAny.load(ordering: .relaxed)
    }

    /// An attempt begins. What is left of one before it, perhaps of this very job, is forgotten.
    func begin(job: UInt64) {
        // Relaxed: whoever adds was started by the attempt, or is too late anyway.
        owner.store(job, ordering: .relaxed)
        if !isEmpty {
            // Relaxed: as above.
            hasAny.store(false, ordering: .relaxed)
            gathered.withLock { $0 = nil }
        }
    }

    /// - Parameter change: makes its change and returns how many bytes more that are.
    func add(
        job: UInt64, attempt: Int, bytes: Int, _ change: (inout AttemptEffects) -> Int
    ) throws(EffectError) {
        // Relaxed: as above.
        guard owner.load(ordering: .relaxed) == job else {
            throw .attemptIsOver(JobID(rawValue: job))
        }
        let isWithin = gathered.withLock { gathered -> Bool in
            var effects =
                gathered.flatMap {
                    $0.value.job == job && $0.value.attempt == attempt ? $0.value : nil
                } ?? AttemptEffects(job: job, attempt: attempt)
            guard effects.byteCount + bytes <= Self.byteLimit else { return false }
            gathered = nil
            effects.byteCount += change(&effects)
            gathered = Handover(effects)
            return true
        }
        guard isWithin else { throw .tooMuch(limit: Self.byteLimit) }
        // Relaxed: as above.
        hasAny.store(true, ordering: .relaxed)
    }

    /// Looks for what this attempt has written under a key so far: nil: nothing; nil within: that it be deleted.
    func write(job: UInt64, attempt: Int, key: [UInt8]) -> [UInt8]?? {
        gathered.withLock { gathered in
            guard let effects = gathered?.value, effects.job == job, effects.attempt == attempt
            else { return nil }
            return effects.writes[key]
        }
    }

    /// Takes an attempt's effects out. Nil when there are none.
    func take(job: UInt64, attempt: Int) -> AttemptEffects? {
        // Relaxed: as above.
        hasAny.store(false, ordering: .relaxed)
        let taken = gathered.withLock { gathered in
            defer { gathered = nil }
            return gathered
        }
        guard let effects = taken?.value, effects.job == job, effects.attempt == attempt,
            !effects.isEmpty
        else { return nil }
        return effects
    }
}

/// Why an effect was not taken up. The attempt has not failed by that alone: its job may let the error through or not.
public enum EffectError: Error, Sendable, Equatable {
    /// The attempt whose context this is has ended.
    case attemptIsOver(JobID)
    /// An attempt's effects together have more bytes than fit.
    case tooMuch(limit: Int)
    /// The name of a table is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    case invalidTable(String)
    /// A key has no bytes, or more than 446.
    case invalidKey(table: String, bytes: Int)
    /// A value could not be written as bytes, or not be read from them.
    case codec(table: String, reason: String)
    /// The store could not be read.
    case store(StoreError)
}

extension EffectError: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        switch self {
        case .tooMuch(let limit):
            """
            the effects of one attempt have more than \(limit) bytes
            let several jobs do the work, each a part of it
            """
        case .attemptIsOver(let id):
            "the attempt of job \(id) has ended; what its context is asked for now belongs to nobody"
        case .invalidTable(let name): EnqueueError.invalidName(name, what: "table").description
        case .invalidKey(let table, let bytes):
            "a key of table \"\(table)\" has \(bytes) bytes; 1 to \(TableForm.keyLimit) are allowed"
        case .codec(let table, let reason): "a value of table \"\(table)\": \(reason)"
        case .store(let error): error.description
        }
    }
}

// MARK: New jobs

extension JobContext {
    /// Enqueues a job with this attempt's success: it exists if and only if the success is recorded, and no other job holds its
    /// unique key by then. It has no id before.
    /// - Throws: ``EnqueueError`` for what can be told at once; ``EffectError/tooMuch(limit:)``.
    /// - Complexity: a copy of the payload in memory until the attempt ends.
    public func enqueue<J: CodableJob>(
        _ job: J, options: EnqueueOptions = EnqueueOptions()
    ) throws {
        let request = try store.request(job, options, by: self)
        let block = try request.block { (writer) throws(CodecError) in
            try J.codec.encode(job, into: &writer)
        }
        try spawn(request, block)
    }

    /// Enqueues a raw job with this attempt's success.
    public func enqueue<J: RawJob>(
        _ type: J.Type, payload: [UInt8], options: EnqueueOptions = EnqueueOptions()
    ) throws {
        let request = try store.request(J.self, options, codec: .raw, by: self)
        let block = try request.block { (writer) throws(CodecError) in
            payload.withUnsafeBytes { writer.append(contentsOf: $0) }
        }
        try spawn(request, block)
    }

    /// Enqueues a job by name with this attempt's success.
    public func enqueue<Payload: Encodable & Sendable>(
        name: String, payload: Payload, codec: PayloadCodec = .compact,
        options: EnqueueOptions = EnqueueOptions()
    ) throws {
        let request = try store.request(name: name, options, codec: codec, by: self)
        let block = try request.block { (writer) throws(CodecError) in
            try codec.encode(payload, into: &writer)
        }
        try spawn(request, block)
    }

    private func spawn(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder
    ) throws(EffectError) {
        let submission = EnqueueSubmission(request, block)
        try effects.add(job: id.rawValue, attempt: attempt, bytes: submission.byteCount) {
            $0.spawned.append(submission)
            return submission.byteCount
        }
        request.within?.end(.handedOver)
    }
}
