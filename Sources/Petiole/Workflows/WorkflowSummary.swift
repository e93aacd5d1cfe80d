import PetioleStorage

/// A workflow, as it is at one instant.
public struct WorkflowSummary: Sendable, Hashable {
    /// How much of the work is done, in the weights of its steps.
    public struct Progress: Sendable, Hashable {
        /// Of jobs that have ended.
        public let done: Int
        /// Of all jobs.
        public let total: Int
    }
    /// The job that stands for it.
    public let id: JobID
    /// That job's name.
    public let name: String
    /// Its state: ``JobState/awaiting(workflow:)`` as long as the workflow has not ended. One that is a dead letter is stalled: a
    /// requeue of it, or of the step that is one, carries the workflow on from there.
    public let state: JobState
    /// When it was accepted.
    public let acceptedAt: WallTime
    /// Its jobs, callbacks included.
    public let jobs: Int
    /// Those that have ended.
    public let ended: Int
    /// Of these have not succeeded.
    public let failed: Int
    /// The weight of those that have ended, and of all.
    public let progress: Progress
    /// A requeue of many jobs is under way; if nobody carries it on, requeue the workflow again.
    public let isResuming: Bool
    /// The job whose end ended it before its time.
    public let cause: JobID?
    /// Its steps, groups and callbacks, in an order in which they could run.
    public let steps: [WorkflowStep]
}

/// A step, a group of jobs of one type, or a callback.
public struct WorkflowStep: Sendable, Hashable {
    /// Where it is.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// It waits for others.
        case waiting
        /// Its jobs may run, or do.
        case started
        /// All of its jobs have succeeded.
        case succeeded
        /// All of them have ended, and one has not succeeded.
        case failed
        /// It never will start.
        case cancelled
    }
    /// When a callback runs.
    public enum Condition: String, Sendable, Hashable {
        case always, onSuccess, onFailure, onEnd
    }
    /// Its name.
    public let name: String
    /// Where it is.
    public let state: State
    /// ``Condition/always`` for what is no callback.
    public let condition: Condition
    /// Its jobs.
    public let jobs: Int
    /// Those that have ended.
    public let ended: Int
    /// Of these have not succeeded.
    public let failed: Int
    /// How much of the work each job is.
    public let weight: Int
    /// The ids of its jobs, in their order.
    public let ids: [ClosedRange<UInt64>]
    /// The places in ``WorkflowSummary/steps`` of those that it waits for.
    public let after: [Int]
    /// The workflow that its one job gave way to.
    public let inner: JobID?
    /// Of one job: its state.
    public let job: JobState?
}

extension JobStore {
    /// A workflow, by the job that stands for it or by one of its steps' jobs.
    /// - Throws: ``StoreError/noSuchJob(_:)`` when the job was pruned, never was, or has to do with no workflow.
    /// - Complexity: O(steps), O(log *n*) each.
    public func workflow(_ id: JobID) throws(StoreError) -> WorkflowSummary {
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> Found? in
            var token = try WorkflowRows.readToken(of: id.rawValue, reader, open.tables)
            if token == nil {
                token = try WorkflowResumption.member(id.rawValue, reader, open.tables)?.token
            }
            guard let token, let view = try WorkflowView(token, reader, open) else { return nil }
            return Found(workflow: view.workflow, steps: try Self.steps(view, reader, open.tables))
        }
        guard let found else { throw .noSuchJob(id) }
        let workflow = found.workflow
        let details = try details(of: JobID(rawValue: workflow.id)).summary
        var steps: [WorkflowStep] = []
        for step in found.steps {
            steps.append(
                WorkflowStep(
                    name: step.name, state: step.state, condition: step.condition, jobs: step.jobs,
                    ended: step.ended, failed: step.failed, weight: step.weight, ids: step.ids,
                    after: step.after, inner: step.inner,
                    job: step.jobs == 1
                        ? try stateIfThere(JobID(rawValue: step.ids[0].lowerBound)) : nil))
        }
        return WorkflowSummary(
            id: JobID(rawValue: workflow.id), name: details.name, state: details.state,
            acceptedAt: details.acceptedAt, jobs: Int(clamping: workflow.jobs),
            ended: Int(clamping: workflow.ended), failed: Int(clamping: workflow.failed),
            progress: WorkflowSummary.Progress(
                done: Int(clamping: workflow.endedWeight), total: Int(clamping: workflow.weight)),
            isResuming: workflow.isResuming,
            cause: workflow.cause == 0 ? nil : JobID(rawValue: workflow.cause), steps: steps)
    }

    private struct Found {
        let workflow: WorkflowRecord
        let steps: [WorkflowStep]
    }

    /// Nil: it was purged.
    private func stateIfThere(_ id: JobID) throws(StoreError) -> JobState? {
        do throws(StoreError) { return try state(of: id) } catch {
            if case .noSuchJob = error { return nil }
            throw error
        }
    }

    private static func steps(
        _ view: WorkflowView, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> [WorkflowStep] {
        let plan = view.plan
        var steps: [WorkflowStep] = []
        /// For each node, the steps that whoever waits for it waits for: those before a place where several come together.
        var standsFor = [[Int]](repeating: [], count: Int(plan.nodeCount))
        // In order, once each; many that wait for the same share one list.
        var after = [[Int]](repeating: [], count: Int(plan.nodeCount))
        var isMixed = [Bool](repeating: false, count: Int(plan.nodeCount))
        for index in 0..<plan.nodeCount {
            let node = try view.node(index)
            let place = Int(index)
            if isMixed[place] { after[place] = Set(after[place]).sorted() }
            if node.kind == .join {
                standsFor[place] = after[place]
            } else {
                standsFor[place] = [steps.count]
                steps.append(
                    try step(node, index, after: after[place], view, reader, tables))
            }
            for edge in node.edges {
                let next = Int(plan.edge(edge))
                if after[next].isEmpty {
                    after[next] = standsFor[place]
                } else {
                    after[next] += standsFor[place]
                    isMixed[next] = true
                }
            }
        }
        return steps
    }

    private static func step(
        _ node: PlanNode, _ index: UInt32, after: [Int], _ view: WorkflowView, _ reader: Reader,
        _ tables: StoreTables
    ) throws(StorageError) -> WorkflowStep {
        let record = try view.record(index, node)
        let ids = node.ids(of: view.workflow, record).filter { $0.count > 0 }
        var inner: JobID?
        if node.jobs == 1, let first = ids.first,
            try WorkflowRows.readToken(of: first.first, reader, tables) != nil
        {
            inner = JobID(rawValue: first.first)
        }
        let state: WorkflowStep.State =
            switch record.state {
            case .waiting: .waiting
            case .started: .started
            case .succeeded: .succeeded
            case .failed: .failed
            case .cancelled: .cancelled
            }
        let condition: WorkflowStep.Condition =
            switch node.condition {
            case .always: .always
            case .onSuccess: .onSuccess
            case .onFailure: .onFailure
            case .onEnd: .onEnd
            }
        return WorkflowStep(
            name: view.plan.name(of: node), state: state, condition: condition,
            jobs: Int(clamping: node.jobs), ended: Int(clamping: record.ended),
            failed: Int(clamping: record.failed), weight: Int(node.weight),
            ids: ids.map { $0.first...$0.end - 1 }, after: after, inner: inner, job: nil)
    }
}
