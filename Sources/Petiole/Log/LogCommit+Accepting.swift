import PetioleStorage

/// How jobs come into the log: which of them are accepted, and the rows of those.
extension LogCommit {
    /// Lets an enqueue join its lane, unless another job holds its unique key.
    func take(
        _ enqueue: EnqueueSubmission, _ lanes: inout AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let (queue, name) = try state.numbers(of: enqueue.target, &transaction)
        // A commit that failed may have left its own answers.
        enqueue.refusal = nil
        if let workflow = enqueue.workflow {
            return try take(enqueue, workflow, queue, name, &lanes, &transaction, &state)
        }
        if !enqueue.predecessors.isEmpty {
            enqueue.hold = try HeldJobs.hold(for: enqueue.predecessors, transaction, tables)
            if case .missing = enqueue.hold { return }
        }
        if let hold = enqueue.options.unique {
            enqueue.conflict = nil
            enqueue.replaced = nil
            var decision = try lanes.keys.decide(
                enqueue, hold, name: name, &transaction, &state)
            if case .acceptOthersFirst = decision {
                try accept(&lanes, &transaction, &state)
                decision = try lanes.keys.decide(enqueue, hold, name: name, &transaction, &state)
            }
            guard case .accept = decision else { return }
        }
        if let keys = enqueue.keys {
            return try take(enqueue, keys, queue, name, &lanes, &transaction, &state)
        }
        guard try state.hasCapacity(transaction, queue), enqueue.stage == nil else {
            lanes.add(enqueue, queue: queue, name: name, now: time)
            return
        }
        // One that takes another's place needs no room: the other ends at once. Nor does what is cancelled in this very commit.
        if !enqueue.hold.isVain,
            enqueue.options.unique == nil || !lanes.keys.replaces(enqueue)
        {
            enqueue.refusal = try admit(
                enqueue.load, queue, enqueue.target.priority, enqueue.whenFull, &transaction,
                &state)
            if enqueue.refusal != nil { return lanes.keys.withdraw(enqueue) }
        }
        try addCounted(enqueue, queue, name, &lanes, transaction, &state)
    }

    /// Lets jobs with unique keys join their lane, without those that are there already; accepts them at once, since their rows
    /// have their ids.
    private func take(
        _ enqueue: EnqueueSubmission, _ keys: UniqueKeyList, _ queue: UInt32, _ name: UInt32,
        _ lanes: inout AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        try accept(&lanes, &transaction, &state)
        let first = state.sequences.nextJob
        enqueue.conflict = nil
        enqueue.existing = []
        enqueue.first = first
        switch try lanes.keys.take(keys, first: first, name: name, &transaction, state) {
        case .failure(let refusal):
            enqueue.conflict = refusal.conflict
            return
        case .success(let existing): enqueue.existing = existing
        }
        let kept = enqueue.existing.isEmpty ? enqueue : enqueue.without(enqueue.existing)
        guard kept.jobCount > 0 else { return }
        if try state.hasCapacity(transaction, queue) {
            if !enqueue.hold.isVain {
                enqueue.refusal = try admit(
                    kept.load, queue, enqueue.target.priority, enqueue.whenFull, &transaction,
                    &state)
            }
            if enqueue.refusal != nil {
                enqueue.wanted = kept.load
                return try lanes.keys.undo(keys, first: first, name: name, &transaction, state)
            }
            try addCounted(kept, queue, name, &lanes, transaction, &state)
        } else {
            lanes.add(kept, queue: queue, name: name, now: time)
        }
        try accept(&lanes, &transaction, &state)
    }

    /// Counted now, so that who comes next in this commit is told of it.
    private func addCounted(
        _ enqueue: EnqueueSubmission, _ queue: UInt32, _ name: UInt32,
        _ lanes: inout AcceptedLanes, _ transaction: borrowing WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let load = enqueue.load
        let isDelayed = lanes.add(
            enqueue, queue: queue, name: name, now: time, isCounted: true)
        try state.count(transaction, queue) {
            $0.accepted += load.jobs
            $0.bytes += load.bytes
            if isDelayed { $0.waiting += load.jobs }
            if enqueue.hold.isHeld { $0.parked += load.jobs }
        }
    }

