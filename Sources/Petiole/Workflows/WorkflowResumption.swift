import PetioleStorage

// Resuming
//
// A workflow that has not succeeded goes on from where it stopped: its own outcome is taken out, its nodes that have not succeeded
// are set back, and those of their jobs that have ended otherwise are requeued. The first transaction does this for the nodes and
// for up to 1,000 jobs; more are requeued in the next ones. In between the workflow has the mark that it is being resumed. It
// cannot end meanwhile: a job that still has its old outcome is not counted any more, so its node is not full; and no node starts
// before all of them are set back. Should whoever resumes it die, the mark says so, and the next requeue of the workflow begins
// anew, which comes to the same. Each beginning has a number, and who goes on with an older one stops.
//
// A workflow that has ended is at rest: none of its jobs runs or lies in a lane, but for callbacks, which stay as they are, and
// for those that were requeued alone since: until these have ended it is not resumed.

/// What a requeue of a workflow's job comes to, in the writer's transaction.
enum WorkflowResumption {
    enum Way {
        /// As any other job.
        case runsAlone
        /// Its workflow goes on.
        case resumes(UInt64)
        /// It stands for a workflow that has succeeded or goes on, or some of whose jobs still run: there is nothing to do.
        case nothing
    }

    /// What a requeue of a job that has ended is to do.
    static func of(
        _ id: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Way {
        guard try transaction.count(tables.groups) > 0 else { return .runsAlone }
        var way = Way.runsAlone
        var next = id
        // From the innermost to the outermost that has not succeeded.
        for _ in 0...WorkflowLimits.nesting {
            if let token = try WorkflowRows.readToken(of: next, transaction, tables),
                let workflow = try WorkflowRows.read(token, transaction, tables)
            {
                let hasFailed = try hasFailed(next, transaction, tables)
                if !workflow.isResuming, !hasFailed || workflow.unfinished > 0 {
                    return next == id ? .nothing : way
                }
                way = .resumes(token)
            }
            guard try hasFailed(next, transaction, tables) || isResuming(way),
                let member = try self.member(next, transaction, tables),
                let outer = try WorkflowRows.read(member.token, transaction, tables)
            else { return way }
            let isOver = try hasFailed(outer.id, transaction, tables)
            guard outer.isResuming || outer.hasEnded && isOver else { return way }
            if !outer.isResuming, outer.unfinished > 0 { return .nothing }
            way = .resumes(member.token)
            next = outer.id
        }
        return way
    }

    private static func isResuming(_ way: Way) -> Bool {
        if case .resumes = way { true } else { false }
    }

    /// Whether a job has ended without success.
    private static func hasFailed(
        _ id: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        guard let block = try Lookup.outcomes(id, transaction, tables) else { return false }
        return block.stateHint(id) != .succeeded
    }

    static func member(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> WorkflowMember? {
        guard let block = try Lookup.block(id, transaction, tables),
            // What cannot be read is a part of none.
            let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0,
            let member = try? entry.options().workflow
        else { return nil }
        return member
    }

    /// A job whose outcome was taken out runs once more, and is counted anew.
    /// - Returns: whether it waits for others of its workflow, as before.
    @discardableResult
    static func uncount(
        _ id: UInt64, _ outcome: OutcomeBlock.State, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        let tables = state.tables
        guard try transaction.count(tables.groups) > 0,
            let member = try member(id, transaction, tables),
            var workflow = try WorkflowRows.read(member.token, transaction, tables),
            let plan = try state.plans.plan(member.token, transaction, tables)
        else { return false }
        let node = try formatted { () throws(FormatError) in try plan.node(member.node) }
        guard
            var record = try WorkflowRows.read(
                member.token, node: member.node, transaction, tables), record.ended > 0
        else { return false }
        let hasFailed = outcome != .succeeded
        record.ended -= 1
        workflow.ended -= min(1, workflow.ended)
        workflow.endedWeight -= min(UInt64(node.weight), workflow.endedWeight)
        if !node.condition.isCallback { workflow.unfinished += 1 }
        if hasFailed {
            record.failed -= min(1, record.failed)
            workflow.failed -= min(1, workflow.failed)
            if !record.state.isEnd, node.scope != PlanFormat.none {
                let exit = try formatted { () throws(FormatError) in
                    try plan.scope(node.scope).exit
                }
                if var scope = try WorkflowRows.read(
                    member.token, node: exit, transaction, tables), scope.failed > 0,
                    !scope.state.isEnd
                {
                    scope.failed -= 1
                    try WorkflowRows.put(scope, member.token, exit, &transaction, tables)
                }
            }
        }
        try WorkflowRows.put(record, member.token, member.node, &transaction, tables)
        try WorkflowRows.put(workflow, member.token, &transaction, tables)
        return record.state == .waiting
    }

    // MARK: Steps

    /// Where the next transaction goes on.
    struct Place: Sendable {
        var token: UInt64
        /// Which resumption it is; nil: it has not begun.
        var number: UInt32?
        var node: UInt32 = 0
        /// Jobs of the node that were looked at.
        var passed: UInt64 = 0
        /// Whether there are others within it.
        var hasInner = false
    }

    struct Step: Sendable {
        var requeued = 0
        /// Nil: all of it goes on, or somebody else has begun anew.
        var next: Place?
        /// It cannot go on: a job of it that is to run is gone.
        var gone: UInt64?
        /// Workflows within it that are to be resumed, and then it is to be finished.
        var inner: [UInt64] = []
        /// Which resumption is to be finished when those within it are; nil: there are none.
        var unfinished: UInt32?
    }

    /// Sets back what is to be set back, or requeues the next jobs.
    static func step(
        _ place: Place, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Step {
        var step = Step()
        let tables = state.tables
        let token = place.token
        guard let plan = try state.plans.plan(token, transaction, tables) else { return step }
        if place.number == nil {
            step.gone = try firstGone(token, plan, transaction, tables)
            if step.gone != nil { return step }
            try begin(token, plan, isInner: false, &transaction, &state)
        }
        guard let workflow = try WorkflowRows.read(token, transaction, tables),
            workflow.isResuming, workflow.resumptions == place.number ?? workflow.resumptions
        else { return step }
        var place = place
        place.number = workflow.resumptions
        var looks = 0
        while place.node < plan.nodeCount {
            let index = place.node
            let node = try formatted { () throws(FormatError) in try plan.node(index) }
            let record =
                try WorkflowRows.read(token, node: index, transaction, tables)
                ?? NodeRecord(of: node)
            if !record.state.isEnd, node.kind != .join {
                var start: UInt64 = 0
                for range in node.ids(of: workflow, record) {
                    defer { start += range.count }
                    guard place.passed < start + range.count else { continue }
                    var id = range.first + (place.passed - min(start, place.passed))
                    while id < range.end {
                        looks += 1
                        if step.requeued >= Requeue.limit || looks > lookLimit {
                            place.passed = start + (id - range.first)
                            place.hasInner = place.hasInner || !step.inner.isEmpty
                            step.next = place
                            return step
                        }
                        id = try requeue(
                            id, upTo: range.end, isWaiting: record.state == .waiting, &step,
                            &transaction, &state)
                    }
                }
            }
            place.node += 1
            place.passed = 0
        }
        // Those within it are found by its mark, should this be cut short before they have been gone through.
        if place.hasInner || !step.inner.isEmpty {
            step.unfinished = workflow.resumptions
        } else {
            try finish(token, workflow.resumptions, &transaction, &state)
        }
        return step
    }

    /// Everything of a workflow has been set back and requeued, unless somebody has begun anew since.
    static func finish(
        _ token: UInt64, _ number: UInt32, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard var workflow = try WorkflowRows.read(token, transaction, state.tables),
            workflow.isResuming, workflow.resumptions == number
        else { return }
        workflow.isResuming = false
        try WorkflowRows.put(workflow, token, &transaction, state.tables)
        try WorkflowSteps.startWhatWaitsForNothing(token, &transaction, &state)
    }

    /// 20,000 look-ups in a transaction.
    private static let lookLimit = 20_000

    /// A job that would have to run and was pruned or purged; nil: all are there.
    private static func firstGone(
        _ token: UInt64, _ plan: WorkflowPlan, _ transaction: borrowing WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        guard let workflow = try WorkflowRows.read(token, transaction, tables) else { return nil }
        for index in 0..<plan.nodeCount {
            let node = try formatted { () throws(FormatError) in try plan.node(index) }
            let record =
                try WorkflowRows.read(token, node: index, transaction, tables)
                ?? NodeRecord(of: node)
            if record.state == .succeeded || node.kind == .join || node.condition.isCallback {
                continue
            }
            for range in node.ids(of: workflow, record) {
                var id = range.first
                while id < range.end {
                    guard let block = try Lookup.block(id, transaction, tables) else { return id }
                    id = min(block.end, range.end)
                }
            }
        }
        return nil
    }

    /// Requeues what has not succeeded of the jobs whose outcomes lie together with that of `id`.
    /// - Returns: the first id that was not looked at.
    private static func requeue(
        _ id: UInt64, upTo end: UInt64, isWaiting: Bool, _ step: inout Step,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> UInt64 {
        let tables = state.tables
        if let active = try Lookup.active(id, transaction, tables) {
            // One that a resumption which was cut short has set back, and has not come to.
            if active.parking == .workflow, active.state == .parked,
                try WorkflowRows.read(UInt64(active.position), transaction, tables)?.isResuming
                    == true
            {
                step.inner.append(UInt64(active.position))
            }
            return id + 1
        }
        guard let block = try Lookup.outcomes(id, transaction, tables) else { return id + 1 }
        let last = min(block.end, end, id + UInt64(Requeue.limit - step.requeued))
        let listed = (id..<last).filter { block.stateHint($0) != .succeeded }
            .map { Requeue.Listed(id: $0) }
        if listed.isEmpty { return last }
        let (outcomes, _) = try Requeue.takeOut(listed, of: block, tables, &transaction)
        // Their failures are off the counts already: without them the workflow would wait for ever.
        guard outcomes.count == listed.count else {
            throw .damaged(
                "outcomes beside that of job \(id) cannot be read, so it is not requeued")
        }
        for outcome in outcomes {
            step.requeued += 1
            if isWaiting {
                // One that has given way before does so anew when its turn has come.
                try awaitOthers(outcome, &transaction, &state)
            } else if let inner = try WorkflowRows.readToken(of: outcome.id, transaction, tables),
                let plan = try state.plans.plan(inner, transaction, tables),
                try firstGone(inner, plan, transaction, tables) == nil
            {
                try awaitOthers(outcome, &transaction, &state)
                try begin(inner, plan, isInner: true, &transaction, &state)
                step.inner.append(inner)
            } else {
                try Requeue.makeReady(outcome, tables, &transaction, &state)
            }
        }
        return last
    }

    /// A job waits again for others of its workflow: its counters; it needs no row.
    static func awaitOthers(
        _ ended: Requeue.Ended, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let bytes = try ContentBytes.of(ended.id, ended.id + 1, transaction, state.tables)
        try state.count(transaction, ended.queue) {
            $0.uncount(ended.entry.state)
            $0.bytes += bytes
            $0.parked += 1
        }
        state.note(.requeued, ended.id, attempts: ended.entry.attempt)
        state.note(EventCode.requeued, ended.id)
    }

    /// Takes the workflow's own outcome out, and sets its nodes back.
    /// - Parameter isInner: it lies in one that is being resumed, which has taken the outcome out.
    private static func begin(
        _ token: UInt64, _ plan: WorkflowPlan, isInner: Bool, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        guard var workflow = try WorkflowRows.read(token, transaction, tables) else { return }
        if try Lookup.active(workflow.id, transaction, tables) == nil {
            if let block = try Lookup.outcomes(workflow.id, transaction, tables) {
                let one = Requeue.Listed(id: workflow.id)
                let taken = try Requeue.takeOut([one], of: block, tables, &transaction).outcomes
                guard let ended = taken.first else {
                    throw .damaged("the outcome of job \(workflow.id) cannot be read")
                }
                try uncount(ended.id, ended.entry.state, &transaction, &state)
                try awaitOthers(ended, &transaction, &state)
            }
            guard let block = try Lookup.block(workflow.id, transaction, tables) else {
                throw .damaged("job \(workflow.id) has ended, but the log does not hold it")
            }
            var active = ActiveRecord(state: .parked, queue: block.queue, priority: block.priority)
            active.parking = .workflow
            active.position = token
            active.generation = 1
            try active.put(&transaction, tables.active, workflow.id)
        }
        workflow.hasEnded = false
        workflow.isResuming = true
        workflow.resumptions &+= 1
        workflow.closing = nil
        workflow.cause = 0
        workflow.endedAt = 0
        var waitsFor = [UInt32](repeating: 0, count: Int(plan.nodeCount))
        // What a node depends on comes before it.
        for index in 0..<plan.nodeCount {
            let node = try formatted { () throws(FormatError) in try plan.node(index) }
            var record =
                try WorkflowRows.read(token, node: index, transaction, tables)
                ?? NodeRecord(of: node)
            // A join that has handed failures on waits again for what is made good.
            let isJoined = node.kind != .join || waitsFor[Int(index)] == 0
            let isDone =
                record.state == .succeeded && isJoined
                || node.condition.isCallback && record.state == .failed
                // Nothing of what it is a callback of was set back.
                || node.condition.isCallback && waitsFor[Int(index)] == 0
            if !isDone {
                if node.kind != .join {
                    workflow.ended -= min(workflow.ended, record.failed)
                    workflow.failed -= min(workflow.failed, record.failed)
                    workflow.endedWeight -= min(
                        workflow.endedWeight, record.failed * UInt64(node.weight))
                    if !node.condition.isCallback { workflow.unfinished += record.failed }
                    record.ended -= min(record.ended, record.failed)
                } else {
                    record.cause = 0
                }
                record.failed = 0
                // Whoever has seen it looks again.
                if record.isStopped { state.controlMoved = true }
                record.isStopped = false
                record.waitsFor = waitsFor[Int(index)]
                // One that runs goes on: of a workflow whose resumption was cut short.
                let isDue = record.waitsFor == 0 || record.state == .started
                record.state = isDue && node.kind != .join ? .started : .waiting
                try WorkflowRows.put(record, token, index, &transaction, tables)
            }
            if !record.state.isEnd {
                for edge in node.edges { waitsFor[Int(plan.edge(edge))] += 1 }
            }
        }
        try WorkflowRows.put(workflow, token, &transaction, tables)
    }
}

extension JobStore {
    /// Lets workflows that have not succeeded go on.
    /// - Returns: how many jobs were requeued.
    @discardableResult
    func resume(_ tokens: [UInt64]) async throws(StoreError) -> Int {
        var count = 0
        var rest = tokens
        var unfinished: [(token: UInt64, number: UInt32)] = []
        while let token = rest.popLast() {
            var place: WorkflowResumption.Place? = WorkflowResumption.Place(token: token)
            while let next = place {
                let step = try await open.perform(bringing: Requeue.byteLimit) {
                    (transaction, state) throws(StorageError) in
                    try WorkflowResumption.step(next, &transaction, &state)
                }
                if let gone = step.gone {
                    throw .invalidOption(
                        "job \(gone) of the workflow was pruned or purged, so it cannot be carried on; enqueue it anew"
                    )
                }
                count += step.requeued
                rest += step.inner
                place = step.next
                if let number = step.unfinished { unfinished.append((token, number)) }
                CrashPoint.pass(.workflowResumed)
            }
        }
        // The outer ones came first.
        for (token, number) in unfinished.reversed() {
            try await open.perform { (transaction, state) throws(StorageError) in
                try WorkflowResumption.finish(token, number, &transaction, &state)
            }
        }
        return count
    }
}
