import PetioleStorage

/// How submissions become rows. Runs on the writer's thread inside its transaction; decides nothing about jobs.
struct LogCommit {
    let tables: StoreTables
    let time: ClockReading
    let ranges: ProgressTable
    let slots: RunningSlots

    /// Applies submissions in the order in which they came.
    func apply(
        _ submissions: [Submission], _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        var lanes = AcceptedLanes(keys: UniqueKeys(slots))
        for submission in submissions {
            if let enqueue = submission as? EnqueueSubmission {
                try take(enqueue, &lanes, &transaction, &state)
            } else if let outcomes = submission as? OutcomeSubmission {
                try record(outcomes, &lanes, &transaction, &state)
            } else if let operation = submission as? OperationSubmission {
                // What came before an operation is there when it looks.
                try accept(&lanes, &transaction, &state)
                try operation.apply(&transaction, &state)
            } else if let firing = submission as? FiringSubmission {
                try firing.apply(self, &lanes, &transaction, &state)
            }
        }
        try accept(&lanes, &transaction, &state)
        try HeldJobs.follow(tables, &transaction, &state)
        try state.finish(&transaction)
    }

    private func record(
        _ submission: OutcomeSubmission, _ lanes: inout AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let queue = submission.queue
        // A commit that failed may have left its own answers.
        if submission.effects != nil {
            submission.refusal = nil
            submission.roomFirst = nil
        }
        let row = try state.queue(named: queue.name, &transaction)
        // Fencing: somebody else owns the queue now, and what we ran may run there again.
        guard row.epoch == queue.epoch else { return queue.noteFenced() }
        submission.isPostponed = submission.transitions.contains { $0.orderedKey != nil }
        if let effects = submission.effects, try hasChanged(effects.reads, transaction) {
            submission.isPostponed = submission.orderedKey != nil
            try apply(
                Transition(
                    id: effects.job, priority: submission.priority,
                    step: .postpone(due: StoreTime(steady: time.steady)),
                    orderedKey: submission.orderedKey),
                queue, &transaction, &state)
        } else if submission.outcomes.count > 0 {
            if let effects = submission.effects,
                let refusal = try refusal(of: effects, in: queue.id, transaction, &state)
            {
                // Nothing of it is recorded; what follows instead is decided by its maker.
                submission.refusal = refusal
                return
            }
            if let effects = submission.effects, effects.replacement != nil {
                return try replace(submission, by: effects, queue, &lanes, &transaction, &state)
            }
            let recorded = try put(submission, &transaction, &state)
            let isFirst = submission.isAllOf(recorded)
            for release in submission.releases {
                // One that was cancelled meanwhile has freed it already.
                try release.apply(queue: queue.id, &transaction, &state)
            }
            for retention in submission.retentions {
                try retention.begin(queue: queue.id, &transaction, &state)
            }
            if !submission.members.isEmpty {
                try count(submission, recorded, &transaction, &state)
            }
            if isFirst, let effects = submission.effects {
                try apply(effects, of: submission, in: queue.id, &lanes, &transaction, &state)
            }
        }
        for transition in submission.transitions {
            try apply(transition, queue, &transaction, &state)
        }
        for move in submission.moves { try apply(move, queue, &transaction, &state) }
        settle(submission, &state)
    }

    /// Which of the lane's ranges are done with.
    func settle(_ submission: OutcomeSubmission, _ state: inout CommitState) {
        for settled in submission.settled {
            guard
                var progress = state.progress[settled.tag] ?? ranges[settled.tag]
            else { continue }
            progress.settle(first: settled.first, count: settled.count)
            state.progress[settled.tag] = progress
        }
    }

