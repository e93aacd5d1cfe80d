import PetioleStorage
import Synchronization

/// An enqueue that was found to be grantable: names checked, options resolved.
struct EnqueueRequest: Sendable {
    let target: JobTarget
    let codec: PayloadCodec
    let limit: Int
    private(set) var jobOptions: JobOptions
    let onConflict: Uniqueness.Conflict
    let whenFull: CapacityRecord.WhenFull?
    /// The jobs that they are to come after.
    let predecessors: [Predecessor]
    /// The middleware that it is made within; nil: none.
    var within: EnqueueWithin?
    /// Whether it is told the end by who fills block after block with it.
    var isOfMany = false
    /// Whether it stands for many jobs of which each may say something for itself.
    var saysOwn = false
    private var optionBytes: [UInt8]
    private var meta: JobBlock.Meta
    /// What payloads are encrypted with, and for what; nil: they are not.
    private let sealing: (cipher: PayloadCipher, purpose: SealedPurpose)?

    var name: String { target.jobName }
    var queue: String { target.queueName }

    init(
        _ target: EnqueueTarget, _ options: EnqueueOptions, codec: PayloadCodec,
        codecID: UInt8? = nil, cipher: PayloadCipher? = nil, in store: OpenStore,
        by parent: JobContext? = nil
    ) throws(EnqueueError) {
        var options = options
        if options.resultRetention == nil {
            options.resultRetention = target.type?.resultRetention
        }
        sealing = cipher.map { ($0, .payload(of: target.name, store)) }
        let name = target.name
        let queue = options.queue ?? target.queue
        let keepsResult = options.keepsResult ?? target.keepsResult
        let runsInChild = target.runsInChild || codecID == CommandJob.codec
        let codecID = codecID ?? codec.id
        try NameForm.check(name, "job")
        try NameForm.check(queue, "queue")
        if let problem = options.problem { throw .invalidOption(job: name, problem) }
        if let problem = options.timeLimit?.problem(runsInChild: runsInChild) {
            throw .invalidOption(job: name, problem)
        }
        if parent != nil, !options.after.isEmpty {
            throw .invalidOption(
                job: name,
                "after is for an enqueue from outside a job; let the job give way to a workflow")
        }
        predecessors = options.after
        let priority =
            options.inheritsPriority ? parent?.priority ?? options.priority : options.priority
        self.target = store.target(queue: queue, job: name, priority: UInt8(priority))
        self.codec = codec
        limit = Int(store.settings.payloadLimit)
        var jobOptions = try options.resolved(job: name, now: store.clock.reading)
        if !keepsResult { jobOptions.resultRetention = 0 }
        if let parent {
            jobOptions.parent = parent.id.rawValue
            jobOptions.root = parent.root == 0 ? parent.id.rawValue : parent.root
            if let inherited = parent.metadata {
                jobOptions.metadata = (jobOptions.metadata ?? JobMetadata()).inheriting(inherited)
            }
        }
        self.jobOptions = jobOptions
        onConflict = options.unique?.onConflict ?? .giveBack
        whenFull = options.whenFull?.record
        optionBytes = jobOptions.bytes
        meta = JobBlock.Meta(
            codec: cipher == nil ? codecID : SealedBytes.codec,
            flags: (keepsResult ? 0 : JobBlock.discardsResult)
                | (optionBytes.isEmpty ? 0 : JobBlock.hasOptions)
                | (jobOptions.limitKey == nil ? 0 : JobBlock.hasLimitKey),
            maxAttempts: UInt8(options.maxAttempts ?? 0))
    }

    /// The same for a job that is a part of a workflow.
    func part(of member: WorkflowMember) -> EnqueueRequest {
        var part = self
        part.within = nil
        part.jobOptions.workflow = member
        part.optionBytes = part.jobOptions.bytes
        part.meta.flags |= JobBlock.hasOptions
        return part
    }

    /// A block of the one job whose payload is written.
    func block(
        _ write: (inout ByteWriter) throws(CodecError) -> Void
    ) throws(EnqueueError) -> JobBlockBuilder {
        var block = JobBlockBuilder(jobs: 1, bytes: 128)
        _ = try add(to: &block) { (writer) throws(CodecError) in
            try write(&writer)
            return 0
        }
        return block
    }

    /// A block of the one job whose payload is JSON text.
    func block(json: String) throws(EnqueueError) -> JobBlockBuilder {
        var text = json
        return try block { (writer) throws(CodecError) in
            var result: Result<Void, CodecError> = .success(())
            text.withUTF8 { bytes in
                do throws(CodecError) {
                    try jsonToCompact(UnsafeRawBufferPointer(bytes), into: &writer)
                } catch { result = .failure(error) }
            }
            try result.get()
        }
    }

    /// Fills a block, and adds the unique keys of its jobs to `keys`. Returns whether there are no more jobs.
    /// - Parameter ownOfNext: what the next one says for itself.
    func fill(
        _ block: inout JobBlockBuilder, _ keys: UniqueKeyList,
        _ ownOfNext: () throws(EnqueueError) -> OwnOptions,
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) throws(EnqueueError) -> Bool {
        if !saysOwn, optionBytes.isEmpty, sealing == nil {
            return try fillPlain(&block, next)
        }
        while true {
            let own = try ownOfNext()
            if let problem = own.problemAmongMany {
                throw refusal(.invalidOption(job: name, problem))
            }
            let hold = own.hold
            guard try add(to: &block, own: own, hold, next) else { return true }
            keys.append(own.unique, hold)
            if isFull(block) { return false }
        }
    }

