import PetioleStorage

/// Why a row of `timers` is there: its value.
enum TimerReason: UInt8 {
    /// A job that waits is due, or one that is parked has been for long enough.
    case due = 1
    /// A job's expiry.
    case expiry = 2
    /// The end of the time for which an ended job holds its unique key; the row of `unique` is behind it.
    case unique = 3
    /// The end of the time for which an ended job's result is kept.
    case result = 4
}

/// What happens when a timer is due: a waiting job becomes ready at the end of its lane, one that was parked too long becomes
/// a dead letter. In the writer's transaction.
enum Timers {
    /// 10,000 a transaction: some milliseconds of work.
    private static let limit = 10_000

    /// Fires what is due in a queue.
    /// - Returns: jobs whose expiry has passed and that may be claimed or running: see ``Expiry``.
    static func fire(
        _ queue: UInt32, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> [UInt64] {
        var due: [(due: StoreTime, id: UInt64, value: [UInt8])] = []
        do {
            let cursor = try transaction.cursor(tables.timers)
            // Each line by its own clock; within a line in the order of their times.
            for first: StoreTime in [0, .firstSteady] {
                var entry = try cursor.ceiling(RecordKey.timer(queue, first, 0))
                while let (key, value) = entry, due.count < limit, let time = time(key, of: queue),
                    time.isSteady == first.isSteady, time.hasPassed(state.time)
                {
                    due.append((time, key.bigEndian(at: 12), Array(value)))
                    entry = try cursor.next()
                }
            }
        }
        var expiring: [UInt64] = []
        var results: [ResultRetention.Due] = []
        for timer in due {
            try transaction.delete(tables.timers, RecordKey.timer(queue, timer.due, timer.id))
            switch timer.value.first.flatMap({ TimerReason(rawValue: $0) }) {
            case .expiry:
                if try expire(timer.id, tables, &transaction, &state) { expiring.append(timer.id) }
            case .unique:
                try withBytes(timer.value) { (value) throws(StorageError) in
                    try UniqueRelease.expire(
                        UnsafeRawBufferPointer(rebasing: value[1...]), id: timer.id, &transaction,
                        state)
                }
            case .result: results.append(ResultRetention.Due(timer.id, timer.value))
            case .due, nil: try fire(timer.id, due: timer.due, tables, &transaction, &state)
            }
        }
        try ResultRetention.end(results, &transaction, tables)
        if !results.isEmpty { state.hasRoom = true }
        return expiring
    }

    /// The time in the key of a row; nil when it is not of the queue.
    static func time(_ key: UnsafeRawBufferPointer, of queue: UInt32) -> StoreTime? {
        guard key.count == 20, key.bigEndian(at: 0, as: UInt32.self) == queue else { return nil }
        return StoreTime(rawValue: Int64(clamping: key.bigEndian(at: 4, as: UInt64.self)))
    }

    /// The next timer of a queue on each line.
    static func next(
        _ queue: UInt32, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> (wall: StoreTime?, steady: StoreTime?) {
        let cursor = try reader.cursor(tables.timers)
        guard let (key, _) = try cursor.ceiling(RecordKey.timer(queue, 0, 0)),
            let first = time(key, of: queue)
        else { return (nil, nil) }
        if first.isSteady { return (nil, first) }
        guard let (key, _) = try cursor.ceiling(RecordKey.timer(queue, .firstSteady, 0)) else {
            return (first, nil)
        }
        return (first, time(key, of: queue))
    }

    /// A job's expiry has passed.
    /// - Returns: whether it is only marked, since it may be claimed or running.
    private static func expire(
        _ id: UInt64, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        let found = try Lookup.active(id, transaction, tables)
        if found == nil, try Lookup.outcomes(id, transaction, tables) != nil { return false }
        guard let block = try Lookup.block(id, transaction, tables) else { return false }
        var active = try UnstartedJobs.standing(found, id, block, transaction, tables)
        // Somebody wanted it all the same.
        if active.generation > 0 { return false }
        if active.state != .ready {
            try OutcomeRecording.record(id, .expired, nil, active, tables, &transaction, &state)
            return false
        }
        active.isExpired = true
        try active.put(&transaction, tables.active, id)
        state.controlMoved = true
        return true
    }

    private static func fire(
        _ id: UInt64, due: StoreTime, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard var active = try Lookup.active(id, transaction, tables), active.due == due,
            active.state != .ready
        else { return }
        if active.state == .waiting, !active.isCancelRequested {
            active.state = .ready
            active.due = 0
            active.position = try state.makeReady(
                &transaction, queue: active.queue, priority: active.priority, first: id, count: 1)
            try active.put(&transaction, tables.active, id)
            state.note(.ready, id, attempts: active.attempts)
            state.note(EventCode.ready, id)
            return try state.count(transaction, active.queue) { $0.waiting &-= 1 }
        }
        if active.isCancelRequested {
            return try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
        }
        let failure = FailureRecord(
            type: "UnknownName",
            message:
                "no runner of its queue knew the name of this job for as long as it may be parked")
        try OutcomeRecording.record(
            id, .deadLetter, failure, active, tables, &transaction, &state)
    }
}

/// Records an outcome without an attempt, in the writer's transaction: for whatever ends jobs that do not run.
enum OutcomeRecording {
    static func cancel(
        _ id: UInt64, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        try record(id, .cancelled, nil, active, tables, &transaction, &state)
    }

    /// Ends a job: its outcome, its rows, the counters. Does nothing when it has an outcome already.
    /// - Parameters:
    ///   - concludes: a workflow has ended for which the job stands; otherwise that is asked to end, and the job ends with it.
    ///   - source: the job whose result is this one's.
    ///   - cause: the end of another job because of which this one is cancelled.
    static func record(
        _ id: UInt64, _ kind: OutcomeBlock.State, _ failure: FailureRecord?, _ active: ActiveRecord,
        concludes: Bool = false, resultOf source: UInt64? = nil,
        becauseOf cause: HeldJobs.End? = nil, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard try Lookup.outcomes(id, transaction, tables) == nil else { return }
        let standsFor =
            active.state == .parked && active.parking == .workflow ? active.position : 0
        // A workflow ends when nothing of it runs any more.
        if standsFor != 0, !concludes {
            return try WorkflowSteps.close(standsFor, as: kind, &transaction, &state)
        }
        var result = ByteWriter(capacity: 64)
        var codec: UInt8 = 0
        if let source {
            codec = OutcomeBlock.resultOfAnother
            result.append(littleEndian: source)
        }
        if let cause {
            codec = OutcomeBlock.becauseOfAnother
            result.append(littleEndian: cause.job)
            result.append(littleEndian: cause.state.rawValue)
        }
        if let failure {
            if let reference = try FailureTable.count(failure, &transaction, state) {
                codec = FailureTable.reference
                result.append(littleEndian: reference)
            } else {
                failure.write(to: &result)
            }
        }
        var block = OutcomeBlockBuilder()
        var outcome = OutcomeEntry(
            state: kind, codec: codec, attempt: active.attempts, startedAt: state.now,
            runMicroseconds: 0)
        if standsFor != 0, let accepted = try Lookup.block(id, transaction, tables)?.acceptedAt {
            // A workflow runs from its acceptance on.
            outcome.startedAt = min(accepted, state.now)
            outcome.runMicroseconds = state.now - outcome.startedAt
        }
        result.withBytes { result in
            active.history.withUnsafeBytes { history in
                block.append(
                    id, outcome, history: history.isEmpty ? nil : history, result: result)
            }
        }
        do {
            let cursor = try transaction.cursor(tables.outcomes)
            let target = try cursor.insert(Key(id), count: block.size)
            block.write(to: target, queue: active.queue)
            if state.notes != nil {
                try state.noteEnded(
                    id, UnsafeRawBufferPointer(start: target, count: block.size), transaction)
            }
        }
        try removeRows(id, active, tables, &transaction)
        if active.holdsKey {
            try OrderedKeys.release(id, active.queue, tables, &transaction, &state)
        }
        let member = try release(id, tables, &transaction, &state)
        let bytes = try ContentBytes.of(id, id + 1, transaction, tables)
        try Dropping.unmark(id, active, bytes: bytes, &transaction, &state)
        try state.count(transaction, active.queue) { counters in
            counters.count(kind)
            counters.takeOff(bytes: bytes)
            if active.state == .waiting { counters.waiting &-= 1 }
            if active.state == .parked { counters.parked &-= 1 }
        }
        state.ended.append((id, 1))
        state.note(EventCode.ended + kind.rawValue, id)
        if let member {
            let failed: UInt64 = kind == .succeeded ? 0 : 1
            try WorkflowSteps.ended(
                member, count: 1, failed: failed, cause: id, &transaction, &state)
        }
    }

    /// Frees the unique key of a job that ends without an attempt.
    /// - Returns: the workflow that it is a part of.
    private static func release(
        _ id: UInt64, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> WorkflowMember? {
        guard let block = try Lookup.block(id, transaction, tables) else { return nil }
        // What cannot be read holds no key: see `UniqueKeys`.
        guard let entry = try? block.entry(id), let options = try? entry.options() else {
            return try state.unreadableMember(id, transaction)
        }
        try UniqueRelease(id: id, name: entry.meta.name, options)?
            .apply(queue: block.queue, &transaction, &state)
        return options.workflow
    }

    /// Deletes what `active`, `timers`, `parked` and the suspects hold of a job. A mark goes with ``Dropping/unmark``.
    static func removeRows(
        _ id: UInt64, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        if !active.due.isNone {
            try transaction.delete(tables.timers, RecordKey.timer(active.queue, active.due, id))
        }
        if active.state == .parked {
            if active.parking == .held {
                try HeldJobs.removeWaits(id, tables, &transaction)
            }
            try transaction.delete(
                tables.parked,
                RecordKey.parked(active.parking, active.queue, active.name, active.position))
        }
        if active.isSuspect {
            try transaction.delete(tables.parked, RecordKey.suspect(active.queue, id))
        }
        try transaction.delete(tables.active, Key(id))
    }
}
