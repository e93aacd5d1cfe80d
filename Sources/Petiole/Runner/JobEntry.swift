import Synchronization

/// A job type that a runner knows, without its type: how to perform one attempt from bytes to bytes.
class JobEntry: @unchecked Sendable {
    // What guards it: everything is set before the runner starts but the measured times, which are atomic.
    final let name: String
    /// Where its jobs are run from: its type's queue, or where the store's routing sends them.
    final var queue: String
    final let retryPolicy: RetryPolicy
    final let timeLimit: TimeLimit?
    /// What its jobs are bound by unless the store says otherwise.
    final let limits: JobLimits?
    /// Bytes that a result may have.
    final let resultLimit: Int
    /// Whether its type bounds the time of an attempt, or its result.
    final let isBound: Bool
    /// Whether its start is recorded before it is made.
    final let marksStart: Bool
    /// Measured run time of an attempt; 0 before the first. A hint for how many to hand out at once.
    private let averageNanoseconds = Atomic<Int64>(0)
    /// The same of asynchronous jobs, which are not handed out by it.
    private let taskNanoseconds = Atomic<Int64>(0)

    /// How attempts are made.
    enum Kind {
        /// On the worker's thread, from a payload that is decoded first.
        case decoded
        /// On the worker's thread, from the payload where it lies in the map.
        case lent
        /// As Swift tasks.
        case async
        /// As child processes: they are never suspected of having ended the runner.
        case command
        /// In child processes that serve one job after the other; likewise.
        case isolated
        /// On the worker's thread, several at once.
        case batch
    }
    /// Stored, not overridden: each attempt asks.
    final let kind: Kind
    final var isAsync: Bool { kind == .async }
    final var runsInChild: Bool { kind == .command || kind == .isolated }
    /// Whether a job that a worker meets is not simply run there.
    final let isApart: Bool
    final var isCommand: Bool { kind == .command }
    final var lendsPayload: Bool { kind == .lent }

    init(
        name: String, queue: String, retryPolicy: RetryPolicy, timeLimit: TimeLimit? = nil,
        limits: JobLimits? = nil, acknowledgement: Acknowledgement = .afterRun,
        resultLimit: Int? = nil, kind: Kind = .decoded
    ) {
        self.limits = limits
        self.resultLimit = resultLimit ?? .max
        isBound = timeLimit != nil || resultLimit != nil
        marksStart = acknowledgement == .beforeRun
        self.timeLimit = timeLimit
        isApart = kind == .async || kind == .batch
        self.name = name
        self.queue = queue
        self.retryPolicy = retryPolicy
        self.kind = kind
    }

    /// The same type, whose attempts are made in another way; nil: as they are.
    init(_ entry: JobEntry, kind: Kind? = nil) {
        limits = entry.limits
        resultLimit = entry.resultLimit
        isBound = entry.isBound
        marksStart = entry.marksStart
        timeLimit = entry.timeLimit
        name = entry.name
        queue = entry.queue
        retryPolicy = entry.retryPolicy
        self.kind = kind ?? entry.kind
        isApart = self.kind == .async || self.kind == .batch
    }

    /// Runs one attempt on this thread.
    /// - Parameters:
    ///   - payload: in the map, until `endView` is called.
    ///   - endView: ends the view that lends the payload; called before anything slow.
    func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        preconditionFailure("a job entry performs")
    }

    /// What an attempt as a Swift task does, decoded already.
    func prepare(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext
    ) throws -> @Sendable () async throws -> (codec: UInt8, result: [UInt8]) {
        preconditionFailure("only an asynchronous job entry prepares")
    }

    enum Performance {
        case succeeded(codec: UInt8)
        /// The attempt failed, and its result tells more than the failure does: a command's output.
        indirect case failed(codec: UInt8, FailureRecord)
        /// As above; asked to stop, it did.
        case stopped
    }

    /// Below this a job is fast: handed out in runs, and its view may stay open while it runs.
    static let fastNanoseconds: Int64 = 100_000

    final var isFast: Bool {
        // Relaxed: a hint.
        let average = averageNanoseconds.load(ordering: .relaxed)
        return average > 0 && average < Self.fastNanoseconds
    }

    /// How many to hand out in one ticket: a millisecond of measured work.
    final var ticketSize: Int {
        // A process each: how long starting one takes in vain says nothing of the next.
        if kind == .command { return 1 }
        if kind == .batch { return (self as? BatchEntry)?.limit ?? 1 }
        // Relaxed: a hint.
        let average = averageNanoseconds.load(ordering: .relaxed)
        guard average > 0, average < Self.fastNanoseconds else { return 1 }
        return Int(max(1, 1_000_000 / average))
    }

    /// Takes a measurement of `count` attempts into the average.
    final func measured(_ nanoseconds: Int64, count: Int) {
        let one = max(1, nanoseconds / Int64(max(count, 1)))
        // Relaxed: a hint; a lost update costs nothing.
        let old = averageNanoseconds.load(ordering: .relaxed)
        averageNanoseconds.store(old == 0 ? one : (old * 3 + one) / 4, ordering: .relaxed)
    }

    /// An asynchronous attempt took so long.
    final func measuredTask(_ nanoseconds: Int64) {
        // Relaxed: a hint; a lost update costs nothing.
        let old = taskNanoseconds.load(ordering: .relaxed)
        let new = old == 0 ? max(1, nanoseconds) : (old * 3 + nanoseconds) / 4
        // Relaxed: as above.
        taskNanoseconds.store(new, ordering: .relaxed)
    }

    /// Measured run time of an attempt of whatever kind; 0 before the first.
    final var averageRun: Int64 {
        // Relaxed: a hint.
        if isAsync { return taskNanoseconds.load(ordering: .relaxed) }
        return averageNanoseconds.load(ordering: .relaxed)
    }

    static func decode<Value: Decodable>(
        _ type: Value.Type, _ payload: UnsafeRawBufferPointer, codec: UInt8
    ) throws -> Value {
        guard let form = PayloadCodec(storedID: codec) else {
            throw UndecodablePayload(unknownCodec: codec, payload)
        }
        do throws(CodecError) {
            return try form.decode(type, from: payload)
        } catch {
            throw UndecodablePayload(error.description)
        }
    }
}

