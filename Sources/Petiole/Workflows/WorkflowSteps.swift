import PetioleStorage

// From one step to the next
//
// Everything here happens in the transaction that records what a job came to: so a workflow is never between two steps.
//
// A node is *waiting*, then *started*, then it has *ended*. A node that waits has no rows but its own: its jobs lie in the log and
// in no lane, and nobody can claim them. It starts when what it depends on has ended: its jobs come into their lanes, one row
// for a run of them. It ends with the last of its jobs. Nodes that join others have no jobs, and end when they start.
//
// A job counts once in its node: with the outcome that is recorded first, and when it was taken out for a requeue, with the
// next. What is recorded of a node that has ended (a job that was requeued behind it) counts nowhere.
//
// A job that does not succeed counts as a failure of the scope around its node. When the scope's rule says so, the scope stops:
// what waits in it is recorded as cancelled, what has started goes on to its end, but for jobs that have not: whoever meets one
// sees by its node's row that it is stopped, and records it as cancelled (the handshake is that of a cancel, see
// `AttemptLoop`). The scope's exit fails then, which is a failure in the scope around it.
//
// The workflow ends when its outermost scope has, and none of its jobs is left that runs or may run, but for callbacks. So who
// awaits it knows that nothing of it goes on, and a resumption finds all of it at rest.
//
// | race | what happens |
// |---|---|
// | two members end at the same instant | their outcomes are in one commit or in two, in either case counted one after the other; the second finds the node full |
// | a member fails while another is cancelled | both count as failures; the first that is recorded stops the scope, and is the cause |
// | a cancel meets the last member | the outcome that is recorded first stays; the node ends with it |
// | a requeue of a member whose node has ended | it runs on its own and changes nothing else, unless its workflow has ended without success: then that is resumed |

/// What follows from the ends of a workflow's jobs. In the writer's transaction.
struct WorkflowSteps {
    let token: UInt64
    var workflow: WorkflowRecord
    let plan: WorkflowPlan
    let tables: StoreTables
    var todo: [Event] = []
    /// Jobs of stopped nodes that wait for another attempt, or for a name: nobody can have claimed them.
    var atRest: [UInt64] = []
    enum Event {
        case ended(UInt32)
        case failures(scope: UInt32, UInt64, cause: UInt64)
    }

    /// Nil when the workflow is gone.
    init?(
        _ token: UInt64, _ transaction: borrowing WriteTransaction, _ state: CommitState
    ) throws(StorageError) {
        tables = state.tables
        guard let workflow = try WorkflowRows.read(token, transaction, tables),
            let plan = try state.plans.plan(token, transaction, tables)
        else { return nil }
        self.token = token
        self.workflow = workflow
        self.plan = plan
    }

    // MARK: Ends

    /// Jobs of a node have ended.
    /// - Parameter cause: the first of them that did not succeed.
    static func ended(
        _ member: WorkflowMember, count: UInt64, failed: UInt64, cause: UInt64,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        do throws(StorageError) {
            guard var steps = try WorkflowSteps(member.token, transaction, state) else { return }
            try steps.count(
                member.node, count, failed: failed, cause: cause, &transaction, &state)
        } catch {
            // A workflow whose rows cannot be read goes on no more; the outcomes that are recorded with this one are.
            guard case .damaged(let what) = error else { throw error }
            try giveUp(member.token, what, &transaction, &state)
        }
    }

    /// It goes on no more, and whoever awaits it is told.
    private static func giveUp(
        _ token: UInt64, _ what: String, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        // Without its row nothing tells which job stands for it.
        guard var workflow = try? WorkflowRows.read(token, transaction, tables),
            let active = try Lookup.active(workflow.id, transaction, tables),
            active.state == .parked, active.parking == .workflow, active.position == token
        else { return }
        workflow.hasEnded = true
        workflow.isResuming = false
        workflow.endedAt = state.now
        workflow.cause = 0
        try WorkflowRows.put(workflow, token, &transaction, tables)
        let failure = FailureRecord(type: "Damaged", message: "the workflow cannot go on: \(what)")
        try OutcomeRecording.record(
            workflow.id, .deadLetter, failure, active, concludes: true, tables, &transaction,
            &state)
    }

