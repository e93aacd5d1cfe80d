import PetioleStorage

/// How workflows come into the log, and how what their jobs come to is counted.
extension LogCommit {
    // MARK: Acceptance

    /// Accepts a workflow, unless another job holds its unique key or there is no room.
    func take(
        _ enqueue: EnqueueSubmission, _ workflow: WorkflowDraft, _ queue: UInt32, _ name: UInt32,
        _ lanes: inout AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        // Its jobs have their ids at once.
        try accept(&lanes, &transaction, &state)
        // Before its key: a replace ends another job.
        if let reached = try refusal(of: workflow, transaction, &state) {
            enqueue.refusal = .refused(reached)
            return
        }
        if let hold = enqueue.options.unique {
            enqueue.conflict = nil
            enqueue.replaced = nil
            guard
                case .accept = try lanes.keys.decide(
                    enqueue, hold, name: name, &transaction, &state)
            else { return try lanes.keys.settle(&transaction, state) }
        }
        let time = time
        let id = state.sequences.nextJob
        enqueue.first = id
        var writer = BlockWriter(queue: queue, priority: enqueue.target.priority)
        try writer.add(enqueue.block, name: name, time, &transaction, &state)
        try writer.flush(time, &transaction, &state)
        let bytes = UInt64(enqueue.block.contentSize)
        try state.count(transaction, queue) {
            $0.accepted += 1
            $0.bytes += bytes
        }
        state.note(EventCode.accepted, id)
        if state.notes != nil { state.noteAccepted(enqueue) }
        if !enqueue.options.expiry.isNone {
            try state.setTimer(
                &transaction, queue: queue, due: enqueue.options.expiry, id: id, why: .expiry)
        }
        try begin(
            workflow, standingFor: id, queue: queue, priority: enqueue.target.priority,
            &transaction, &state)
        if enqueue.options.parent != 0 {
            var lineage = Lineage()
            lineage.add(first: id, count: state.sequences.nextJob - id)
            try lineage.write(enqueue.options.parent, &transaction, tables)
        }
        if !lanes.keys.isEmpty { try lanes.keys.settle(&transaction, state) }
    }