// What guards it: as its superclass; what it adds never changes.
final class SyncEntry<J: Job>: JobEntry, @unchecked Sendable {
    init(_ type: J.Type) {
        super.init(
            name: J.jobName, queue: J.queue, retryPolicy: J.retryPolicy, timeLimit: J.timeLimit,
            limits: J.limits, acknowledgement: J.acknowledgement, resultLimit: J.resultLimit)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        let job = try Self.decode(J.self, payload, codec: codec)
        if !isFast { endView() }
        let output = try job.run(context)
        if J.Output.self != NoResult.self { try J.codec.encode(output, into: &result) }
        return .succeeded(codec: J.Output.self == NoResult.self ? 1 : J.codec.id)
    }
}

// What guards it: as its superclass; what it adds never changes.
final class AsyncEntry<J: AsyncJob>: JobEntry, @unchecked Sendable {
    init(_ type: J.Type) {
        super.init(
            name: J.jobName, queue: J.queue, retryPolicy: J.retryPolicy, timeLimit: J.timeLimit,
            limits: J.limits, acknowledgement: J.acknowledgement, resultLimit: J.resultLimit,
            kind: .async)
    }

    override func prepare(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext
    ) throws -> @Sendable () async throws -> (codec: UInt8, result: [UInt8]) {
        let job = try Self.decode(J.self, payload, codec: codec)
        return {
            let output = try await job.run(context)
            var writer = ByteWriter(capacity: 64)
            try J.codec.encode(output, into: &writer)
            return (J.codec.id, writer.withBytes { Array($0) })
        }
    }
}

// What guards it: as its superclass; what it adds never changes.
final class RawEntry<J: RawJob>: JobEntry, @unchecked Sendable {
    init(_ type: J.Type) {
        super.init(
            name: J.jobName, queue: J.queue, retryPolicy: J.retryPolicy, timeLimit: J.timeLimit,
            limits: J.limits, acknowledgement: J.acknowledgement, resultLimit: J.resultLimit,
            kind: .lent)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        if codec == SealedBytes.codec { throw UndecodablePayload(unknownCodec: codec, payload) }
        var lent = ResultBytes(lending: &result)
        do {
            try J.run(RawSpan(_unsafeBytes: payload), result: &lent, context: context)
        } catch {
            lent.giveBack(to: &result)
            throw error
        }
        lent.giveBack(to: &result)
        return .succeeded(codec: PayloadCodec.raw.id)
    }
}

// What guards it: as its superclass; what it adds never changes.
final class ClosureEntry: JobEntry, @unchecked Sendable {
    private let closure: JobClosure

    init(_ closure: JobClosure) {
        self.closure = closure
        super.init(
            name: closure.name, queue: closure.queue, retryPolicy: closure.retryPolicy,
            limits: closure.limits)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        let run = try closure.prepare(payload, codec)
        if !isFast { endView() }
        return .succeeded(codec: try run(context, &result))
    }
}

/// The entries of a runner: checked when they are registered, found by the store's number of their name.
struct JobRegistry: Sendable {
    var entries: [JobEntry] = []
    /// What limits the program sets, by the number of the name.
    private(set) var limits: [UInt32: (type: GateRules, key: GateRules)] = [:]
    /// Held by `entries`.
    private var byNumber: [Unmanaged<JobEntry>?] = []

