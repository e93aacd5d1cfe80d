import PetioleStorage

// Enqueuing from code that is not asynchronous: from a thread, or from a ``Job`` while it runs. Each call blocks its thread
// until the job is on the disk; when nobody else writes, it commits there and then, and no other thread has to wake up.

extension JobStore {
    /// Enqueues a job, for code that is not asynchronous. When this returns, the job is on the disk.
    ///
    /// It blocks its thread for one commit: some 200 µs on a solid-state disk, as long as the disk takes on others.
    /// - Returns: the job's handle, for its state and result.
    /// - Throws: ``EnqueueError``; the job was not accepted then.
    /// - Complexity: O(log *n*) in the jobs kept, and one commit, which it shares with whoever enqueues at the same time.
    @discardableResult
    public func enqueueBlocking<J: CodableJob>(
        _ job: J, options: EnqueueOptions = EnqueueOptions()
    ) throws(EnqueueError) -> JobHandle<J.Output> {
        let request = try request(job, options)
        let block = try request.block { (writer) throws(CodecError) in
            try J.codec.encode(job, into: &writer)
        }
        return JobHandle(store: self, id: try acceptBlocking(request, block), codec: J.codec)
    }

    /// Enqueues a raw job whose payload is the bytes given, for code that is not asynchronous. Errors and cost are those of
    /// the one above.
    @discardableResult
    public func enqueueBlocking<J: RawJob>(
        _ type: J.Type, payload: [UInt8], options: EnqueueOptions = EnqueueOptions()
    ) throws(EnqueueError) -> JobHandle<[UInt8]> {
        let request = try request(J.self, options, codec: .raw)
        let block = try request.block { (writer) throws(CodecError) in
            payload.withUnsafeBytes { writer.append(contentsOf: $0) }
        }
        return JobHandle(store: self, id: try acceptBlocking(request, block), codec: .raw)
    }

    /// Enqueues a job by name, without its type's code, for code that is not asynchronous. Errors and cost are those of the
    /// one above.
    /// - Parameter output: what the result is read as.
    @discardableResult
    public func enqueueBlocking<Payload: Encodable & Sendable, Output: Codable & Sendable>(
        name: String, payload: Payload, output: Output.Type = NoResult.self,
        codec: PayloadCodec = .compact, options: EnqueueOptions = EnqueueOptions()
    ) throws(EnqueueError) -> JobHandle<Output> {
        let request = try request(name: name, options, codec: codec)
        let block = try request.block { (writer) throws(CodecError) in
            try codec.encode(payload, into: &writer)
        }
        return JobHandle(store: self, id: try acceptBlocking(request, block), codec: codec)
    }

    /// Enqueues a job by name, with a payload of JSON text, for code that is not asynchronous.
    /// - Throws: ``EnqueueError``, also for text that is not JSON; the job was not accepted then.
    @discardableResult
    public func enqueueBlocking(
        name: String, json: String, options: EnqueueOptions = EnqueueOptions()
    ) throws(EnqueueError) -> JobID {
        let request = try request(name: name, options, codec: .compact)
        return try acceptBlocking(request, request.block(json: json))
    }

    /// Waits until everything handed over before is on the disk, for code that is not asynchronous: with
    /// `durability: .buffered` before it, many jobs cost few commits.
    /// - Throws: ``FlushError`` with the first error and the number of jobs refused since the last flush.
    public func flushBlocking() throws(FlushError) {
        do throws(StoreError) {
            // As ``flush()``.
            repeat {
                try open.performBlocking { (_, _) throws(StorageError) in }
            } while open.writer.hasLate
        } catch {
            throw FlushError(first: error, count: 0)
        }
        try throwRefused()
    }

    private func acceptBlocking(
        _ request: EnqueueRequest, _ block: consuming JobBlockBuilder
    ) throws(EnqueueError) -> JobID {
        let submission = EnqueueSubmission(request, block)
        let result: Result<Acceptance, EnqueueError>
        do throws(EnqueueError) {
            var acceptance = try untilSettledBlocking(request, submission)
            if let queue = open.queueToAsk(acceptance, request), open.waitForWhatEnded(of: queue) {
                acceptance = try untilSettledBlocking(request, submission)
            }
            if let replaced = acceptance.replaced { ReplacedJobs.end([replaced], open) }
            result = .success(acceptance)
        } catch { result = .failure(error) }
        return JobID(rawValue: try request.told(result))
    }
}