    private mutating func count(
        _ index: UInt32, _ count: UInt64, failed: UInt64, cause: UInt64,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let node = try node(index)
        var record = try record(index, node, transaction)
        record.ended += count
        record.failed += failed
        // Of a node that has ended it is one that was requeued behind that: nothing follows from it.
        let hasEnded = record.state.isEnd
        let isFull = record.ended >= node.jobs && record.state == .started
        if isFull { record.state = record.failed > 0 ? .failed : .succeeded }
        try put(record, index, &transaction)
        workflow.ended += count
        workflow.failed += failed
        workflow.endedWeight += count * UInt64(node.weight)
        if !node.condition.isCallback { workflow.unfinished -= min(count, workflow.unfinished) }
        if failed > 0, !hasEnded, node.scope != PlanFormat.none {
            todo.append(.failures(scope: node.scope, failed, cause: cause))
        }
        if isFull { todo.append(.ended(index)) }
        try goOn(&transaction, &state)
    }

    /// Does what follows, one thing after the other, until nothing does.
    mutating func goOn(
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var next = 0
        while next < todo.count {
            switch todo[next] {
            case .ended(let index): try followEdges(index, &transaction, &state)
            case .failures(let scope, let count, let cause):
                try fail(scope, count, cause, &transaction, &state)
            }
            next += 1
        }
        todo = []
        guard !workflow.hasEnded, workflow.unfinished == 0 else {
            try WorkflowRows.put(workflow, token, &transaction, tables)
            // Each counts by itself, from the rows as they are now.
            for id in atRest {
                guard let active = try Lookup.active(id, transaction, tables) else { continue }
                try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
            }
            return
        }
        let exit = try scope(0).exit
        let end = try record(exit, node(exit), transaction)
        guard end.state.isEnd else {
            return try WorkflowRows.put(workflow, token, &transaction, tables)
        }
        let hasFailed = end.state != .succeeded || end.failed > 0
        workflow.hasEnded = true
        workflow.isResuming = false
        workflow.endedAt = state.now
        workflow.cause = hasFailed ? end.cause : 0
        try WorkflowRows.put(workflow, token, &transaction, tables)
        try conclude(failed: hasFailed, &transaction, &state)
    }

    private mutating func followEdges(
        _ index: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let node = try node(index)
        let end = try record(index, node, transaction).state
        for edge in node.edges {
            let dependent = plan.edge(edge)
            let other = try self.node(dependent)
            var record = try record(dependent, other, transaction)
            guard record.state == .waiting else { continue }
            if other.condition.isCallback {
                let isDue =
                    switch other.condition {
                    case .onSuccess: end == .succeeded
                    case .onFailure: end == .failed
                    case .onEnd, .always: true
                    }
                if isDue {
                    try start(dependent, other, record, &transaction, &state)
                } else {
                    try cancel(dependent, other, record, &transaction, &state)
                }
                continue
            }
            record.waitsFor -= min(1, record.waitsFor)
            // What is being resumed starts when all of it has been set back.
            if record.waitsFor > 0 || workflow.isResuming {
                try put(record, dependent, &transaction)
            } else {
                try start(dependent, other, record, &transaction, &state)
            }
        }
    }

    // MARK: Starts

    /// A workflow was accepted: what has no jobs and waits for nothing has ended.
    static func begin(
        _ draft: WorkflowDraft, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let isEmpty = { (node: PlanNode) in node.dependsOn == 0 && node.jobs == 0 }
        guard draft.nodes.contains(where: isEmpty),
            var steps = try WorkflowSteps(draft.token, transaction, state)
        else { return }
        for (index, node) in draft.nodes.enumerated() where isEmpty(node) {
            let index = UInt32(index)
            let record = try steps.record(index, node, transaction)
            try steps.start(index, node, record, &transaction, &state)
        }
        try steps.goOn(&transaction, &state)
    }

