import PetioleStorage

extension JobStore {
    /// Accepts what `next` writes, job by job: the extras of each, then its payload. It returns the length of the extras, nil
    /// after the last job. No job says anything for itself.
    func acceptMany<Output>(
        _ request: EnqueueRequest, expecting: Int? = nil,
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) async throws(EnqueueError) -> EnqueuedJobs<Output> {
        try await acceptMany(
            request, expecting: expecting, saysOwn: false,
            ownOfNext: { () throws(EnqueueError) in OwnOptions() }, next: next)
    }

    /// The same.
    /// - Parameter ownOfNext: what the job that comes next says for itself; asked before it is written.
    func acceptMany<Output>(
        _ request: EnqueueRequest, expecting: Int? = nil, saysOwn: Bool = true,
        ownOfNext: () throws(EnqueueError) -> OwnOptions,
        next: (inout ByteWriter) throws(CodecError) -> Int?
    ) async throws(EnqueueError) -> EnqueuedJobs<Output> {
        var request = request
        request.saysOwn = saysOwn
        guard let within = request.within else {
            return try await acceptAll(request, expecting: expecting, ownOfNext, next)
        }
        request.isOfMany = true
        do throws(EnqueueError) {
            let jobs: EnqueuedJobs<Output> = try await acceptAll(
                request, expecting: expecting, ownOfNext, next)
            within.end(.accepted(first: jobs.firstAccepted, count: jobs.acceptedCount))
            return jobs
        } catch {
            within.end(.refused(error))
            throw error
        }
    }

    private func acceptAll<Output>(
        _ request: EnqueueRequest, expecting: Int?,
        _ ownOfNext: () throws(EnqueueError) -> OwnOptions,
        _ next: (inout ByteWriter) throws(CodecError) -> Int?
    ) async throws(EnqueueError) -> EnqueuedJobs<Output> {
        if request.jobOptions.unique != nil {
            throw .invalidOption(
                job: request.name,
                "the unique key in the options would be that of all of them; many at once have one each, by their type's `uniqueness`"
            )
        }
        var head: EnqueueSubmission?
        var bytes = 0
        var stage: StageWriter?
        var load = JobLoad()
        let keys = UniqueKeyList()
        while true {
            var block = JobBlockBuilder(
                jobs: min(expecting ?? 512, 2_048), bytes: StoreFormat.blockLimit)
            let isLast: Bool
            do throws(EnqueueError) {
                isLast = try request.fill(&block, keys, ownOfNext, next)
            } catch {
                // What was written before goes with it.
                await stage?.giveUp()
                throw error
            }
            bytes += EnqueueSubmission.add(block, request, to: &head)
            if isLast { break }
            if !keys.isEmpty, bytes + keys.rowBytes >= Self.stageBytes {
                await stage?.giveUp()
                throw Self.tooManyKeys(request)
            }
            if !request.predecessors.isEmpty, let head {
                let rows = Int(clamping: head.jobCount) * request.predecessors.count
                guard rows <= Predecessor.rowLimit, bytes < Self.stageBytes else {
                    throw .invalidOption(
                        job: request.name,
                        "they are to come after others, and are more than one transaction writes; enqueue them in parts"
                    )
                }
            }
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
            if !keys.isEmpty {
                await stage.giveUp()
                throw Self.tooManyKeys(request)
            }
            if let head {
                load += head.load
                try await stage.add(head)
            }
            return EnqueuedJobs(
                store: self, ranges: try await stage.publish(load), codec: request.codec)
        }
        guard let head else { return EnqueuedJobs(store: self, ranges: [], codec: request.codec) }
        let count = head.jobCount
        if !keys.isEmpty {
            head.keys = keys
            if keys.holdsUntilStarted, let queue = request.target.resolved?.queue {
                // What ended before this call began is known to have ended, when its owner answers.
                _ = await open.hasRecordedWhatEnded(of: queue)
            }
        }
        let acceptance = try await untilSettled(request, Handover(head))
        return EnqueuedJobs(
            store: self, first: try acceptance.id(request), count: count,
            existing: acceptance.existing, codec: request.codec)
    }

    private static func tooManyKeys(_ request: EnqueueRequest) -> EnqueueError {
        .invalidOption(
            job: request.name,
            """
            they have unique keys, and are more than one transaction decides about
            enqueue them in parts of less than \(stageBytes >> 20) MiB, 10,000 jobs say; of a part that is enqueued again, those that are there are given back
            """)
    }
}
