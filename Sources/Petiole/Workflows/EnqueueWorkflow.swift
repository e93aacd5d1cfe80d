import PetioleStorage

extension JobStore {
    /// Enqueues a workflow: all of its jobs or none, whatever their number. When this returns, all are on the disk.
    /// - Parameters:
    ///   - name: what the job that stands for the workflow is called, as ``JobType/jobName``.
    ///   - options: of that job; its steps are handed down queue, priority, expiry, tags and headers, unless they say otherwise. A
    ///     unique key is that of the workflow as a whole.
    /// - Throws: ``EnqueueError``; nothing was accepted then.
    /// - Complexity: O(steps); groups of more than 8 MiB are written in several transactions and published by the last.
    @discardableResult
    public func enqueue<Output>(
        _ workflow: Workflow<Output>, name: String = "workflow",
        options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> WorkflowHandle<Output> {
        let builder = WorkflowBuilder(self, name: name, options)
        let end = try builder.inScope(.cancelRest) { () throws(EnqueueError) in
            try workflow.assemble(builder, WorkflowPlace())
        }
        return WorkflowHandle(
            job: JobHandle(store: self, id: try await accept(builder, end), codec: .compact))
    }

    /// Enqueues a group on its own. All as for a workflow.
    @discardableResult
    public func enqueue<Member>(
        _ group: Group<Member>, name: String = "group", options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> GroupHandle<Member> {
        let builder = WorkflowBuilder(self, name: name, options)
        let end = try builder.inScope(.cancelRest) { () throws(EnqueueError) in
            try group.assemble(builder, WorkflowPlace())
        }
        return GroupHandle(store: self, id: try await accept(builder, end), node: end.result)
    }

    /// Enqueues a graph. All as for a workflow.
    /// - Throws: ``EnqueueError/invalidWorkflow(_:)`` also for a cycle, which is written out, a name that no step has, and one that
    ///   two have.
    @discardableResult
    public func enqueue(
        _ graph: Graph, name: String = "graph", options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> WorkflowHandle<NoResult> {
        let builder = WorkflowBuilder(self, name: name, options)
        let end = try graph.assemble(builder)
        return WorkflowHandle(
            job: JobHandle(store: self, id: try await accept(builder, end), codec: .compact))
    }

    /// Enqueues two jobs of which the second is given the result of the first.
    @discardableResult
    public func enqueue<A: CodableJob, B: InputJob>(
        chain first: A, then second: B, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> WorkflowHandle<B.Output> where B.Input == A.Output {
        try await enqueue(Workflow(first).then(second), name: "chain", options: options)
    }

    /// Enqueues three jobs of which each is given the result of the one before.
    @discardableResult
    public func enqueue<A: CodableJob, B: InputJob, C: InputJob>(
        chain first: A, then second: B, then third: C, options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> WorkflowHandle<C.Output>
    where B.Input == A.Output, C.Input == B.Output {
        try await enqueue(
            Workflow(first).then(second).then(third), name: "chain", options: options)
    }

    /// Enqueues four jobs of which each is given the result of the one before. For more see ``Workflow``.
    @discardableResult
    public func enqueue<A: CodableJob, B: InputJob, C: InputJob, D: InputJob>(
        chain first: A, then second: B, then third: C, then fourth: D,
        options: EnqueueOptions = EnqueueOptions()
    ) async throws(EnqueueError) -> WorkflowHandle<D.Output>
    where B.Input == A.Output, C.Input == B.Output, D.Input == C.Output {
        try await enqueue(
            Workflow(first).then(second).then(third).then(fourth), name: "chain", options: options)
    }

    /// Encodes what was put together, stages what is large, and accepts it.
    private func accept(
        _ builder: WorkflowBuilder, _ end: WorkflowEnd
    ) async throws(EnqueueError) -> JobID {
        var written: [UInt32: EnqueueSubmission] = [:]
        var writtenBytes = 0
        var staged: [WorkflowDraft.Staged] = []
        var writers: [StageWriter] = []
        var request: EnqueueRequest?
        do throws(EnqueueError) {
            for group in builder.pendingGroups {
                guard let head = try group.blocks.next(upTo: Self.stageBytes) else { continue }
                if group.blocks.isDone, writtenBytes + head.byteCount < Self.stageBytes {
                    writtenBytes += head.byteCount
                    written[group.node] = head
                    continue
                }
                let writer = try await StageWriter(self, group.blocks.request)
                writers.append(writer)
                var ranges: [IDRange] = []
                var next: EnqueueSubmission? = head
                while let part = next {
                    let count = part.jobCount
                    // While the disk takes one part, the next is encoded.
                    let handedOver = Handover(part)
                    async let added = writer.added(handedOver)
                    let following = Result { () throws(EnqueueError) in
                        try group.blocks.next(upTo: Self.stageBytes)
                    }
                    let range = IDRange(first: try await added.get(), count: count)
                    if let last = ranges.indices.last, ranges[last].end == range.first {
                        ranges[last].count += count
                    } else {
                        ranges.append(range)
                    }
                    next = try following.get()
                }
                staged.append(
                    WorkflowDraft.Staged(
                        node: group.node, stage: writer.number, ranges: ranges))
            }
            let (whole, submission) = try builder.submission(
                end, written: written, staged: staged)
            request = whole
            let acceptance = try await untilSettled(whole, Handover(submission))
            let id = try acceptance.id(whole)
            if acceptance.conflict != nil { for writer in writers { await writer.giveUp() } }
            whole.within?.end(
                acceptance.conflict == nil
                    ? .accepted(first: JobID(rawValue: id), count: 1)
                    : .existing(JobID(rawValue: id)))
            return withExtendedLifetime(writers) { JobID(rawValue: id) }
        } catch {
            for writer in writers { await writer.giveUp() }
            request?.within?.end(.refused(error))
            throw error
        }
    }
}

extension WorkflowBuilder {
    /// The submission of what an attempt enqueues with its success: all of it in one transaction.
    func submissionAtOnce(_ end: WorkflowEnd) throws(EnqueueError) -> EnqueueSubmission {
        var written: [UInt32: EnqueueSubmission] = [:]
        for group in pendingGroups {
            guard let jobs = try group.blocks.next(upTo: JobStore.stageBytes) else { continue }
            guard group.blocks.isDone else {
                throw .invalidWorkflow(
                    """
                    a group of it has more than \(JobStore.stageBytes >> 20) MiB, and what an attempt enqueues goes into one transaction
                    let each of its jobs do more, or let the steps of the workflow give way to others
                    """)
            }
            written[group.node] = jobs
        }
        let (request, submission) = try submission(end, written: written, staged: [])
        request.within?.end(.handedOver)
        return submission
    }
}

// MARK: From inside a job

extension JobContext {
    /// Enqueues a workflow with this attempt's success: it exists if and only if the success is recorded.
    /// - Throws: as ``enqueue(_:options:)``; ``EnqueueError/invalidWorkflow(_:)``, also in a job that runs in a child process.
    public func enqueue<Output>(
        _ workflow: Workflow<Output>, name: String = "workflow",
        options: EnqueueOptions = EnqueueOptions()
    ) throws {
        let submission = try submission(workflow, name, options, nested: false)
        try effects.add(job: id.rawValue, attempt: attempt, bytes: submission.byteCount) {
            $0.spawned.append(submission)
            return submission.byteCount
        }
    }

    /// Lets a workflow take this job's place, with this attempt's success: the job has not ended then, but ends as the workflow
    /// does and with its result, whatever this attempt returns. If the attempt fails, no job of the workflow exists.
    /// - Throws: as ``enqueue(_:name:options:)``; ``EnqueueError/invalidWorkflow(_:)`` beyond ``WorkflowLimits/nesting``, and for a
    ///   second one of the same attempt.
    public func giveWay<Output>(
        to workflow: Workflow<Output>, options: EnqueueOptions = EnqueueOptions()
    ) throws {
        let submission = try submission(workflow, "workflow", options, nested: true)
        var isFirst = true
        try effects.add(job: id.rawValue, attempt: attempt, bytes: submission.byteCount) {
            isFirst = $0.replacement == nil
            if isFirst { $0.replacement = submission }
            return isFirst ? submission.byteCount : 0
        }
        guard isFirst else {
            throw EnqueueError.invalidWorkflow(
                "job \(id) gives way to another already; one attempt to one workflow")
        }
    }

    private func submission<Output>(
        _ workflow: Workflow<Output>, _ name: String, _ options: EnqueueOptions, nested: Bool
    ) throws -> EnqueueSubmission {
        if ChildServer.isServing {
            throw EnqueueError.invalidWorkflow(
                "job \(id) runs in a child process; let a job on a thread enqueue workflows")
        }
        var depth = 0
        if nested {
            depth = try store.workflowDepth(of: id, member)
            guard depth < WorkflowLimits.nesting else {
                throw EnqueueError.invalidWorkflow(
                    "job \(id) lies in \(depth) workflows, one in the other; \(WorkflowLimits.nesting) are allowed"
                )
            }
        }
        let builder = WorkflowBuilder(store, name: name, options, by: self)
        let end = try builder.inScope(.cancelRest) { () throws(EnqueueError) in
            try workflow.assemble(builder, WorkflowPlace())
        }
        let submission = try builder.submissionAtOnce(end)
        submission.workflow?.depth = UInt8(depth)
        return submission
    }
}

extension JobStore {
    /// How many workflows a job lies in, one in the other.
    fileprivate func workflowDepth(
        of id: JobID, _ member: WorkflowMember?
    ) throws(StoreError) -> Int {
        guard let member else { return 0 }
        let open = open
        return try open.read { (reader) throws(StorageError) in
            try WorkflowRows.read(member.token, reader, open.tables).map { Int($0.depth) + 1 } ?? 0
        }
    }
}