    /// What was set back and waits for nothing goes on: joins, and what was full.
    static func startWhatWaitsForNothing(
        _ token: UInt64, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard var steps = try WorkflowSteps(token, transaction, state) else { return }
        for index in 0..<steps.plan.nodeCount {
            let node = try steps.node(index)
            let record = try steps.record(index, node, transaction)
            let isDue =
                record.state == .waiting && record.waitsFor == 0
                || record.state == .started && record.ended >= node.jobs
            if isDue, !node.condition.isCallback || record.state == .started {
                try steps.start(index, node, record, &transaction, &state)
            }
        }
        try steps.goOn(&transaction, &state)
    }

    /// Lets the jobs of a node run.
    mutating func start(
        _ index: UInt32, _ node: PlanNode, _ found: NodeRecord,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var record = found
        record.waitsFor = 0
        if node.kind == .join { return try join(index, node, record, &transaction) }
        // Those that were cancelled one by one while they waited have ended already.
        if record.ended >= node.jobs {
            record.state = record.failed > 0 ? .failed : .succeeded
            todo.append(.ended(index))
            return try put(record, index, &transaction)
        }
        record.state = .started
        var left = node.jobs - record.ended
        for range in node.ids(of: workflow, record) {
            // All of them are of one lane; the first may have been purged.
            guard let lane = try lane(of: range, transaction) else { continue }
            try state.makeReady(
                &transaction, queue: lane.queue, priority: lane.priority, first: range.first,
                count: range.count)
            state.note(EventCode.ready, range.first, count: range.count)
            let count = left
            left = 0
            try state.count(transaction, lane.queue) { $0.parked &-= min(count, $0.parked) }
        }
        // Nothing is left of them: as if they had been cancelled.
        if left == node.jobs - record.ended {
            record.state = .failed
            addCancelled(left, of: node, to: &record)
            if node.scope != PlanFormat.none {
                todo.append(.failures(scope: node.scope, left, cause: 0))
            }
            todo.append(.ended(index))
        }
        try put(record, index, &transaction)
    }

