import PetioleStorage

/// What keeps nodes from starting: failures, by the rules of scopes, and whoever wants that a workflow end.
extension WorkflowSteps {
    mutating func fail(
        _ scope: UInt32, _ count: UInt64, _ cause: UInt64, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let (rule, parent, exit) = try self.scope(scope)
        let node = try node(exit)
        var record = try record(exit, node, transaction)
        if record.state.isEnd { return }
        record.failed += count
        guard rule.stops(at: record.failed) else { return try put(record, exit, &transaction) }
        record.state = .failed
        record.cause = cause
        try put(record, exit, &transaction)
        try stop(scope, &transaction, &state)
        // Before what depends on it: the scope around it may stop.
        if let parent { todo.append(.failures(scope: parent, 1, cause: cause)) }
        todo.append(.ended(exit))
    }

    /// Nothing of a scope that has not started will.
    private mutating func stop(
        _ scope: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        for index in 0..<plan.nodeCount {
            let node = try node(index)
            guard try isScope(node.scope, in: scope) else { continue }
            var record = try record(index, node, transaction)
            switch record.state {
            case .succeeded, .failed, .cancelled: continue
            case .started:
                record.isStopped = true
                // Whoever is about to start one of its jobs looks at its row first.
                state.controlMoved = true
                try cancelUnclaimed(index, node, &record, &transaction, &state)
                for range in node.ids(of: workflow, record) {
                    try gatherAtRest(range, transaction, &state)
                }
                try put(record, index, &transaction)
            case .waiting: try cancel(index, node, record, &transaction, &state)
            }
        }
    }

    /// A node that waits will not start: its jobs are cancelled.
    mutating func cancel(
        _ index: UInt32, _ node: PlanNode, _ found: NodeRecord,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var record = found
        let left = node.jobs - min(node.jobs, record.ended)
        guard left <= state.cancelBudget else {
            // They come into their lane, and whoever runs the queue records them as cancelled.
            record.isStopped = true
            try start(index, node, record, &transaction, &state)
            state.controlMoved = true
            return
        }
        state.cancelBudget -= left
        todo.append(.ended(index))
        record.state = .cancelled
        if node.kind != .join {
            for range in node.ids(of: workflow, record) {
                _ = try UnstartedJobs.cancel(range, areParked: true, &transaction, &state)
            }
            // Those that are gone count as cancelled as well.
            addCancelled(left, of: node, to: &record)
        }
        try put(record, index, &transaction)
    }

    mutating func addCancelled(
        _ count: UInt64, of node: PlanNode, to record: inout NodeRecord
    ) {
        record.ended += count
        record.failed += count
        workflow.ended += count
        workflow.failed += count
        workflow.endedWeight += count * UInt64(node.weight)
        if !node.condition.isCallback { workflow.unfinished -= min(count, workflow.unfinished) }
    }

    /// Jobs of a node that has started and is stopped, and that nobody can have claimed, end there and then: those in the lanes
    /// of a queue that nobody owns. `Dropping` has the argument.
    private mutating func cancelUnclaimed(
        _ index: UInt32, _ node: PlanNode, _ record: inout NodeRecord,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard node.jobs - min(node.jobs, record.ended) <= state.cancelBudget else { return }
        for range in node.ids(of: workflow, record) {
            guard let lane = try lane(of: range, transaction),
                !state.runners.isOwned(lane.queue)
            else { continue }
            let count = try UnstartedJobs.cancel(range, areParked: false, &transaction, &state)
            state.cancelBudget -= min(count, state.cancelBudget)
            addCancelled(count, of: node, to: &record)
        }
        guard record.ended >= node.jobs else { return }
        record.state = .failed
        todo.append(.ended(index))
    }