    /// What one of the queues has no room within for the jobs of a workflow. None are dropped for it, and it does not wait.
    private func refusal(
        of workflow: WorkflowDraft, _ transaction: borrowing WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> CapacityRecord.Reached? {
        var loads: [UInt32: JobLoad] = [:]
        for (target, load) in workflow.loads {
            // A queue that is new has no capacity.
            if let queue = try state.knownQueue(of: target, transaction) {
                loads[queue, default: JobLoad()] += load
            }
        }
        for staged in workflow.staged {
            guard let bytes = try transaction.value(tables.stages, Key(UInt64(staged.stage))) else {
                throw .damaged("stage \(staged.stage) is gone")
            }
            let stage = try formatted { () throws(FormatError) in try StageRecord(bytes) }
            loads[stage.queue, default: JobLoad()] +=
                JobLoad(jobs: stage.jobCount, bytes: stage.byteCount)
        }
        for (queue, load) in loads where try state.hasCapacity(transaction, queue) {
            let admission = try state.admission(
                of: load, in: queue, whenFull: .refuse, transaction)
            if case .refuse(let reached) = admission { return reached }
        }
        return nil
    }

    /// Writes a workflow's rows and jobs, and lets those run that depend on nothing.
    /// - Parameter id: of the job that stands for it, and has no lane: from here on it waits for its workflow.
    private func begin(
        _ draft: WorkflowDraft, standingFor id: UInt64, queue: UInt32, priority: UInt8,
        attempts: UInt16 = 0, history: [UInt8] = [], _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        var active = ActiveRecord(state: .parked, queue: queue, priority: priority)
        active.parking = .workflow
        active.position = draft.token
        active.attempts = attempts
        active.history = history
        try active.put(&transaction, tables.active, id)
        try state.count(transaction, queue) { $0.parked += 1 }
        var record = WorkflowRecord(id: id, first: state.sequences.nextJob)
        record.depth = draft.depth
        for node in draft.nodes {
            record.jobs += node.jobs
            record.weight += node.jobs * UInt64(node.weight)
            if !node.condition.isCallback { record.unfinished += node.jobs }
        }
        // Of a job that has given way before, and was requeued since.
        try WorkflowRows.remove(from: id, to: id + 1, &transaction, tables)
        try WorkflowRows.put(record, draft.token, &transaction, tables)
        try transaction.put(tables.groups, WorkflowRows.token(of: id), count: 8) {
            $0.storeLittleEndian(draft.token, at: 0)
        }
        try withBytes(draft.plan) { (plan) throws(StorageError) in
            try transaction.put(tables.groups, WorkflowRows.plan(draft.token), plan)
        }
        try accept(draft, &transaction, &state)
        try publish(draft, &transaction, &state)
        try WorkflowSteps.begin(draft, &transaction, &state)
    }

    /// The jobs that come with it.
    private func accept(
        _ draft: WorkflowDraft, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let time = time
        var writer: BlockWriter?
        /// Jobs of one lane that may run, and whose ids follow each other.
        var ready: (queue: UInt32, priority: UInt8, jobs: IDRange)?
        func makeReady(
            _ transaction: inout WriteTransaction, _ state: inout CommitState
        ) throws(StorageError) {
            guard let found = ready else { return }
            ready = nil
            try state.makeReady(
                &transaction, queue: found.queue, priority: found.priority,
                first: found.jobs.first, count: found.jobs.count)
        }
        for part in draft.parts {
            let jobs = part.jobs
            let (queue, name) = try state.numbers(of: jobs.target, &transaction)
            let priority = jobs.target.priority
            if writer?.queue != queue || writer?.priority != priority {
                try writer?.flush(time, &transaction, &state)
                writer = BlockWriter(queue: queue, priority: priority)
            }
            let first = state.sequences.nextJob + (writer?.pending ?? 0)
            jobs.first = first
            try writer!.add(jobs.block, name: name, time, &transaction, &state)
            for more in jobs.more {
                try writer!.add(more.block, name: name, time, &transaction, &state)
            }
            let count = jobs.jobCount
            let starts = NodeRecord(of: draft.nodes[Int(part.node)]).state == .started
            let due = jobs.options.due
            let isDelayed = starts && !due.isNone && !due.hasPassed(time)
            if isDelayed {
                for id in first..<first + count {
                    var active = ActiveRecord(state: .waiting, queue: queue, priority: priority)
                    active.due = due
                    try active.put(&transaction, tables.active, id)
                    try state.setTimer(&transaction, queue: queue, due: due, id: id)
                }
            } else if starts {
                if let found = ready, found.queue == queue, found.priority == priority,
                    found.jobs.end == first
                {
                    ready!.jobs.count += count
                } else {
                    try makeReady(&transaction, &state)
                    ready = (queue, priority, IDRange(first: first, count: count))
                }
            }
            let load = jobs.load
            try state.count(transaction, queue) {
                $0.accepted += load.jobs
                $0.bytes += load.bytes
                if isDelayed { $0.waiting += load.jobs }
                if !starts { $0.parked += load.jobs }
            }
            state.note(EventCode.accepted, first, count: count)
            if state.notes != nil { state.noteAccepted(jobs) }
            if !jobs.options.expiry.isNone {
                for id in first..<first + count {
                    try state.setTimer(
                        &transaction, queue: queue, due: jobs.options.expiry, id: id, why: .expiry)
                }
            }
        }
        try writer?.flush(time, &transaction, &state)
        try makeReady(&transaction, &state)
    }

    /// The jobs that were staged before.
    private func publish(
        _ draft: WorkflowDraft, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        for staged in draft.staged {
            let key = Key(UInt64(staged.stage))
            guard let bytes = try transaction.value(tables.stages, key) else {
                throw .damaged("stage \(staged.stage) is gone")
            }
            let stage = try formatted { () throws(FormatError) in try StageRecord(bytes) }
            var record = NodeRecord(of: draft.nodes[Int(staged.node)])
            record.ranges = staged.ranges
            try WorkflowRows.put(record, draft.token, staged.node, &transaction, tables)
            let starts = record.state == .started
            for range in staged.ranges {
                if starts {
                    try state.makeReady(
                        &transaction, queue: stage.queue, priority: stage.priority,
                        first: range.first, count: range.count)
                }
                let now = state.now
                state.notes?.append(
                    .queued(first: range.first, count: range.count, due: 0, at: now))
                state.note(EventCode.accepted, range.first, count: range.count)
            }
            let (jobs, byteCount) = (stage.jobCount, stage.byteCount)
            try state.count(transaction, stage.queue) {
                $0.accepted += jobs
                $0.bytes += byteCount
                if !starts { $0.parked += jobs }
            }
            try transaction.delete(tables.stages, key)
        }
    }

    // MARK: Replacement

    /// The job's attempt gives way to a workflow: it has not ended, and will when that has.
    func replace(
        _ submission: OutcomeSubmission, by effects: AttemptEffects, _ queue: OwnedQueue,
        _ lanes: inout AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        settle(submission, &state)
        let id = effects.job
        // Cancelled by who took it for one that had not started.
        guard try Lookup.outcomes(id, transaction, tables) == nil,
            let draft = effects.replacement?.workflow,
            let block = try Lookup.block(id, transaction, tables)
        else { return }
        var active =
            try Lookup.active(id, transaction, tables)
            ?? ActiveRecord(state: .ready, queue: queue.id, priority: block.priority)
        active.attempts = UInt16(clamping: effects.attempt)
        if active.isCancelRequested {
            return try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
        }
        // There is to be no other attempt.
        if active.isExpired || active.isDropped {
            return try OutcomeRecording.record(
                id, active.isDropped ? .dropped : .expired, nil, active, tables, &transaction,
                &state)
        }
        if let reached = try refusal(of: draft, transaction, &state) {
            submission.refusal = effects.replacement!.noRoom(reached)
            throw .mapFull
        }
        try OutcomeRecording.removeRows(id, active, tables, &transaction)
        if active.holdsKey {
            try OrderedKeys.release(id, active.queue, tables, &transaction, &state)
        }
        try accept(&lanes, &transaction, &state)
        try begin(
            draft, standingFor: id, queue: block.queue, priority: block.priority,
            attempts: active.attempts, history: active.history, &transaction, &state)
        try apply(effects, of: submission, in: queue.id, &lanes, &transaction, &state)
    }

    // MARK: Ends

    /// Counts the jobs of workflows whose outcomes were recorded just now.
    func count(
        _ submission: OutcomeSubmission, _ recorded: [(first: UInt64, end: UInt64)],
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        for members in submission.members {
            var count: UInt64 = 0
            var failed: UInt64 = 0
            var cause: UInt64 = 0
            for run in recorded {
                let first = max(run.first, members.first)
                let end = min(run.end, members.first + members.count)
                guard first < end else { continue }
                count += end - first
                for id in first..<end where submission.outcomes.state(of: id) != .succeeded {
                    if failed == 0 { cause = id }
                    failed += 1
                }
            }
            if count == 0 { continue }
            var member = members.member
            if member == .unknown {
                guard let found = try state.unreadableMember(members.first, transaction)
                else { continue }
                member = found
            }
            try WorkflowSteps.ended(
                member, count: count, failed: failed, cause: cause, &transaction, &state)
        }
    }

    // MARK: Blocks

    /// Writes jobs of one lane into blocks, in order.
    private struct BlockWriter: ~Copyable {
        let queue: UInt32
        let priority: UInt8
        private var gathered = JobBlockBuilder(jobs: 64, bytes: 8_192)

        init(queue: UInt32, priority: UInt8) {
            self.queue = queue
            self.priority = priority
        }

        /// Jobs that have no ids yet.
        var pending: UInt64 { UInt64(gathered.count) }

        mutating func add(
            _ block: borrowing JobBlockBuilder, name: UInt32, _ time: ClockReading,
            _ transaction: inout WriteTransaction, _ state: inout CommitState
        ) throws(StorageError) {
            if gathered.count > 0,
                gathered.size + block.size - JobBlock.headerSize > StoreFormat.blockLimit
            {
                try flush(time, &transaction, &state)
            }
            gathered.append(contentsOf: block, name: name)
        }

        mutating func flush(
            _ time: ClockReading, _ transaction: inout WriteTransaction,
            _ state: inout CommitState
        ) throws(StorageError) {
            if gathered.count == 0 { return }
            let first = state.sequences.nextJob
            let cursor = try transaction.cursor(state.tables.jobs)
            let target = try cursor.append(Key(first), count: gathered.size)
            gathered.write(
                to: target, first: first, queue: queue, priority: priority, name: nil,
                acceptedAt: time)
            state.sequences.nextJob += UInt64(gathered.count)
            gathered.removeAll()
        }
    }
}