    /// Whether rows hold something else than when they were read.
    private func hasChanged(
        _ reads: [[UInt8]: UInt64?], _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> Bool {
        for (row, hash) in reads {
            let found = try withBytes(row) { (row) throws(StorageError) in
                try transaction.value(tables.rows, row).map { AttemptEffects.hash($0) }
            }
            if found != hash { return true }
        }
        return false
    }

    /// Whether there is no room for what a job enqueues with its success, and nothing can be dropped for it. Its own end
    /// makes room for one.
    private func refusal(
        of effects: AttemptEffects, in queue: UInt32, _ transaction: borrowing WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> EnqueueError? {
        var added: [UInt32: JobLoad] = [:]
        for enqueue in effects.spawned {
            // A queue that is new has no capacity.
            guard enqueue.options.unique == nil,
                let target = try state.knownQueue(of: enqueue.target, transaction)
            else { continue }
            added[target, default: JobLoad()] += enqueue.load
            var load = added[target]!
            if target == queue { load.jobs -= 1 }
            let admission = try state.admission(
                of: load, in: target, whenFull: enqueue.whenFull, transaction)
            switch admission {
            case .refuse(let reached), .wait(_, let reached):
                return enqueue.noRoom(reached)
            case .accept, .drop: break
            }
        }
        return nil
    }

    private enum Application {
        case done
        /// Something of it cannot be done; what was done by then is to be undone.
        case refused(EnqueueError)
        /// Nor can it in this transaction alone: likewise.
        case roomFirst(RoomFirst)
    }

    /// What a job wants done with its success; when that cannot be, what was recorded is to be undone: tried again alone, it says
    /// so alone.
    func apply(
        _ effects: AttemptEffects, of submission: OutcomeSubmission, in queue: UInt32,
        _ lanes: inout AcceptedLanes, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        switch try apply(effects, in: queue, &lanes, &transaction, &state) {
        case .done: return
        case .refused(let error): submission.refusal = error
        case .roomFirst(let room): submission.roomFirst = room
        }
        throw .mapFull
    }

    /// What a job wants done with its success: see ``AttemptEffects``.
    private func apply(
        _ effects: AttemptEffects, in queue: UInt32, _ lanes: inout AcceptedLanes,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Application {
        for enqueue in effects.spawned {
            try take(enqueue, &lanes, &transaction, &state)
            switch enqueue.refusal {
            case nil: break
            case .refused(let reached), .wait(_, let reached):
                return .refused(enqueue.noRoom(reached))
            case .again:
                return .roomFirst(
                    try roomFirst(for: enqueue, of: effects, in: queue, &transaction, &state))
            }
        }
        for (row, value) in effects.writes {
            try withBytes(row) { (row) throws(StorageError) in
                guard let value else { return _ = try transaction.delete(tables.rows, row) }
                try withBytes(value) { (value) throws(StorageError) in
                    try transaction.put(tables.rows, row, value)
                }
            }
        }
        return .done
    }

    /// All that a job enqueues in the queue of one of them, less the place that its own end gives back.
    private func roomFirst(
        for enqueue: EnqueueSubmission, of effects: AttemptEffects, in queue: UInt32,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> RoomFirst {
        let target = enqueue.target
        var load = JobLoad()
        for other in effects.spawned where other.target.queueName == target.queueName {
            // Others that have a key may turn out to be there.
            if other === enqueue || other.options.unique == nil { load += other.load }
        }
        if try state.numbers(of: target, &transaction).queue == queue { load.jobs -= 1 }
        return RoomFirst(load: load, target: target, whenFull: enqueue.whenFull)
    }

    /// - Returns: the jobs whose first outcomes these are.
    private func put(
        _ submission: OutcomeSubmission, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> [(first: UInt64, end: UInt64)] {
        let first = submission.outcomes.first
        let end = submission.outcomes.end
        let free = try Unrecorded.runs(first, end, transaction, tables)
        if submission.isAllOf(free) {
            try insert(
                submission.outcomes, submission.queue, bytes: submission.contentBytes,
                &transaction, &state)
        } else {
            // Somebody was quicker: who cancels a job records it too when it will not start.
            for run in free {
                try insert(
                    submission.outcomes.part(from: run.first, to: run.end), submission.queue,
                    bytes: nil, &transaction, &state)
            }
        }
        // Active rows of jobs that ended say nothing any more.
        if try transaction.count(tables.active) > 0 {
            let cursor = try transaction.cursor(tables.active)
            var entry = try cursor.ceiling(Key(first))
            while let (key, value) = entry {
                let id: UInt64 = key.bigEndian(at: 0)
                guard id < end else { break }
                let active = try formatted { () throws(FormatError) in try ActiveRecord(value) }
                try cursor.delete()
                if active.isSuspect {
                    try transaction.delete(tables.parked, RecordKey.suspect(active.queue, id))
                }
                if active.holdsKey {
                    try OrderedKeys.release(id, active.queue, tables, &transaction, &state)
                }
                if active.isDropped {
                    let bytes = try ContentBytes.of(id, id + 1, transaction, tables)
                    try Dropping.unmark(id, active, bytes: bytes, &transaction, &state)
                }
                // After a delete the cursor stands on the entry that followed.
                entry = try cursor.ceiling(Key(id + 1))
            }
        }
        return free
    }

    private func put(
        _ outcomes: borrowing OutcomeBlockBuilder, _ queue: OwnedQueue,
        _ transaction: borrowing WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.outcomes)
        let target = try cursor.insert(Key(outcomes.first), count: outcomes.size)
        outcomes.write(to: target, queue: queue.id)
        if state.notes != nil {
            try state.noteEnded(
                outcomes.first, UnsafeRawBufferPointer(start: target, count: outcomes.size),
                transaction)
        }
    }

    /// - Parameter bytes: of the jobs, as far as they are known.
    private func insert(
        _ outcomes: borrowing OutcomeBlockBuilder, _ queue: OwnedQueue, bytes: UInt64?,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var ended = bytes ?? 0
        if bytes == nil {
            ended = try ContentBytes.of(outcomes.first, outcomes.end, transaction, tables)
        }
        if outcomes.failures == 0 {
            try put(outcomes, queue, transaction, &state)
        } else {
            let counted = try FailureTable.counted(outcomes, &transaction, state)
            try put(counted, queue, transaction, &state)
        }
        try state.count(transaction, queue.id) { counters in
            outcomes.forEachState { counters.count($0) }
            counters.takeOff(bytes: ended)
        }
        state.note(outcomes)
        state.ended.append((outcomes.first, outcomes.end - outcomes.first))
    }

    private func apply(
        _ transition: Transition, _ queue: OwnedQueue, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let id = transition.id
        if case .cancel = transition.step {
            // Cancelled by who asked, and requeued since: nobody has asked that of this one.
            guard let active = try Lookup.active(id, transaction, tables), active.isCancelRequested
            else { return }
            return try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
        }
        if case .expire = transition.step {
            guard let active = try Lookup.active(id, transaction, tables), active.isExpired else {
                return
            }
            return try OutcomeRecording.record(
                id, .expired, nil, active, tables, &transaction, &state)
        }
        if case .change(let position) = transition.step {
            return try PendingChanges.met(
                id, position: position, priority: transition.priority, queue: queue.id, tables,
                &transaction, &state)
        }
        if case .drop = transition.step {
            guard let active = try Lookup.active(id, transaction, tables), active.isDropped else {
                return
            }
            return try OutcomeRecording.record(
                id, .dropped, nil, active, tables, &transaction, &state)
        }
        // Cancelled meanwhile by who took it for one that had not started: it stays so.
        guard try Lookup.outcomes(id, transaction, tables) == nil else { return }
        var active: ActiveRecord
        if let bytes = try transaction.value(tables.active, Key(id)) {
            active = try formatted { () throws(FormatError) in try ActiveRecord(bytes) }
        } else {
            active = ActiveRecord(
                state: .ready, queue: queue.id, priority: transition.priority)
        }
        if active.isSuspect {
            try transaction.delete(tables.parked, RecordKey.suspect(queue.id, id))
            active.isSuspect = false
        }
        if active.isExpired || active.isDropped, !active.isCancelRequested {
            if case .retry(_, let attempt) = transition.step {
                active.attempts = UInt16(clamping: attempt.attempt)
                active.history = AttemptHistory.appending(attempt, to: active.history)
            }
            return try OutcomeRecording.record(
                id, active.isDropped ? .dropped : .expired, nil, active, tables, &transaction,
                &state)
        }
        if active.isCancelRequested {
            // There will be no other attempt, and so nobody to meet the request later.
            if case .retry(_, let attempt) = transition.step {
                active.attempts = UInt16(clamping: attempt.attempt)
                active.history = AttemptHistory.appending(attempt, to: active.history)
            }
            return try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
        }
        // The attempt has ended.
        active.startEpoch = 0
        // Asked for by somebody who has not come yet: to do it, or to take it back since the job runs.
        var pending = active.pending
        active.pending = nil
        switch transition.step {
        case .retry(let due, let attempt):
            pending = nil
            active.state = .waiting
            active.attempts = UInt16(clamping: attempt.attempt)
            active.due = due
            active.history = AttemptHistory.appending(attempt, to: active.history)
            try state.setTimer(&transaction, queue: queue.id, due: due, id: id)
            try state.count(transaction, queue.id) {
                $0.waiting += 1
                $0.retries += 1
            }
            state.note(EventCode.retried, id)
        case .postpone(let due):
            active.state = .waiting
            active.due = due
            try state.setTimer(&transaction, queue: queue.id, due: due, id: id)
            try state.count(transaction, queue.id) { $0.waiting += 1 }
            state.note(EventCode.postponed, id)
        case .park(let name, let deadline):
            try park(id, &active, .unknownName, name: name, &transaction, &state)
            active.due = deadline
            try state.setTimer(&transaction, queue: queue.id, due: deadline, id: id)
        case .pause(let name):
            if try PausedTypes.contains(queue: queue.id, name: name, transaction, tables) {
                try park(id, &active, .pausedType, name: name, &transaction, &state)
            } else {
                // It has gone on since, and nobody looks for this job any more.
                active.position = try state.makeReady(
                    &transaction, queue: queue.id, priority: active.priority, first: id, count: 1)
            }
        case .cancel, .expire, .change, .drop: break
        }
        if let key = transition.orderedKey {
            active.holdsKey = true
            try OrderedKeys.hold(key, id, queue.id, tables, &transaction)
        }
        if state.notes != nil { state.note(transition, attempts: active.attempts) }
        try active.put(&transaction, tables.active, id)
        guard let pending else { return }
        // It has not run, or it is as if it had not: see `PendingChanges`.
        active.pending = pending
        try PendingChanges.carryOut(id, active, tables, &transaction, &state)
    }

    private func park(
        _ id: UInt64, _ active: inout ActiveRecord, _ why: ActiveRecord.Parking, name: UInt32,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        active.state = .parked
        active.parking = why
        active.name = name
        active.position = state.sequences.takePosition()
        try transaction.put(
            tables.parked, RecordKey.parked(why, active.queue, name, active.position), count: 8
        ) { $0.storeLittleEndian(id, at: 0) }
        try state.count(transaction, active.queue) { $0.parked += 1 }
        state.note(why == .unknownName ? EventCode.parked : EventCode.paused, id)
        state.hasParked = true
    }
}
