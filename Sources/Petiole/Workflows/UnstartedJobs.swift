import PetioleStorage

/// Jobs of nodes that have not started: they lie in the log and in no lane, and have no row of `active`.
enum UnstartedJobs {
    /// The row of `active` of a job, or what stands in for it when there is none.
    static func standing(
        _ found: ActiveRecord?, _ id: UInt64, _ block: JobBlockView,
        _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> ActiveRecord {
        if let found { return found }
        var active = ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
        if try isUnstarted(id, block, transaction, tables) {
            active.state = .parked
            active.parking = .workflow
        }
        return active
    }

    /// Whether a job that has neither an outcome nor a row waits for others of its workflow.
    static func isUnstarted(
        _ id: UInt64, _ block: JobBlockView, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        // Mostly there are no workflows. What cannot be read is a part of none: whoever runs it finds the damage.
        guard try transaction.count(tables.groups) > 0,
            let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0,
            let member = try? entry.options().workflow
        else { return false }
        return try isUnstarted(member, transaction, tables)
    }

    /// The job that stands for the workflow of which such a job is a part; nil: it waits for none.
    static func workflow(
        _ id: UInt64, _ block: JobBlockView, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        guard try transaction.count(tables.groups) > 0 else { return nil }
        // What cannot be read is a part of none.
        guard let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0,
            let member = try? entry.options().workflow
        else { return nil }
        return try workflow(member, transaction, tables)
    }

    /// The same of a job whose options are known.
    static func workflow(
        _ member: WorkflowMember, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        guard try isUnstarted(member, transaction, tables) else { return nil }
        return try WorkflowRows.read(member.token, transaction, tables)?.id
    }

    /// Whether a job waits for others of its workflow, its options being known.
    static func isUnstarted(
        _ member: WorkflowMember, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        if let record = try WorkflowRows.read(
            member.token, node: member.node, transaction, tables)
        {
            return record.state == .waiting
        }
        // Nothing was said of the node yet. Of a workflow that is gone there is nothing to wait for.
        guard let node = try WorkflowRows.readNode(member, transaction, tables) else {
            return false
        }
        return NodeRecord(of: node).state == .waiting
    }

    /// Records those of a range that have no outcome as cancelled, but for those that have a row of `active`, which only jobs that
    /// have started have: of these others take care.
    /// - Parameter areParked: whether they are counted as parked.
    /// - Returns: how many.
    static func cancel(
        _ range: IDRange, areParked: Bool, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> UInt64 {
        let tables = state.tables
        var count: UInt64 = 0
        let running = areParked ? [] : state.runners.slots.jobs()
        for free in try Unrecorded.runs(range.first, range.end, transaction, tables) {
            var next = free.first
            while next < free.end {
                guard let block = try Lookup.block(next, transaction, tables) else {
                    next += 1
                    continue
                }
                let end = min(block.end, free.end)
                let queue = block.queue
                var run = IDRange(first: next, count: 0)
                while run.end < end {
                    if running.contains(run.end) { break }
                    if !areParked, try Lookup.active(run.end, transaction, tables) != nil { break }
                    run.count += 1
                }
                if run.count > 0 {
                    try cancel(run, queue: queue, areParked, &transaction, &state)
                }
                count += run.count
                next = run.end < end ? run.end + 1 : run.end
            }
        }
        return count
    }

    private static func cancel(
        _ run: IDRange, queue: UInt32, _ areParked: Bool, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        var block = OutcomeBlockBuilder(capacity: Int(min(run.count, 2_048)))
        let outcome = OutcomeEntry(
            state: .cancelled, codec: 0, attempt: 0, startedAt: state.now, runMicroseconds: 0)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        for id in run.first..<run.end {
            if !block.accepts(id, startedAt: outcome.startedAt, byteCount: 0) {
                try put(block, queue, &transaction, &state)
                block = OutcomeBlockBuilder(capacity: 2_048)
            }
            block.append(id, outcome, result: nothing)
        }
        try put(block, queue, &transaction, &state)
        let bytes = try ContentBytes.of(run.first, run.end, transaction, tables)
        try state.count(transaction, queue) { counters in
            counters.count(.cancelled, run.count)
            counters.takeOff(bytes: bytes)
            if areParked { counters.parked &-= min(run.count, counters.parked) }
        }
        state.ended.append((run.first, run.count))
        state.note(
            EventCode.ended + OutcomeBlock.State.cancelled.rawValue, run.first, count: run.count)
    }

    private static func put(
        _ block: borrowing OutcomeBlockBuilder, _ queue: UInt32,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let cursor = try transaction.cursor(state.tables.outcomes)
        let target = try cursor.insert(Key(block.first), count: block.size)
        block.write(to: target, queue: queue)
        if state.notes != nil {
            try state.noteEnded(
                block.first, UnsafeRawBufferPointer(start: target, count: block.size), transaction)
        }
    }
}