    /// Sees to it that there is room for jobs. Nil when there is.
    private func admit(
        _ load: JobLoad, _ queue: UInt32, _ priority: UInt8, _ whenFull: CapacityRecord.WhenFull?,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> AdmissionRefusal? {
        try state.admit(
            load, in: queue, priority: priority, whenFull: whenFull, &transaction)
    }

    /// What a commit accepts, by lane: so that it adds one range a lane, however the callers were mixed.
    struct AcceptedLanes {
        struct Lane {
            let queue: UInt32
            let priority: UInt8
            let stage: UInt32?
            /// Not due yet: they wait in `timers`, and come into the lane one by one.
            let isDelayed: Bool
            /// Held until others have ended: in no lane either.
            let isHeld: Bool
            var submissions: [(EnqueueSubmission, name: UInt32)] = []
            /// What is in the counters already.
            var counted = JobLoad()
        }
        var lanes: [Lane] = []
        var keys: UniqueKeys

        /// - Returns: whether it waits for its due time.
        @discardableResult
        mutating func add(
            _ submission: EnqueueSubmission, queue: UInt32, name: UInt32, now: ClockReading,
            isCounted: Bool = false
        ) -> Bool {
            let priority = submission.target.priority
            // What is staged becomes ready as it is, and waits when a worker meets it: the transaction that publishes it does
            // not grow with the number of jobs.
            let due = submission.options.due
            let isHeld = submission.hold.isHeld
            let isDelayed =
                !isHeld && !due.isNone && !due.hasPassed(now) && submission.stage == nil
            let index = lanes.firstIndex {
                $0.queue == queue && $0.priority == priority && $0.stage == submission.stage
                    && $0.isDelayed == isDelayed && $0.isHeld == isHeld
            }
            if let index {
                lanes[index].submissions.append((submission, name))
            } else {
                lanes.append(
                    Lane(
                        queue: queue, priority: priority, stage: submission.stage,
                        isDelayed: isDelayed, isHeld: isHeld,
                        submissions: [(submission, name)]))
            }
            if isCounted { lanes[index ?? lanes.count - 1].counted += submission.load }
            return isDelayed
        }
    }

    func accept(
        _ accepted: inout AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard !accepted.lanes.isEmpty else { return }
        var spawned: [UInt64: Lineage] = [:]
        for lane in accepted.lanes {
            let cursor = try transaction.cursor(tables.jobs)
            let first = state.sequences.nextJob
            var gathered = JobBlockBuilder(jobs: 64, bytes: 8_192)
            var bytes: UInt64 = 0
            for (submission, name) in lane.submissions {
                submission.first = state.sequences.nextJob + UInt64(gathered.count)
                for part in [submission] + submission.more {
                    bytes += UInt64(part.block.contentSize)
                    if gathered.count > 0,
                        gathered.size + part.block.size - JobBlock.headerSize
                            > StoreFormat.blockLimit
                    {
                        try put(gathered, lane, name: nil, cursor, &state)
                        gathered.removeAll()
                    }
                    // A full block goes as it is; what is small joins others.
                    if gathered.count == 0, part.block.size > StoreFormat.blockLimit / 2 {
                        try put(part.block, lane, name: name, cursor, &state)
                    } else {
                        gathered.append(contentsOf: part.block, name: name)
                    }
                }
            }
            if gathered.count > 0 { try put(gathered, lane, name: nil, cursor, &state) }
            let count = state.sequences.nextJob - first
            if let stage = lane.stage {
                try Staging.add(
                    stage, first: first, count: count, bytes: bytes, &transaction, state)
                continue
            }
            if !lane.isDelayed, !lane.isHeld {
                try state.makeReady(
                    &transaction, queue: lane.queue, priority: lane.priority, first: first,
                    count: count)
            }
            try state.count(transaction, lane.queue) {
                $0.accepted += count - lane.counted.jobs
                $0.bytes += bytes - lane.counted.bytes
                if lane.isDelayed { $0.waiting += count - lane.counted.jobs }
                if lane.isHeld { $0.parked += count - lane.counted.jobs }
            }
            state.note(EventCode.accepted, first, count: count)
            for (submission, _) in lane.submissions where submission.options.hasTimes {
                try setTimers(submission, lane, &transaction, &state)
            }
            if state.notes != nil {
                for (submission, _) in lane.submissions { state.noteAccepted(submission) }
            }
            for (submission, _) in lane.submissions where lane.isHeld {
                try HeldJobs.accept(
                    submission, queue: lane.queue, priority: lane.priority, tables, &transaction,
                    &state)
            }
            for (submission, _) in lane.submissions where submission.options.parent != 0 {
                spawned[submission.options.parent, default: Lineage()].add(
                    first: submission.first, count: submission.jobCount)
            }
        }
        for (parent, lineage) in spawned { try lineage.write(parent, &transaction, tables) }
        let held = accepted.lanes.filter { $0.isHeld }
        accepted.lanes = []
        if !accepted.keys.isEmpty { try accepted.keys.settle(&transaction, state) }
        for lane in held {
            for (submission, _) in lane.submissions {
                try HeldJobs.cancelVain(submission, tables, &transaction, &state)
            }
        }
    }

    /// A row in `timers` for the due time of each job, and one for its expiry.
    private func setTimers(
        _ submission: EnqueueSubmission, _ lane: AcceptedLanes.Lane,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let options = submission.options
        for id in submission.first..<submission.first + submission.jobCount {
            if lane.isDelayed {
                var active = ActiveRecord(
                    state: .waiting, queue: lane.queue, priority: lane.priority)
                active.due = options.due
                try active.put(&transaction, tables.active, id)
                try state.setTimer(&transaction, queue: lane.queue, due: options.due, id: id)
            }
            if !options.expiry.isNone {
                try state.setTimer(
                    &transaction, queue: lane.queue, due: options.expiry, id: id, why: .expiry)
            }
        }
    }

    private func put(
        _ block: borrowing JobBlockBuilder, _ lane: AcceptedLanes.Lane, name: UInt32?,
        _ cursor: borrowing Cursor, _ state: inout CommitState
    ) throws(StorageError) {
        let first = state.sequences.nextJob
        let target = try cursor.append(Key(first), count: block.size)
        block.write(
            to: target, first: first, queue: lane.queue, priority: lane.priority, name: name,
            acceptedAt: time)
        state.sequences.nextJob += UInt64(block.count)
    }
}
