import PetioleStorage

/// The job that a schedule enqueues, as it lies in the store: all but what differs from one time to the next.
struct ScheduledJob: Equatable, Sendable {
    var queueName: String
    var jobName: String
    var priority: UInt8
    var codec: UInt8
    var flags: UInt8
    var maxAttempts: UInt8
    /// Of the payload, how many bytes are extras.
    var extrasLength: UInt16
    /// How long after its enqueue it expires, in microseconds; 0: never.
    var expiresAfter: Int64 = 0
    var options: JobOptions
    /// Extras and payload.
    var content: [UInt8]

    /// - Parameters:
    ///   - request: the enqueue of one such job, through the store's routing and middleware.
    ///   - write: writes its payload.
    init(
        job: String, _ options: EnqueueOptions,
        request: (EnqueueOptions) throws(EnqueueError) -> EnqueueRequest,
        _ write: (inout ByteWriter) throws(CodecError) -> Void
    ) throws(EnqueueError) {
        try self.init(job: job, options, request: request) { (request) throws(EnqueueError) in
            try request.block(write)
        }
    }

    init(
        job: String, _ options: EnqueueOptions,
        request: (EnqueueOptions) throws(EnqueueError) -> EnqueueRequest, json: String
    ) throws(EnqueueError) {
        try self.init(job: job, options, request: request) { (request) throws(EnqueueError) in
            try request.block(json: json)
        }
    }

    private init(
        job: String, _ options: EnqueueOptions,
        request: (EnqueueOptions) throws(EnqueueError) -> EnqueueRequest,
        block: (EnqueueRequest) throws(EnqueueError) -> JobBlockBuilder
    ) throws(EnqueueError) {
        if options.due != nil {
            throw .invalidOption(job: job, "a schedule says when its jobs are due; leave due out")
        }
        if options.unique != nil {
            throw .invalidOption(
                job: job,
                "the jobs of a schedule have a unique key each, made of its name and the planned time; leave unique out, and say in overlap what is to become of two at once"
            )
        }
        if !options.after.isEmpty {
            throw .invalidOption(
                job: job, "the jobs of a schedule come by the clock alone; leave after out")
        }
        if options.whenFull != nil {
            throw .invalidOption(
                job: job,
                "a schedule tries again while its queue is full; leave whenFull out, and give the queue a capacity that drops the oldest if that is wanted"
            )
        }
        if case .at? = options.expiry {
            throw .invalidOption(
                job: job, "the expiry of a schedule's jobs is a while after each enqueue: .after")
        }
        let request = try request(options)
        // What middleware has made of it.
        if case .after(let wait)? = (request.within?.call.options ?? options).expiry {
            expiresAfter = max(1, wait.clampedMicroseconds)
        }
        let block = try block(request)
        let (meta, bytes) = block.content(0)
        queueName = request.queue
        jobName = request.name
        priority = request.target.priority
        codec = meta.codec
        flags = meta.flags & ~JobBlock.hasOptions
        maxAttempts = meta.maxAttempts
        self.options = request.jobOptions
        // Of each enqueue its own.
        self.options.due = 0
        self.options.expiry = 0
        self.options.unique = nil
        // Options lie in front: they are made anew each time.
        let own = request.jobOptions.bytes.count
        extrasLength = meta.extrasLength - UInt16(own)
        content = Array(bytes[own...])
        request.within?.end(.handedOver)
    }

    private init(
        _ queueName: String, _ jobName: String, _ options: JobOptions, _ content: [UInt8]
    ) {
        (self.queueName, self.jobName) = (queueName, jobName)
        (self.options, self.content) = (options, content)
        (priority, codec, flags, maxAttempts, extrasLength) = (4, 0, 0, 0, 0)
    }

    /// Whether its payload is encrypted: the same one is other bytes each time.
    var isSealed: Bool { codec == SealedBytes.codec }

