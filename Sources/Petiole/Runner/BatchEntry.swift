/// A job type that takes several payloads at once, without its type.
// What guards it: as its superclass; what it adds does not change once the runner has started.
class BatchEntry: JobEntry, @unchecked Sendable {
    final let limit: Int
    final let wait: Duration
    private let hasLimits: Bool
    /// Called before each attempt of an item, for tests; set before the runner starts.
    final var before: (@Sendable (String, JobContext) throws -> Void)?

    init(
        name: String, queue: String, retryPolicy: RetryPolicy, timeLimit: TimeLimit?,
        hasLimits: Bool, acknowledgement: Acknowledgement, resultLimit: Int?, limit: Int,
        wait: Duration
    ) {
        self.hasLimits = hasLimits
        self.limit = limit
        self.wait = wait
        super.init(
            name: name, queue: queue, retryPolicy: retryPolicy, timeLimit: timeLimit,
            acknowledgement: acknowledgement, resultLimit: resultLimit, kind: .batch)
    }

    /// What is wrong with it, and what is allowed; nil: nothing.
    final var problem: String? {
        if !(1...256).contains(limit) {
            return "batchLimit is \(limit); 1 to 256 are allowed"
        }
        if hasLimits {
            return
                "it has limits; a batch type is bound by those of its queue alone, which let its jobs run one by one"
        }
        if marksStart {
            return "it is acknowledged before it runs; a batch type is acknowledged after it"
        }
        if wait < .zero || wait > .seconds(3_600) {
            return "batchWait is \(wait); zero to an hour are allowed"
        }
        return nil
    }

    /// Nanoseconds.
    final var waitNanoseconds: Int64 {
        let (seconds, attoseconds) = wait.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    /// A job of a batch from its payload.
    func decode(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext
    ) throws -> any Sendable {
        preconditionFailure("a batch entry decodes")
    }

    /// Runs a batch of what ``decode(_:codec:_:)`` gave. One result for each.
    func run(_ items: [any Sendable]) -> [Result<AsyncAttempt.Result, any Error>] {
        preconditionFailure("a batch entry runs")
    }
}

// What guards it: as its superclass.
final class TypedBatchEntry<J: BatchJob>: BatchEntry, @unchecked Sendable {
    init(_ type: J.Type) {
        super.init(
            name: J.jobName, queue: J.queue, retryPolicy: J.retryPolicy, timeLimit: J.timeLimit,
            hasLimits: J.limits != nil, acknowledgement: J.acknowledgement,
            resultLimit: J.resultLimit, limit: J.batchLimit, wait: J.batchWait)
    }

    override func decode(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext
    ) throws -> any Sendable {
        BatchItem(job: try Self.decode(J.self, payload, codec: codec), context: context)
    }

    override func run(_ items: [any Sendable]) -> [Result<AsyncAttempt.Result, any Error>] {
        let items = items.compactMap { $0 as? BatchItem<J> }
        let outputs: [Result<J.Output, any Error>]
        do {
            outputs = try J.run(items)
            if outputs.count != items.count {
                throw BatchResultCount(found: outputs.count, expected: items.count)
            }
        } catch {
            return items.map { _ in .failure(error) }
        }
        return outputs.map { output in
            output.flatMap { output in Result { try Self.encoded(output) } }
        }
    }

    private static func encoded(_ output: J.Output) throws -> AsyncAttempt.Result {
        if J.Output.self == NoResult.self { return (PayloadCodec.compact.id, []) }
        var writer = ByteWriter(capacity: 64)
        try J.codec.encode(output, into: &writer)
        return (J.codec.id, writer.withBytes { Array($0) })
    }
}