    /// - Throws: ``RunnerError`` for a wrong or doubled name, or a type that is none of the three kinds.
    init(types: [any JobType.Type], closures: [JobClosure]) throws(RunnerError) {
        for type in types { try add(try Self.entry(type)) }
        for closure in closures { try add(ClosureEntry(closure)) }
    }

    /// Lets a store's routing say which queues the entries are run from.
    /// - Throws: ``RunnerError/invalidName(_:what:)`` for a queue that a rule makes up.
    func route(_ setup: StoreSetup?) throws(RunnerError) {
        guard let setup else { return }
        for entry in entries {
            if setup.cipher != nil, entry.kind == .isolated {
                throw .invalidOption(
                    job: entry.name,
                    "it is isolated, and its child processes have no keys for the encrypted payloads "
                        + "of this store; in a store without them it is allowed")
            }
            entry.queue = setup.queue(of: entry.name, typeDefault: entry.queue)
            guard NameForm.isValid(entry.queue) else {
                throw .invalidName(entry.queue, what: "queue")
            }
        }
    }

    mutating func add(_ entry: JobEntry) throws(RunnerError) {
        guard NameForm.isValid(entry.name) else { throw .invalidName(entry.name, what: "job") }
        guard NameForm.isValid(entry.queue) else { throw .invalidName(entry.queue, what: "queue") }
        if entry.resultLimit < 0 {
            throw .invalidOption(
                job: entry.name, "its resultLimit is \(entry.resultLimit); 0 and more are allowed")
        }
        if let problem = entry.retryPolicy.problem {
            throw .invalidOption(job: entry.name, "in its retry policy " + problem)
        }
        let runsInChild = entry.runsInChild || ChildServer.isServing
        if let problem = entry.timeLimit?.problem(runsInChild: runsInChild) {
            throw .invalidOption(job: entry.name, problem)
        }
        if let problem = entry.limits?.problem {
            throw .invalidOption(job: entry.name, "in its limits " + problem)
        }
        if let problem = (entry as? BatchEntry)?.problem {
            throw .invalidOption(job: entry.name, problem)
        }
        if entries.contains(where: { $0.name == entry.name }) { throw .registeredTwice(entry.name) }
        entries.append(entry)
    }

    private static func entry(_ type: any JobType.Type) throws(RunnerError) -> JobEntry {
        let entry = try entryOnThreads(type)
        guard case .process(let child) = type.isolation.place else { return entry }
        if entry is BatchEntry {
            throw .invalidOption(
                job: entry.name, "it is isolated; a batch type runs on the threads of the pool")
        }
        return try IsolatedEntry(entry, in: child)
    }

    /// The entry that performs attempts in this process, whatever the type's isolation.
    static func entryOnThreads(_ type: any JobType.Type) throws(RunnerError) -> JobEntry {
        func sync<J: Job>(_ type: J.Type) -> JobEntry { SyncEntry(type) }
        func async<J: AsyncJob>(_ type: J.Type) -> JobEntry { AsyncEntry(type) }
        func raw<J: RawJob>(_ type: J.Type) -> JobEntry { RawEntry(type) }
        func batch<J: BatchJob>(_ type: J.Type) -> JobEntry { TypedBatchEntry(type) }
        if let type = type as? any Job.Type { return sync(type) }
        if let type = type as? any AsyncJob.Type { return async(type) }
        if let type = type as? any RawJob.Type { return raw(type) }
        if let type = type as? any BatchJob.Type { return batch(type) }
        throw .notAJob("\(type)")
    }

    mutating func number(_ numbers: [String: UInt32]) {
        let highest = numbers.values.max() ?? 0
        byNumber = [Unmanaged<JobEntry>?](repeating: nil, count: Int(highest) + 1)
        for entry in entries {
            if let number = numbers[entry.name] {
                if let limits = entry.limits { self.limits[number] = limits.rules }
                byNumber[Int(number)] = Unmanaged.passUnretained(entry)
            }
        }
    }

    /// The same, as if it did not know some names.
    func without(_ numbers: Set<UInt32>) -> JobRegistry {
        if numbers.isEmpty { return self }
        var registry = self
        for number in numbers where Int(number) < byNumber.count {
            registry.byNumber[Int(number)] = nil
        }
        return registry
    }

    @inline(__always)
    func entry(_ number: UInt32) -> Unmanaged<JobEntry>? {
        Int(number) < byNumber.count ? byNumber[Int(number)] : nil
    }
}

extension ResultBytes {
    /// Takes the writer's memory over for the time of an attempt, so that no attempt allocates its own.
    init(lending writer: inout ByteWriter) {
        self.writer = ByteWriter(capacity: 0)
        swap(&self.writer, &writer)
    }

    mutating func giveBack(to writer: inout ByteWriter) { swap(&self.writer, &writer) }
}