    /// The same for jobs that have no options at all: they pay for none.
    private func fillPlain(
        _ block: inout JobBlockBuilder, _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) throws(EnqueueError) -> Bool {
        while true {
            let before = block.size
            do throws(CodecError) {
                guard try block.append(meta: meta, next) else { return true }
            } catch {
                throw refusal(.unencodable(job: name, reason: error.description))
            }
            try checkSize(block, before)
            if isFull(block) { return false }
        }
    }

    /// Whether there is no room for another like the last: blocks end a little before the bound rather than after it.
    private func isFull(_ block: borrowing JobBlockBuilder) -> Bool {
        let used = block.size
        return used + used / Int(block.count) > StoreFormat.blockLimit || block.count > 60_000
    }

    private func refusal(_ error: EnqueueError) -> EnqueueError {
        if !isOfMany { within?.end(.refused(error)) }
        return error
    }

    /// Adds the job that `write` writes; it returns the length of the extras, nil for none. Returns whether there was one.
    private func add(
        to block: inout JobBlockBuilder, own: OwnOptions = OwnOptions(), _ hold: UniqueHold? = nil,
        _ write: (inout ByteWriter) throws(CodecError) -> Int?
    ) throws(EnqueueError) -> Bool {
        let before = block.size
        var meta = meta
        if !own.isEmpty {
            meta.flags |= JobBlock.hasOptions
            if own.limitKey != nil { meta.flags |= JobBlock.hasLimitKey }
        }
        do throws(CodecError) {
            let isThere = try block.append(meta: meta) { (writer) throws(CodecError) in
                let start = writer.count
                JobOptions.append(optionBytes, own, hold, to: &writer)
                let options = writer.count - start
                guard let extras = try write(&writer) else { return nil }
                if let sealing {
                    sealing.cipher.seal(
                        &writer, from: start + options + extras, codec: codec.id, sealing.purpose)
                }
                return options + extras
            }
            if !isThere { return false }
        } catch {
            throw refusal(.unencodable(job: name, reason: error.description))
        }
        try checkSize(block, before)
        return true
    }

    private func checkSize(
        _ block: borrowing JobBlockBuilder, _ before: Int
    ) throws(EnqueueError) {
        let bytes = block.size - before - JobBlock.entrySize
        if bytes > limit {
            throw refusal(.payloadTooLarge(job: name, bytes: bytes, limit: limit))
        }
    }
}

extension Acceptance {
    /// The first of the jobs that were accepted, or the one that was there already.
    func id(_ request: EnqueueRequest) throws(EnqueueError) -> UInt64 {
        if case .missing(let id) = hold {
            throw .refused(
                job: request.name, queue: request.queue, .noSuchJob(JobID(rawValue: id)))
        }
        switch conflict {
        case .existing(let id): return id
        case .refused(let id):
            throw .notUnique(job: request.name, existing: JobID(rawValue: id))
        case .repeated:
            throw .invalidOption(
                job: request.name,
                "two of them have the same unique key, and refuse each other; none was accepted")
        case nil: return first
        }
    }

    /// Why there was no room, for who does not wait.
    func reached(_ request: EnqueueRequest) -> CapacityReached? {
        switch refusal {
        case .refused(let reached), .wait(_, let reached):
            CapacityReached(reached, queue: request.queue)
        case .again, nil: nil
        }
    }
}

extension OpenStore {
    /// The queue of a job that holds a key until it has started and was not seen to have: it may have ended a moment ago, and
    /// its owner is asked before that is believed.
    func queueToAsk(_ acceptance: Acceptance, _ request: EnqueueRequest) -> UInt32? {
        guard request.jobOptions.unique?.kind == .untilStarted else { return nil }
        let holder: UInt64
        switch acceptance.conflict {
        case .existing(let id), .refused(let id): holder = id
        case .repeated, nil: return nil
        }
        // When it cannot be read, the answer stands as it is.
        return try? read { (reader) throws(StorageError) in
            try Lookup.block(holder, reader, tables)?.queue
        }
    }

    /// The request for jobs of a type; made once when the options leave everything to the type, so that an enqueue neither
    /// checks nor hashes names.
    func request<J: JobType>(
        _ type: J.Type, _ options: EnqueueOptions, codec: PayloadCodec
    ) throws(EnqueueError) -> EnqueueRequest {
        guard options.isDefault else {
            return try EnqueueRequest(EnqueueTarget(type), options, codec: codec, in: self)
        }
        let key = ObjectIdentifier(type)
        if let request = requests.withLock({ $0[key] }) { return request }
        let request = try EnqueueRequest(EnqueueTarget(type), options, codec: codec, in: self)
        requests.withLock { $0[key] = request }
        return request
    }
}

extension EnqueueRequest {
    /// Tells the middleware what became of it, and gives the job's id.
    func told(_ result: Result<Acceptance, EnqueueError>) throws(EnqueueError) -> UInt64 {
        do throws(EnqueueError) {
            let acceptance = try result.get()
            let id = try acceptance.id(self)
            if !isOfMany {
                within?.end(
                    acceptance.conflict == nil
                        ? .accepted(first: JobID(rawValue: id), count: 1)
                        : .existing(JobID(rawValue: id)))
            }
            return id
        } catch {
            if !isOfMany { within?.end(.refused(error)) }
            throw error
        }
    }
}
