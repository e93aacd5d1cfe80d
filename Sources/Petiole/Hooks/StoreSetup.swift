import Logging

/// What an opening of a store was told besides where it is: middleware, routing, keys. Nil in a ``JobStore`` that was told nothing, so
/// that its enqueues pay one branch.
final class StoreSetup: Sendable {
    let middleware: [any EnqueueMiddleware]
    let routing: Routing?
    let cipher: PayloadCipher?
    private let logger: Logger

    init?(_ options: StoreOptions) {
        cipher = options.cipher
        if options.enqueueMiddleware.isEmpty, options.routing == nil, cipher == nil { return nil }
        middleware = options.enqueueMiddleware
        routing = options.routing
        logger = options.logger
    }

    func report(_ what: Logger.Message, _ who: any EnqueueMiddleware, _ error: Any) {
        logger.warning(
            what, metadata: ["middleware": "\(type(of: who))", "error": "\(error)"])
    }

    /// Where a job goes that is enqueued without a queue.
    func queue(of name: String, typeDefault: String) -> String {
        routing?.queue(for: name) ?? typeDefault
    }

    /// The request of an enqueue within the middleware.
    func request(
        _ target: EnqueueTarget, _ options: EnqueueOptions, codec: PayloadCodec,
        codecID: UInt8? = nil, in store: OpenStore, by parent: JobContext? = nil
    ) throws(EnqueueError) -> EnqueueRequest {
        var target = target
        target.queue = queue(of: target.name, typeDefault: target.queue)
        var options = options
        var within: EnqueueWithin?
        if !middleware.isEmpty {
            // What middleware sees is what the job gets.
            if let inherited = parent?.metadata {
                options.metadata = (options.metadata ?? JobMetadata()).inheriting(inherited)
            }
            let call = EnqueueCall(
                name: target.name, type: target.type, queue: target.queue, parent: parent?.id,
                options: options)
            within = EnqueueWithin(call, self)
            options = within!.call.options
        }
        do throws(EnqueueError) {
            // What a command is, the tool is to show, which has no keys.
            let cipher = codecID == CommandJob.codec ? nil : cipher
            var request = try EnqueueRequest(
                target, options, codec: codec, codecID: codecID, cipher: cipher, in: store,
                by: parent)
            request.within = within
            return request
        } catch {
            within?.end(.refused(error))
            throw error
        }
    }
}

/// Whose job is enqueued: its name, and what its type says.
struct EnqueueTarget {
    var name: String
    var type: (any JobType.Type)?
    /// Unless the enqueue says otherwise.
    var queue: String
    var keepsResult: Bool
    /// Whether attempts are made in child processes, which can be ended at a hard limit.
    var runsInChild = false

    init<J: JobType>(_ type: J.Type) {
        name = J.jobName
        self.type = type
        queue = J.queue
        keepsResult = J.keepsResult
        runsInChild = J.isolation != .thread
    }

    /// By name.
    init(name: String) {
        self.name = name
        queue = "default"
        keepsResult = true
    }
}

extension JobStore {
    /// The request for a job, with the unique key that its value gives.
    func request<J: CodableJob>(
        _ job: J, _ options: EnqueueOptions, by parent: JobContext? = nil
    ) throws(EnqueueError) -> EnqueueRequest {
        var options = options
        if options.unique == nil, let rule = job.uniqueness { options.unique = rule }
        if options.limitKey == nil, let key = job.limitKey { options.limitKey = key }
        return try request(J.self, options, codec: J.codec, by: parent)
    }

    /// The request for jobs of a type.
    func request<J: JobType>(
        _ type: J.Type, _ options: EnqueueOptions, codec: PayloadCodec,
        by parent: JobContext? = nil
    ) throws(EnqueueError) -> EnqueueRequest {
        guard let setup else {
            if parent == nil { return try open.request(type, options, codec: codec) }
            return try EnqueueRequest(
                EnqueueTarget(type), options, codec: codec, in: open, by: parent)
        }
        return try setup.request(
            EnqueueTarget(type), options, codec: codec, in: open, by: parent)
    }

    /// The request for a job by name.
    func request(
        name: String, _ options: EnqueueOptions, codec: PayloadCodec, codecID: UInt8? = nil,
        by parent: JobContext? = nil
    ) throws(EnqueueError) -> EnqueueRequest {
        let target = EnqueueTarget(name: name)
        guard let setup else {
            return try EnqueueRequest(
                target, options, codec: codec, codecID: codecID, in: open, by: parent)
        }
        return try setup.request(
            target, options, codec: codec, codecID: codecID, in: open, by: parent)
    }
}