    /// The enqueue for a planned time.
    func submission(_ run: PlannedRun, at time: ClockReading) -> EnqueueSubmission {
        var options = options
        options.planned = run
        options.unique = UniqueHold(Uniqueness(key: run.key))
        if expiresAfter > 0 { options.expiry = StoreTime(time, after: expiresAfter) }
        let optionBytes = options.bytes
        let meta = JobBlock.Meta(
            codec: codec, flags: flags | JobBlock.hasOptions,
            extrasLength: extrasLength + UInt16(optionBytes.count), maxAttempts: maxAttempts)
        var block = JobBlockBuilder(jobs: 1, bytes: optionBytes.count + content.count)
        (optionBytes + content).withUnsafeBytes { block.append($0, meta: meta) }
        return EnqueueSubmission(
            to: JobTarget(queueName: queueName, jobName: jobName, priority: priority),
            options: options, onConflict: .giveBack, whenFull: nil, block)
    }

    /// What each of its jobs is told, as the schedule was.
    var enqueueOptions: EnqueueOptions {
        EnqueueOptions(
            queue: queueName, priority: Int(priority),
            maxAttempts: maxAttempts == 0 ? nil : Int(maxAttempts),
            keepsResult: flags & JobBlock.discardsResult == 0,
            expiry: expiresAfter == 0 ? nil : .after(.microseconds(expiresAfter)),
            metadata: options.metadata, timeLimit: options.timeLimit, limitKey: options.limitKey,
            resultRetention: options.resultRetention == 0
                ? nil : .microseconds(options.resultRetention),
            resultLimit: options.resultLimit)
    }

    // MARK: Bytes

    func write(to writer: inout ByteWriter) {
        writer.append(littleEndian: priority)
        writer.append(littleEndian: codec)
        writer.append(littleEndian: flags)
        writer.append(littleEndian: maxAttempts)
        writer.append(littleEndian: extrasLength)
        writer.append(littleEndian: expiresAfter)
        writer.append(text: queueName)
        writer.append(text: jobName)
        let options = options.bytes
        writer.append(littleEndian: UInt16(options.isEmpty ? 0 : options.count - 2))
        if options.count > 2 {
            options.withUnsafeBytes {
                writer.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[2...]))
            }
        }
        writer.append(littleEndian: UInt32(content.count))
        content.withUnsafeBytes { writer.append(contentsOf: $0) }
    }

    init(_ reader: inout RecordReader) throws(FormatError) {
        let priority: UInt8 = try reader.number()
        guard priority <= StoreFormat.lowestPriority else {
            throw FormatError("the priority of its job is \(priority)")
        }
        let codec: UInt8 = try reader.number()
        let flags: UInt8 = try reader.number()
        let maxAttempts: UInt8 = try reader.number()
        let extrasLength: UInt16 = try reader.number()
        let expiresAfter: Int64 = try reader.number()
        let queueName = try reader.text()
        let jobName = try reader.text()
        let options = try JobOptions(try reader.bytes(try reader.number(UInt16.self)))
        self.init(
            queueName, jobName, options, Array(try reader.bytes(try reader.number(UInt32.self))))
        (self.priority, self.codec, self.flags) = (priority, codec, flags)
        (self.maxAttempts, self.extrasLength) = (maxAttempts, extrasLength)
        self.expiresAfter = expiresAfter
    }
}

/// For which planned time of which schedule a job was enqueued: a field of its options.
struct PlannedRun: Equatable, Sendable {
    var schedule: String
    /// Microseconds since 1970.
    var time: Int64
    /// Whether somebody wanted it beside the plan.
    var isExtra = false

    /// The unique key of the job: no two are there for one planned time.
    var key: String { "schedule/\(schedule)/\(isExtra ? "now/" : "")\(time)" }

    init(schedule: String, time: Int64, isExtra: Bool = false) {
        (self.schedule, self.time, self.isExtra) = (schedule, time, isExtra)
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 9 else { return nil }
        time = bytes.littleEndian(at: 0)
        isExtra = bytes[8] & 1 != 0
        schedule = String(decoding: bytes[9...], as: UTF8.self)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.append(littleEndian: time)
        writer.append(littleEndian: UInt8(isExtra ? 1 : 0))
        Array(schedule.utf8).withUnsafeBytes { writer.append(contentsOf: $0) }
        return writer.withBytes { Array($0) }
    }
}