    private mutating func gatherAtRest(
        _ range: IDRange, _ transaction: borrowing WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.active)
        var entry = try cursor.ceiling(Key(range.first))
        while let (key, value) = entry, try Lookup.id(key) < range.end {
            let active = try formatted { () throws(FormatError) in try ActiveRecord(value) }
            // One that stands for a workflow ends with that.
            let isWorkflow = active.state == .parked && active.parking == .workflow
            if active.state != .ready, !isWorkflow {
                // Whoever meets one when its time has come sees that it is stopped.
                guard state.cancelBudget > 0 else { return }
                state.cancelBudget -= 1
                atRest.append(try Lookup.id(key))
            }
            entry = try cursor.next()
        }
    }

    /// Somebody wants that a workflow end, as cancelled or expired: nothing of it that has not started will, what runs is asked to
    /// stop, and when nothing runs any more it has ended.
    static func close(
        _ token: UInt64, as kind: OutcomeBlock.State, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard var steps = try WorkflowSteps(token, transaction, state), !steps.workflow.hasEnded
        else { return }
        if steps.workflow.closing == nil { steps.workflow.closing = kind }
        if steps.workflow.isResuming { try steps.countWhatIsNotRequeued(&transaction) }
        // Before anything else reads them.
        try WorkflowRows.put(steps.workflow, token, &transaction, steps.tables)
        try steps.askToStop(&transaction, &state)
        let exit = try steps.scope(0).exit
        var record = try steps.record(exit, steps.node(exit), transaction)
        if !record.state.isEnd {
            record.state = .cancelled
            try steps.put(record, exit, &transaction)
            try steps.stop(0, &transaction, &state)
            steps.todo.append(.ended(exit))
        }
        try steps.goOn(&transaction, &state)
        // They stand for jobs of it that have given way; each counts here when it has ended.
        for (id, active) in try inner(of: token, transaction, state) {
            try OutcomeRecording.record(id, kind, nil, active, state.tables, &transaction, &state)
        }
    }

    /// A resumption takes failures off the counts first, and their outcomes when it comes to them: of one that was cut short,
    /// what still has its outcome has ended with that.
    private mutating func countWhatIsNotRequeued(
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        workflow.isResuming = false
        for index in 0..<plan.nodeCount {
            let node = try node(index)
            var record = try record(index, node, transaction)
            guard node.kind != .join, record.state == .started else { continue }
            let (ended, failed) = try outcomes(node, record, transaction)
            let more = ended - min(ended, record.ended)
            workflow.ended += more
            workflow.failed += failed - min(failed, record.failed)
            workflow.endedWeight += more * UInt64(node.weight)
            if !node.condition.isCallback {
                workflow.unfinished -= min(more, workflow.unfinished)
            }
            record.ended = ended
            record.failed = failed
            if ended >= node.jobs {
                record.state = failed > 0 ? .failed : .succeeded
                todo.append(.ended(index))
            }
            try put(record, index, &transaction)
        }
    }

    /// How many of a node's jobs have an outcome, and how many of these did not succeed.
    private func outcomes(
        _ node: PlanNode, _ record: NodeRecord, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> (ended: UInt64, failed: UInt64) {
        var (ended, failed): (UInt64, UInt64) = (0, 0)
        try forEachOutcome(node, record, transaction) { _, hasSucceeded in
            ended += 1
            if !hasSucceeded { failed += 1 }
            return true
        }
        return (ended, failed)
    }

    /// Those of its jobs that began while it was being closed: behind the commit that moved control they are in their slots, and
    /// whoever comes later sees that they are stopped.
    static func askThoseThatBegan(
        _ token: UInt64, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard let steps = try WorkflowSteps(token, transaction, state), !steps.workflow.hasEnded
        else { return }
        try steps.askToStop(&transaction, &state)
    }

    /// Its jobs that run are asked to stop, as by a cancel of each.
    private func askToStop(
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        for id in state.runners.slots.jobs() {
            // One that has ended a moment ago has its outcome recorded behind this, and the mark goes with it.
            guard try WorkflowResumption.member(id, transaction, tables)?.token == token,
                try Lookup.outcomes(id, transaction, tables) == nil,
                let block = try Lookup.block(id, transaction, tables)
            else { continue }
            var active =
                try Lookup.active(id, transaction, tables)
                ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
            guard active.state == .ready else { continue }
            active.isCancelRequested = true
            try active.put(&transaction, tables.active, id)
            state.controlMoved = true
        }
    }

    /// The workflows that jobs of it have given way to, and that have not ended.
    private static func inner(
        of token: UInt64, _ transaction: borrowing WriteTransaction, _ state: CommitState
    ) throws(StorageError) -> [(id: UInt64, ActiveRecord)] {
        guard let steps = try WorkflowSteps(token, transaction, state) else { return [] }
        var inner: [(UInt64, ActiveRecord)] = []
        for index in 0..<steps.plan.nodeCount {
            let node = try steps.node(index)
            let record = try steps.record(index, node, transaction)
            guard record.state == .started else { continue }
            for range in node.ids(of: steps.workflow, record) {
                let cursor = try transaction.cursor(steps.tables.groups)
                var entry = try cursor.ceiling(WorkflowRows.token(of: range.first))
                while let (key, _) = entry, key.count == 16,
                    key.bigEndian(at: 0, as: UInt64.self) == 0,
                    key.bigEndian(at: 8, as: UInt64.self) < range.end
                {
                    let id: UInt64 = key.bigEndian(at: 8)
                    if let active = try Lookup.active(id, transaction, steps.tables) {
                        inner.append((id, active))
                    }
                    entry = try cursor.next()
                }
            }
        }
        return inner
    }
}
