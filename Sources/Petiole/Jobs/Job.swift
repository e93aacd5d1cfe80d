/// The named code that a job runs. Conform to ``Job``, ``AsyncJob`` or ``RawJob``, not to this.
public protocol JobType: Sendable {
    /// The name under which jobs of this type lie in the store: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. The type's own name
    /// unless given. It is the contract with what was enqueued before: renaming the type must not change it.
    static var jobName: String { get }
    /// The queue that these jobs go to unless the enqueue says otherwise: `default` unless given.
    static var queue: String { get }
    /// What follows a failed attempt: ``RetryPolicy/standard`` unless given.
    static var retryPolicy: RetryPolicy { get }
    /// Whether the result is recorded. True unless given; without one nobody can await it, and an outcome takes less room.
    static var keepsResult: Bool { get }
    /// For how long a result is kept after the end, more than zero; nil unless given: as long as the store keeps what has ended
    /// (``StoreOptions/retention``). Shorter, the result's bytes go then, and the outcome without them stays; longer, job, outcome and
    /// result outlive the rest.
    static var resultRetention: Duration? { get }
    /// Bytes that a result may have, 0 or more; nil unless given: as many as it has. An attempt with a larger one has failed, and
    /// since the next one would give the same, the job becomes a dead letter; its effects do not happen.
    static var resultLimit: Int? { get }
    /// How long an attempt may take; nil unless given: as long as it does.
    static var timeLimit: TimeLimit? { get }
    /// How many attempts run at once and start in a time, and in which order; nil unless given.
    static var limits: JobLimits? { get }
    /// When an attempt counts as made: ``Acknowledgement/afterRun`` unless given.
    static var acknowledgement: Acknowledgement { get }
    /// Where attempts run: ``Isolation/thread`` unless given.
    static var isolation: Isolation { get }
}

extension JobType {
    /// The type's own name.
    public static var jobName: String { String(describing: Self.self) }
    /// The queue `default`.
    public static var queue: String { "default" }
    /// Four attempts with growing waits.
    public static var retryPolicy: RetryPolicy { .standard }
    /// True.
    public static var keepsResult: Bool { true }
    /// The store's.
    public static var resultRetention: Duration? { nil }
    /// None.
    public static var resultLimit: Int? { nil }
    /// None.
    public static var timeLimit: TimeLimit? { nil }
    /// None.
    public static var limits: JobLimits? { nil }
    /// After its run.
    public static var acknowledgement: Acknowledgement { .afterRun }
    /// ``Isolation/thread``.
    public static var isolation: Isolation { .thread }
}

/// When an attempt counts as made, should the process or the machine die while it runs.
public enum Acknowledgement: Sendable, Hashable {
    /// When its outcome is on the disk: an attempt that is cut short is made again. At least once.
    case afterRun
    /// Before it starts: that it starts is on the disk first, one commit for each ticket. An attempt that is cut short is not made
    /// again: the job becomes a dead letter of the type `Interrupted`, which a person may requeue. At most once for each
    /// attempt; what the job throws is followed by its ``RetryPolicy`` as ever, so with ``RetryPolicy/never`` it runs once or
    /// not at all.
    case beforeRun
}

/// A job type whose value is its payload.
public protocol CodableJob: JobType, Codable {
    /// What an attempt that succeeds gives.
    associatedtype Output: Codable & Sendable
    /// How payload and result become bytes: ``PayloadCodec/compact`` unless given. Payloads written in another form are read
    /// in theirs.
    static var codec: PayloadCodec { get }
    /// A key of the payload's that one job of the type may hold; nil unless given.
    var uniqueness: Uniqueness? { get }
    /// The key that ``JobType/limits`` per key are about: a tenant, a host, a file; 1 to 256 bytes of UTF-8. Nil unless given.
    var limitKey: String? { get }
}

extension CodableJob {
    /// None.
    public var uniqueness: Uniqueness? { nil }
    /// None.
    public var limitKey: String? { nil }
    /// ``PayloadCodec/compact``.
    public static var codec: PayloadCodec { .compact }
}