    func lane(
        of range: IDRange, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> (queue: UInt32, priority: UInt8)? {
        if let block = try Lookup.block(range.first, transaction, tables) {
            return (block.queue, block.priority)
        }
        let cursor = try transaction.cursor(tables.jobs)
        guard let (key, value) = try cursor.ceiling(Key(range.first)),
            try Lookup.id(key) < range.end
        else { return nil }
        let block = try formatted { () throws(FormatError) in
            try JobBlockView(first: key.bigEndian(at: 0), value: value)
        }
        return (block.queue, block.priority)
    }

    /// A join ends when it starts; it fails when something that it joins has not succeeded.
    private mutating func join(
        _ index: UInt32, _ node: PlanNode, _ found: NodeRecord,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        var record = found
        record.state = .succeeded
        record.failed = 0
        // A scope that goes on after failures hands them to what follows; where nothing does, the scope around it has failed.
        var handsOn = false
        if let scope = node.exitOf { handsOn = try self.scope(scope).rule != .cancelRest }
        for input in node.inputs {
            let joined = plan.input(input)
            let joinedNode = try self.node(joined)
            let other = try self.record(joined, joinedNode, transaction)
            let isFailure =
                other.state == .failed || other.state == .cancelled
                || joinedNode.kind == .join && other.failed > 0
            guard isFailure else { continue }
            if handsOn { record.failed = 1 } else { record.state = .failed }
            record.cause =
                joinedNode.kind == .join
                ? other.cause : try firstFailed(joinedNode, other, transaction)
            break
        }
        try put(record, index, &transaction)
        // Before what depends on it: the scope around it may stop.
        if record.state == .failed, let scope = node.exitOf,
            let parent = try self.scope(scope).parent
        {
            todo.append(.failures(scope: parent, 1, cause: record.cause))
        }
        todo.append(.ended(index))
    }

    /// The first job of a node that has not succeeded.
    private func firstFailed(
        _ node: PlanNode, _ record: NodeRecord, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> UInt64 {
        var first: UInt64 = 0
        try forEachOutcome(node, record, transaction) { id, hasSucceeded in
            if !hasSucceeded { first = id }
            return hasSucceeded
        }
        return first
    }

    /// Looks at the outcomes of a node's jobs, in their order, until `visit` returns false.
    func forEachOutcome(
        _ node: PlanNode, _ record: NodeRecord, _ transaction: borrowing WriteTransaction,
        _ visit: (_ id: UInt64, _ hasSucceeded: Bool) -> Bool
    ) throws(StorageError) {
        for range in node.ids(of: workflow, record) {
            var id = range.first
            while id < range.end {
                guard let block = try Lookup.outcomes(id, transaction, tables) else {
                    id += 1
                    continue
                }
                while id < min(block.end, range.end) {
                    guard visit(id, block.stateHint(id) == .succeeded) else { return }
                    id += 1
                }
            }
        }
    }

    // MARK: The end

    /// Records what the workflow came to as the outcome of the job that stands for it.
    private func conclude(
        failed: Bool, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard let active = try Lookup.active(workflow.id, transaction, tables),
            active.state == .parked, active.parking == .workflow, active.position == token
        else { return }
        if !failed {
            let result = try resultJob(transaction)
            return try OutcomeRecording.record(
                workflow.id, .succeeded, nil, active, concludes: true, resultOf: result, tables,
                &transaction, &state)
        }
        if let closing = workflow.closing {
            return try OutcomeRecording.record(
                workflow.id, closing, nil, active, concludes: true, tables, &transaction, &state)
        }
        var kind = OutcomeBlock.State.failed
        var failure: FailureRecord?
        let cause = workflow.cause
        // What cannot be read is told as a failure of which no more is known: its workflow is to end all the same.
        if cause != 0, let block = try? Lookup.outcomes(cause, transaction, tables),
            let entry = try? block.entry(cause)
        {
            kind = entry.state == .succeeded ? .failed : entry.state
            if kind.holdsFailure { failure = try FailureTable.failure(entry, transaction, tables) }
        }
        if kind.holdsFailure {
            let reason = failure.map { ": \($0.message)" } ?? ""
            failure = FailureRecord(
                type: failure?.type ?? "Step", message: "job \(cause) of the workflow\(reason)")
        }
        try OutcomeRecording.record(
            workflow.id, kind, failure, active, concludes: true, tables, &transaction, &state)
    }

    /// The job whose result is the workflow's; nil: it has none.
    private func resultJob(
        _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> UInt64? {
        guard let index = plan.resultNode else { return nil }
        let node = try node(index)
        guard node.jobs == 1 else { return nil }
        return node.ids(of: workflow, try record(index, node, transaction)).first?.first
    }

    // MARK: Rows

    func node(_ index: UInt32) throws(StorageError) -> PlanNode {
        try formatted { () throws(FormatError) in try plan.node(index) }
    }

    func scope(
        _ index: UInt32
    ) throws(StorageError) -> (rule: ScopeRule, parent: UInt32?, exit: UInt32) {
        try formatted { () throws(FormatError) in try plan.scope(index) }
    }

    func isScope(_ scope: UInt32, in other: UInt32) throws(StorageError) -> Bool {
        try formatted { () throws(FormatError) in try plan.isScope(scope, in: other) }
    }

    func record(
        _ index: UInt32, _ node: PlanNode, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> NodeRecord {
        try WorkflowRows.read(token, node: index, transaction, tables) ?? NodeRecord(of: node)
    }

    func put(
        _ record: NodeRecord, _ index: UInt32, _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        try WorkflowRows.put(record, token, index, &transaction, tables)
    }
}
