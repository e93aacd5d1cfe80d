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
                // Sequentially consistent, both: as those of the writer.
                if submission.isBuffered {
                    open.writer.late.add(1, ordering: .sequentiallyConsistent)
                }
                submission.isBuffered = false
                return open.writer.submit(submission)
            }
            let outcome = result.mapError { open.storeError($0) }.flatMap { acceptance in
                // It does not wait: who flushes would wait with it.
                acceptance.reached(request).map { .failure(.noRoom($0)) } ?? .success(acceptance)
            }
            if case .failure(let error) = outcome { open.buffered.failed(error) }
            if case .success(let acceptance) = outcome, let replaced = acceptance.replaced {
                open.replaced.add(replaced, open)
            }
            if !submission.isBuffered {
                // Sequentially consistent: as above, and behind what was refused.
                open.writer.late.subtract(1, ordering: .sequentiallyConsistent)
            }
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
            // Behind an operation is what came before it, but for what is late: that is told behind one that comes later.
            repeat {
                try await open.perform { (_, _) throws(StorageError) in }
            } while open.writer.hasLate
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
    /// What is larger than one transaction (16 MiB) is staged: written in several, and published by the last. Jobs with a
    /// ``CodableJob/uniqueness`` are decided about in one: about 25,000 of them at a time. Of those whose key is held the handle
    /// is that of the job that holds it, or all are refused, as their rule says; none replaces another.
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
        var next: Element?
        return try await acceptMany(request) { () throws(EnqueueError) in
            next = iterator.next()
            return OwnOptions(
                limitKey: options.limitKey == nil ? next?.limitKey : nil, unique: next?.uniqueness)
        } next: { (writer) throws(CodecError) in
            guard let job = next else { return nil }
            try Element.codec.encode(job, into: &writer)
            return 0
        }
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
    ///   - uniqueness: the rule of the job at an index, see ``Uniqueness``; asked in order, once each. Bounds as those of
    ///     ``enqueue(contentsOf:options:)``.
    ///   - write: writes the payload of the job at an index.
    /// - Throws: ``EnqueueError``; none of them was accepted then.
    @discardableResult
    public func enqueue<J: RawJob>(
        _ type: J.Type, count: Int, options: EnqueueOptions = EnqueueOptions(),
        uniqueness: ((Int) -> Uniqueness?)? = nil,
        _ write: (Int, inout PayloadBytes) -> Void
    ) async throws(EnqueueError) -> EnqueuedJobs<[UInt8]> {
        let request = try request(J.self, options, codec: .raw)
        guard let uniqueness else {
            var index = 0
            return try await acceptMany(request, expecting: count) { (writer) throws(CodecError) in
                guard index < count else { return nil }
                PayloadBytes.lend(&writer) { write(index, &$0) }
                index += 1
                return 0
            }
        }
        var asked = 0
        var index = 0
        return try await acceptMany(request, expecting: count) { () throws(EnqueueError) in
            defer { asked += 1 }
            return OwnOptions(unique: asked < count ? uniqueness(asked) : nil)
        } next: { (writer) throws(CodecError) in
            guard index < count else { return nil }
            PayloadBytes.lend(&writer) { write(index, &$0) }
            index += 1
            return 0
        }
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
