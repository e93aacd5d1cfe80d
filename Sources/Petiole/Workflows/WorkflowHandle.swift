import PetioleStorage

/// A workflow that was enqueued: the handle of the job that stands for it, which ends when the workflow has.
public struct WorkflowHandle<Output: Codable & Sendable>: Sendable {
    /// The job that stands for the workflow. What is done with a job can be done with it: awaiting, cancelling, requeueing.
    public let job: JobHandle<Output>
    /// The store.
    public var store: JobStore { job.store }
    /// The id of that job.
    public var id: JobID { job.id }

    /// Waits for the end, and gives the result of the last step.
    /// - Throws: as ``JobHandle/result``.
    public var result: Output {
        get async throws { try await job.result }
    }

    /// How far it is.
    /// - Throws: ``StoreError/noSuchJob(_:)``.
    public var summary: WorkflowSummary {
        get throws(StoreError) { try store.workflow(id) }
    }
}

/// A group that was enqueued on its own.
public struct GroupHandle<Member: Codable & Sendable>: Sendable {
    /// The store.
    public let store: JobStore
    /// The job that stands for the group.
    public let id: JobID
    let node: UInt32

    /// How far it is, its members counted by state.
    /// - Throws: ``StoreError/noSuchJob(_:)``.
    public var summary: WorkflowSummary {
        get throws(StoreError) { try store.workflow(id) }
    }

    /// Waits until the group has ended.
    /// - Returns: how: it has failed when a member has.
    /// - Throws: as ``JobStore/waitForEnd(of:)``.
    public func waitForAll() async throws -> Outcome { try await store.waitForEnd(of: id) }

    /// The members' results in their order, each as soon as it and those before it have ended, read from the store while they are
    /// gone through.
    public var results: GroupResults<Member> { GroupResults(store: store, id: id, node: node) }
}

/// The results of a group's members, in their order.
public struct GroupResults<Member: Codable & Sendable>: AsyncSequence, Sendable {
    /// A result, or why there is none.
    public typealias Element = Result<Member, JobError>
    let store: JobStore
    let id: JobID
    let node: UInt32

    /// Goes through them from the first on.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(store: store, id: id, node: node)
    }

    /// Waits for each member in turn.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let store: JobStore
        private let id: JobID
        private let node: UInt32
        private var ranges: [IDRange]?

        init(store: JobStore, id: JobID, node: UInt32) {
            self.store = store
            self.id = id
            self.node = node
        }

        /// The next result; nil after the last.
        /// - Throws: ``StoreError``, and as ``JobStore/waitForEnd(of:)``.
        public mutating func next() async throws -> Result<Member, JobError>? {
            if ranges == nil { ranges = try store.jobs(of: id, node: node).reversed() }
            guard let range = ranges!.last else { return nil }
            let handle = JobHandle<Member>(
                store: store, id: JobID(rawValue: range.first), codec: .compact)
            let result: Result<Member, JobError>
            do {
                result = .success(try await handle.result)
            } catch let error as JobError {
                result = .failure(error)
            }
            // Not before: who was cancelled and asks again is given the same.
            if range.count > 1 {
                ranges![ranges!.count - 1] = IDRange(
                    first: range.first + 1, count: range.count - 1)
            } else {
                ranges!.removeLast()
            }
            return result
        }
    }
}

extension JobStore {
    /// The jobs of a workflow's node.
    func jobs(of id: JobID, node: UInt32) throws(StoreError) -> [IDRange] {
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> [IDRange]? in
            guard let token = try WorkflowRows.readToken(of: id.rawValue, reader, open.tables),
                let view = try WorkflowView(token, reader, open)
            else { return nil }
            var ranges: [IDRange] = []
            try view.addJobs(of: node, to: &ranges)
            return ranges
        }
        guard let found else { throw .noSuchJob(id) }
        return found
    }
}