/// A job that runs straight on a thread of the pool, from start to end: the fast path.
///
/// It may run more than once: a job whose process dies before its outcome is on the disk runs again.
public protocol Job: CodableJob {
    associatedtype Output
    /// Runs one attempt. What it throws is recorded with the attempt, and followed by ``JobType/retryPolicy``.
    func run(_ context: JobContext) throws -> Output
}

/// A job that runs as a Swift task whose executor is the pool.
public protocol AsyncJob: CodableJob {
    associatedtype Output
    /// Runs one attempt. A cancelled job's task is cancelled.
    func run(_ context: JobContext) async throws -> Output
}

/// A job whose payload is bytes, read in place from the store's map, without a copy.
///
/// The view that lends the bytes is held while the job runs, and keeps freed pages from being reused: for short work.
public protocol RawJob: JobType {
    /// Runs one attempt.
    /// - Parameters:
    ///   - payload: the bytes as they were enqueued; they end with the call.
    ///   - result: takes the result's bytes; empty unless written to.
    static func run(
        _ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws
}

/// The result of a job that has none.
public struct NoResult: Codable, Sendable, Hashable {
    /// Makes the one value there is.
    public init() {}
    /// Reads nothing.
    public init(from decoder: any Decoder) throws {}
    /// Writes an empty object.
    public func encode(to encoder: any Encoder) throws {
        _ = encoder.container(keyedBy: NoKey.self)
    }
    private enum NoKey: CodingKey {}
}

/// Where a ``RawJob`` writes its result.
@frozen public struct ResultBytes: ~Copyable {
    @usableFromInline var writer: ByteWriter

    init(capacity: Int = 256) { writer = ByteWriter(capacity: capacity) }

    /// Bytes written so far.
    public var count: Int { writer.count }

    /// Adds bytes. Cost: a copy.
    @inlinable public mutating func append(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { writer.append(contentsOf: $0) }
    }

    /// Adds bytes. Cost: a copy.
    @inlinable public mutating func append(contentsOf bytes: [UInt8]) {
        bytes.withUnsafeBytes { writer.append(contentsOf: $0) }
    }

    /// Adds a number in little-endian order.
    @inlinable public mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
        writer.append(littleEndian: number)
    }
}

/// Job types by a closure, for small ones: registered with a runner under a name, enqueued by that name.
public struct JobClosure: Sendable {
    let name: String
    let queue: String
    let retryPolicy: RetryPolicy
    let limits: JobLimits?
    /// From the payload in the map to a closure that needs the map no more, and gives the codec of the result.
    let prepare:
        @Sendable (UnsafeRawBufferPointer, UInt8) throws -> (JobContext, inout ByteWriter) throws ->
            UInt8

    /// Names a closure that takes a payload and gives a result, both `Codable`.
    /// - Parameters:
    ///   - name: as ``JobType/jobName``.
    ///   - queue: the queue that it is run from.
    ///   - limits: as ``JobType/limits``.
    public init<Payload: Codable & Sendable, Output: Codable & Sendable>(
        _ name: String, queue: String = "default", retryPolicy: RetryPolicy = .standard,
        limits: JobLimits? = nil,
        run: @escaping @Sendable (Payload, JobContext) throws -> Output
    ) {
        self.name = name
        self.queue = queue
        self.retryPolicy = retryPolicy
        self.limits = limits
        prepare = { bytes, codec in
            guard let form = PayloadCodec(storedID: codec) else {
                throw UndecodablePayload(unknownCodec: codec, bytes)
            }
            let payload: Payload
            do throws(CodecError) {
                payload = try form.decode(Payload.self, from: bytes)
            } catch {
                throw UndecodablePayload(error.description)
            }
            return { context, result in
                let output = try run(payload, context)
                try PayloadCodec.compact.encode(output, into: &result)
                return PayloadCodec.compact.id
            }
        }
    }
}

/// The payload is not what the job type reads: the job becomes a dead letter at once, since it never will be.
struct UndecodablePayload: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}
