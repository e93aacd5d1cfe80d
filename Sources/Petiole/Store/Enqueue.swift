import PetioleStorage
import Synchronization

// How producers' jobs get into blocks and to the writer. Everything that can be wrong with them is found before: the
// transaction is never touched by a request that cannot be granted.

extension JobStore {
    // MARK: One

    /// Enqueues a job. When this returns, the job is on the disk.
    /// - Returns: the job's handle, for its state and result.
    /// - Throws: ``EnqueueError``; the job was not accepted then.
    /// - Complexity: O(log *n*) in the jobs kept, and one commit, which it shares with whoever enqueues at the same time.
    @discardableResult
    public func enqueue<J: CodableJob>(
        _ job: J, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> JobHandle<J.Output> {
        let request = try request(job, options)
        let block = try request.block { (writer) throws(CodecError) in
            try J.codec.encode(job, into: &writer)
        }
        return JobHandle(store: self, id: try await accept(request, block), codec: J.codec)
    }

    /// Enqueues a raw job whose payload is the bytes given. When this returns, the job is on the disk.
    /// - Throws: ``EnqueueError``; the job was not accepted then.
    @discardableResult
    public func enqueue<J: RawJob>(
        _ type: J.Type, payload: [UInt8], options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> JobHandle<[UInt8]> {
        let request = try request(J.self, options, codec: .raw)
        let block = try request.block { (writer) throws(CodecError) in
            payload.withUnsafeBytes { writer.append(contentsOf: $0) }
        }
        return JobHandle(store: self, id: try await accept(request, block), codec: .raw)
    }

    /// Enqueues a job by name, without its type's code: a closure's, or one that another program runs. Whether anybody knows
    /// the name is found out when the job is due.
    /// - Parameter output: what the result is read as.
    /// - Throws: ``EnqueueError``; the job was not accepted then.
    @discardableResult
    public func enqueue<Payload: Encodable & Sendable, Output: Codable & Sendable>(
        name: String, payload: Payload, output: Output.Type = NoResult.self,
        codec: PayloadCodec = .compact, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> JobHandle<Output> {
        let request = try request(name: name, options, codec: codec)
        let block = try request.block { (writer) throws(CodecError) in
            try codec.encode(payload, into: &writer)
        }
        return JobHandle(store: self, id: try await accept(request, block), codec: codec)
    }

    /// Enqueues a job by name, with a payload of JSON text, which is stored in the compact form.
    /// - Throws: ``EnqueueError``, also for text that is not JSON; the job was not accepted then.
    @discardableResult
    public func enqueue(
        name: String, json: String, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> JobID {
        let request = try request(name: name, options, codec: .compact)
        return try await accept(request, request.block(json: json))
    }

    private func accept(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder
    ) async throws(EnqueueError) -> JobID {
        let result: Result<Acceptance, EnqueueError>
        do throws(EnqueueError) {
            result = .success(try await settled(request, block))
        } catch { result = .failure(error) }
        return JobID(rawValue: try request.told(result))
    }

    private func settled(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder
    ) async throws(EnqueueError) -> Acceptance {
        let submission = Handover(EnqueueSubmission(request, block))
        var acceptance = try await untilSettled(request, submission)
        if let queue = open.queueToAsk(acceptance, request) {
            _ = await open.hasRecordedWhatEnded(of: queue)
            acceptance = try await untilSettled(request, submission)
        }
        if let replaced = acceptance.replaced {
            // It is marked: whoever meets it ends it, if this fails.
            _ = try? await cancel(JobID(rawValue: replaced))
        }
        return acceptance
    }

    // MARK: Buffered

    /// Hands a job over without waiting for the disk.
    /// - Throws: ``EnqueueError`` for what can be told at once; the rest is told by ``PendingJob/accepted`` and ``flush()``.
    /// - Complexity: O(1); no system call while the writer is awake.
    @discardableResult
    public func enqueue<J: CodableJob>(
        _ job: J, options: EnqueueOptions = EnqueueOptions(), durability: BufferedDurability
    ) throws(EnqueueError) -> PendingJob<J.Output> {
        let request = try request(job, options)
        let block = try request.block { (writer) throws(CodecError) in
            try J.codec.encode(job, into: &writer)
        }
        return try handOver(request, block, durability)
    }

    /// Hands a raw job over without waiting for the disk. Errors and cost are those of the one above.
    @discardableResult
    public func enqueue<J: RawJob>(
        _ type: J.Type, payload: [UInt8], options: EnqueueOptions = EnqueueOptions(),
        durability: BufferedDurability
    ) throws(EnqueueError) -> PendingJob<[UInt8]> {
        let request = try request(J.self, options, codec: .raw)
        let block = try request.block { (writer) throws(CodecError) in
            payload.withUnsafeBytes { writer.append(contentsOf: $0) }
        }
        return try handOver(request, block, durability)
    }

    /// 64 MiB of payloads may wait for the disk.
    static let bufferBound = 64 << 20

    private func handOver<Output>(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder,
        _ durability: BufferedDurability
    ) throws(EnqueueError) -> PendingJob<Output> {
        let pending = PendingAcceptance(request)
        let open = open
        let submission = EnqueueSubmission(request, block)
        submission.reply = { [unowned submission] result in
            if case .success(let acceptance) = result, case .again? = acceptance.refusal {
                submission.isBuffered = false
                return open.writer.submit(submission)
            }
            let outcome = result.mapError { open.storeError($0) }.flatMap { acceptance in
                // It does not wait: who flushes would wait with it.
                acceptance.reached(request).map { .failure(.noRoom($0)) } ?? .success(acceptance)
            }
            if case .failure(let error) = outcome { open.buffered.failed(error) }
            pending.settle(outcome)
        }
        submission.isBuffered = true
        let bytes = submission.byteCount
        while true {
            let turn = open.writer.spaceTurn
            if open.writer.trySubmit(submission, byteCount: bytes, byteBound: Self.bufferBound) {
                request.within?.end(.handedOver)
                return PendingJob(store: self, pending: pending, codec: request.codec)
            }
            switch durability.whenFull {
            case .fail:
                request.within?.end(.refused(.bufferFull))
                throw .bufferFull
            case .wait: open.writer.waitForSpace(since: turn)
            }
        }
    }

    /// Waits until everything handed over before is on the disk.
    /// - Throws: ``FlushError`` with the first error and the number of jobs refused since the last flush.
    public func flush() async throws(FlushError) {
        do throws(StoreError) {
            try await open.perform { (_, _) throws(StorageError) in }
        } catch {
            throw FlushError(first: error, count: 0)
        }
        try throwRefused()
    }

    /// Tells once of what was refused since the last flush.
    func throwRefused() throws(FlushError) {
        if let failure = open.buffered.take() {
            throw FlushError(first: failure.first, count: failure.count)
        }
    }

    // MARK: Many

    /// Enqueues jobs all or nothing, whatever their number: when this returns, all are on the disk.
    ///
    /// What is larger than one transaction (16 MiB) is staged: written in several, and published by the last.
    /// - Returns: their handles, a collection that takes no memory for each.
    /// - Throws: ``EnqueueError``; none of them was accepted then.
    @discardableResult
    public func enqueue<Jobs: Sequence>(
        contentsOf jobs: Jobs, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> EnqueuedJobs<Jobs.Element.Output>
    where Jobs.Element: CodableJob {
        typealias Element = Jobs.Element
        let request = try request(Element.self, options, codec: Element.codec)
        var iterator = jobs.makeIterator()
        var hasKey = false
        var next: Element?
        let keyOfNext: () throws(EnqueueError) -> String? = { () throws(EnqueueError) in
            next = iterator.next()
            return options.limitKey == nil ? next?.limitKey : nil
        }
        let accepted: EnqueuedJobs<Element.Output>
        do throws(EnqueueError) {
            accepted = try await acceptMany(request, keyOfNext: keyOfNext) {
                (writer) throws(CodecError) in
                guard let job = next else { return nil }
                if job.uniqueness != nil {
                    hasKey = true
                    throw CodecError.refused(path: "", reason: "it has a unique key")
                }
                try Element.codec.encode(job, into: &writer)
                return 0
            }
        } catch {
            throw hasKey ? Self.manyUnique(request.name) : error
        }
        return accepted
    }

    private static func manyUnique(_ name: String) -> EnqueueError {
        .invalidOption(
            job: name, "many at once have no unique keys; jobs with one are enqueued one by one")
    }

    /// Enqueues raw jobs all or nothing, whatever their number: when this returns, all are on the disk.
    /// - Throws: ``EnqueueError``; none of them was accepted then.
    /// - Parameter payloads: their bytes; a sequence may lend the same array changed, it is copied before the next is asked for.
    @discardableResult
    public func enqueue<J: RawJob, Payloads: Sequence>(
        _ type: J.Type, payloads: Payloads, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> EnqueuedJobs<[UInt8]> where Payloads.Element == [UInt8] {
        let request = try request(J.self, options, codec: .raw)
        var iterator = payloads.makeIterator()
        return try await acceptMany(request) { (writer) throws(CodecError) in
            guard let payload = iterator.next() else { return nil }
            payload.withUnsafeBytes { writer.append(contentsOf: $0) }
            return 0
        }
    }

    /// Enqueues raw jobs all or nothing, whose payloads a closure writes: nothing is allocated for each.
    /// - Parameters:
    ///   - count: how many, 0 or more.
    ///   - write: writes the payload of the job at an index.
    @discardableResult
    public func enqueue<J: RawJob>(
        _ type: J.Type, count: Int, options: EnqueueOptions = EnqueueOptions(),
        _ write: (Int, inout PayloadBytes) -> Void
    ) async throws(EnqueueError) -> EnqueuedJobs<[UInt8]> {
        let request = try request(J.self, options, codec: .raw)
        var index = 0
        return try await acceptMany(request, expecting: count) { (writer) throws(CodecError) in
            guard index < count else { return nil }
            PayloadBytes.lend(&writer) { write(index, &$0) }
            index += 1
            return 0
        }
    }

    /// Accepts what `next` writes, job by job: the extras of each, then its payload. It returns the length of the extras, nil
    /// after the last job.
    /// - Parameter keyOfNext: the limit key of the job that comes next, where it has one of its own. Asked before it is written.
    func acceptMany<Output>(
        _ request: EnqueueRequest, expecting: Int? = nil,
        keyOfNext: () throws(EnqueueError) -> String? = { () throws(EnqueueError) in nil },
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) async throws(EnqueueError) -> EnqueuedJobs<Output> {
        guard let within = request.within else {
            return try await acceptAll(request, expecting: expecting, keyOfNext: keyOfNext, next)
        }
        var request = request
        request.isOfMany = true
        do throws(EnqueueError) {
            let jobs: EnqueuedJobs<Output> = try await acceptAll(
                request, expecting: expecting, keyOfNext: keyOfNext, next)
            within.end(.accepted(first: jobs.first?.id, count: jobs.count))
            return jobs
        } catch {
            within.end(.refused(error))
            throw error
        }
    }

    private func acceptAll<Output>(
        _ request: EnqueueRequest, expecting: Int?,
        keyOfNext: () throws(EnqueueError) -> String?,
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) async throws(EnqueueError) -> EnqueuedJobs<Output> {
        if request.jobOptions.unique != nil { throw Self.manyUnique(request.name) }
        var head: EnqueueSubmission?
        var bytes = 0
        var stage: StageWriter?
        var load = JobLoad()
        while true {
            var block = JobBlockBuilder(
                jobs: min(expecting ?? 512, 2_048), bytes: StoreFormat.blockLimit)
            let isLast: Bool
            do throws(EnqueueError) {
                isLast = try request.fill(&block, keyOfNext, next)
            } catch {
                // What was written before goes with it.
                await stage?.giveUp()
                throw error
            }
            // A payload that is too large for the block that it came into lies alone.
            var alone = JobBlockBuilder(jobs: 1)
            if block.count > 1, block.size > StoreFormat.blockLimit { block.moveLast(to: &alone) }
            for part in [EnqueueSubmission(request, block), EnqueueSubmission(request, alone)]
            where part.block.count > 0 {
                bytes += part.block.size
                if let head { head.more.append(part) } else { head = part }
            }
            if isLast { break }
            // More than one transaction holds: from here on it is staged.
            if bytes >= Self.stageBytes, let full = head {
                if stage == nil { stage = try await StageWriter(self, request) }
                load += full.load
                do throws(EnqueueError) {
                    try refuseWhatNeverFits(request, load)
                } catch {
                    await stage!.giveUp()
                    throw error
                }
                try await stage!.add(full)
                head = nil
                bytes = 0
            }
        }
        if let stage {
            if let head {
                load += head.load
                try await stage.add(head)
            }
            return EnqueuedJobs(
                store: self, ranges: try await stage.publish(load), codec: request.codec)
        }
        guard let head else { return EnqueuedJobs(store: self, ranges: [], codec: request.codec) }
        let count = head.jobCount
        let acceptance = try await untilSettled(request, Handover(head))
        let first = try acceptance.id(request)
        return EnqueuedJobs(store: self, ranges: [(first, count)], codec: request.codec)
    }

    /// 8 MiB: what one submission may bring into a transaction of 16.
    static let stageBytes = 8 << 20

    var payloadLimit: Int { Int(open.settings.payloadLimit) }
}

/// Hands an object from one thread to another, once: the giver does not touch it again.
struct Handover<Value>: @unchecked Sendable {
    // What guards it: the giver lets go of the value when it hands it over.
    let value: Value
    init(_ value: Value) { self.value = value }
}

/// Where the payload of a raw job is written, see ``JobStore/enqueue(_:count:options:_:)``.
@frozen public struct PayloadBytes: ~Copyable {
    @usableFromInline var writer: ByteWriter

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

    private init(_ writer: consuming ByteWriter) { self.writer = writer }

    static func lend(_ writer: inout ByteWriter, _ body: (inout PayloadBytes) -> Void) {
        var taken = PayloadBytes(writer)
        body(&taken)
        writer = taken.giveBack()
    }

    private consuming func giveBack() -> ByteWriter { writer }
}

/// An enqueue that was found to be grantable: names checked, options resolved.
struct EnqueueRequest: Sendable {
    let target: JobTarget
    let codec: PayloadCodec
    let limit: Int
    let jobOptions: JobOptions
    let onConflict: Uniqueness.Conflict
    let whenFull: CapacityRecord.WhenFull?
    /// The middleware that it is made within; nil: none.
    var within: EnqueueWithin?
    /// Whether it is told the end by who fills block after block with it.
    var isOfMany = false
    private let optionBytes: [UInt8]
    private let meta: JobBlock.Meta
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

    /// A block of the one job whose payload is written.
    func block(
        _ write: (inout ByteWriter) throws(CodecError) -> Void
    ) throws(EnqueueError) -> JobBlockBuilder {
        var block = JobBlockBuilder(jobs: 1, bytes: 128)
        try add(to: &block) { (writer) throws(CodecError) in
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

    /// Fills a block. Returns whether there are no more jobs.
    func fill(
        _ block: inout JobBlockBuilder, _ keyOfNext: () throws(EnqueueError) -> String?,
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) throws(EnqueueError) -> Bool {
        while true {
            var isLast = false
            let before = block.count
            let key = try keyOfNext()
            try add(to: &block, key: key) { (writer) throws(CodecError) in
                guard let extras = try next(&writer) else {
                    isLast = true
                    return 0
                }
                return extras
            }
            if isLast {
                block.dropLast()
                return true
            }
            // Room for another like the last: blocks end a little before the bound rather than after it.
            let used = block.size
            if used + used / Int(block.count) > StoreFormat.blockLimit || before > 60_000 {
                return false
            }
        }
    }

    private func refusal(_ error: EnqueueError) -> EnqueueError {
        if !isOfMany { within?.end(.refused(error)) }
        return error
    }

    private func add(
        to block: inout JobBlockBuilder, key: String? = nil,
        _ write: (inout ByteWriter) throws(CodecError) -> Int
    ) throws(EnqueueError) {
        let before = block.size
        var optionBytes = optionBytes
        var meta = meta
        if let key {
            if let problem = JobLimits.problem(ofKey: key) {
                throw .invalidOption(job: name, problem)
            }
            var options = jobOptions
            options.limitKey = key
            optionBytes = options.bytes
            meta.flags |= JobBlock.hasOptions | JobBlock.hasLimitKey
        }
        do throws(CodecError) {
            if optionBytes.isEmpty, sealing == nil {
                try block.append(meta: meta, write)
            } else {
                try block.append(meta: meta) { (writer) throws(CodecError) in
                    let start = writer.count
                    optionBytes.withUnsafeBytes { writer.append(contentsOf: $0) }
                    let extras = optionBytes.count + (try write(&writer))
                    if let sealing {
                        sealing.cipher.seal(
                            &writer, from: start + extras, codec: codec.id, sealing.purpose)
                    }
                    return extras
                }
            }
        } catch {
            throw refusal(.unencodable(job: name, reason: error.description))
        }
        let bytes = block.size - before - JobBlock.entrySize
        if bytes > limit {
            throw refusal(.payloadTooLarge(job: name, bytes: bytes, limit: limit))
        }
    }
}

extension Acceptance {
    /// The first of the jobs that were accepted, or the one that was there already.
    func id(_ request: EnqueueRequest) throws(EnqueueError) -> UInt64 {
        switch conflict {
        case .existing(let id): return id
        case .refused(let id):
            throw .notUnique(job: request.name, existing: JobID(rawValue: id))
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
        case nil: return nil
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
