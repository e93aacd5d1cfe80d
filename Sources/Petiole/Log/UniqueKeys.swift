import PetioleStorage

// Unique keys
//
// Decided where a job is accepted, in the writer's transaction: LMDB lets one process write at a time, so of two that enqueue
// the same key one comes second and sees the other's row.
//
// A row is written with the job that takes the key, and goes with the outcome of that job, in the same transaction. Should it be
// left behind all the same (its job could not be read when it ended), it holds nothing: that its job is still to end is looked
// up anew each time. A key that is held beyond the end says until when, and a timer takes the row away.
//
// A replace marks the job that it replaces as one to be cancelled in the transaction that accepts its successor. A job that
// waits is ended there, and so is one that is ready in a queue that nobody owns (see `Dropping`); one that may be claimed is met by
// the handshake of a cancel: see `AttemptLoop`. Who enqueued ends it, behind the commit: see `ReplacedJobs`. A job that has ended
// and still holds its key makes no room for its successor.

/// What came of an enqueue with a unique key that was held.
enum UniqueConflict: Sendable, Equatable {
    /// That job holds the key, and is given back.
    case existing(UInt64)
    /// That job holds the key, and the enqueue is refused.
    case refused(UInt64)
    /// Two of those that are enqueued together have the key, and are refused.
    case repeated
}

/// One of many that were enqueued together is there already.
struct ExistingJob: Sendable, Equatable {
    /// Its place among them.
    var index: Int
    var id: UInt64
}

struct UniqueRefusal: Error {
    var conflict: UniqueConflict
}

struct UniqueKeys {
    let slots: RunningSlots
    /// Keys that jobs of this commit take, whose ids are not given yet.
    private var taking: [[UInt8]: EnqueueSubmission] = [:]
    /// The last one that took the place of a job which ends.
    private var replacing: EnqueueSubmission?
    /// Enqueues that met one of those.
    private var meeting: [(EnqueueSubmission, holder: EnqueueSubmission)] = []

    init(_ slots: RunningSlots) { self.slots = slots }

    var isEmpty: Bool { taking.isEmpty }

    enum Decision {
        case accept
        case conflict
        /// What is to be accepted must have its ids first.
        case acceptOthersFirst
    }

    /// Decides about a job whose options have a key.
    mutating func decide(
        _ submission: EnqueueSubmission, _ hold: UniqueHold, name: UInt32,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Decision {
        let row = UniqueRecord.row(name: name, key: hold.key)
        if let holder = taking[row] {
            if submission.onConflict == .replace { return .acceptOthersFirst }
            meeting.append((submission, holder))
            return .conflict
        }
        if let holder = try holder(of: row, transaction, state) {
            switch submission.onConflict {
            case .giveBack:
                submission.conflict = .existing(holder)
                return .conflict
            case .refuse:
                submission.conflict = .refused(holder)
                return .conflict
            case .replace:
                switch try replace(holder, &transaction, &state) {
                case .hasStarted:
                    submission.conflict = .refused(holder)
                    return .conflict
                case .marked:
                    submission.replaced = holder
                    replacing = submission
                case .done: replacing = submission
                case .hadEnded: break
                }
            }
        }
        taking[row] = submission
        return .accept
    }

    /// Whether an enqueue that was just accepted takes the place of a job that ends.
    func replaces(_ submission: EnqueueSubmission) -> Bool { replacing === submission }

    /// An enqueue is not accepted after all: it takes no key.
    mutating func withdraw(_ submission: EnqueueSubmission) {
        guard let hold = submission.options.unique else { return }
        for (row, taker) in taking where taker === submission && row.dropFirst(4) == hold.key[...] {
            taking[row] = nil
        }
    }

    /// Behind the giving of ids: writes the rows.
    mutating func settle(
        _ transaction: inout WriteTransaction, _ state: CommitState
    ) throws(StorageError) {
        for (row, submission) in taking {
            guard let hold = submission.options.unique else { continue }
            try UniqueRecord(id: submission.first, hold: hold.kind)
                .put(row, &transaction, state.tables.unique)
        }
        for (submission, holder) in meeting {
            submission.conflict =
                submission.onConflict == .refuse
                ? .refused(holder.first) : .existing(holder.first)
        }
        taking = [:]
        meeting = []
    }

    // MARK: Many

    /// Writes the rows of jobs that are accepted together from the id `first` on, at once: each enqueue before them has its ids.
    /// - Returns: those of them that are not accepted, since another job holds their key, with its id; in order.
    /// - Throws: nothing of it is in the way of another try when a key is refused: see ``undo(_:first:name:_:_:)``.
    func take(
        _ keys: UniqueKeyList, first: UInt64, name: UInt32, _ transaction: inout WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) -> Result<[ExistingJob], UniqueRefusal> {
        let table = state.tables.unique
        var existing: [ExistingJob] = []
        var refusal: UniqueConflict?
        do {
            let cursor = try transaction.cursor(table)
            try keys.forEachRow(of: name) { (index, row, rule) throws(StorageError) in
                let record = UniqueRecord(
                    id: first + UInt64(index - existing.count), hold: rule.kind!)
                let found: UnsafeRawBufferPointer
                switch try cursor.insertIfNew(row, count: UniqueRecord.size) {
                case .place(let target):
                    record.write(to: target)
                    return true
                case .exists(let bytes): found = bytes
                }
                guard let holder = try holder(in: found, first: first, transaction, state) else {
                    try record.put(row, &transaction, table)
                    return true
                }
                if rule.refuses {
                    refusal = holder >= first ? .repeated : .refused(holder)
                    return false
                }
                existing.append(ExistingJob(index: index, id: holder))
                return true
            }
        }
        guard let refusal else { return .success(existing) }
        try undo(keys, first: first, name: name, &transaction, state)
        return .failure(UniqueRefusal(conflict: refusal))
    }

    /// Takes the rows away again: the jobs are not accepted after all.
    func undo(
        _ keys: UniqueKeyList, first: UInt64, name: UInt32, _ transaction: inout WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) {
        let table = state.tables.unique
        try keys.forEachRow(of: name) { (_, row, _) throws(StorageError) in
            guard let found = try transaction.value(table, row) else { return true }
            let record = try formatted { () throws(FormatError) in try UniqueRecord(found) }
            if record.id >= first { try transaction.delete(table, row) }
            return true
        }
    }

    /// The same for one of many: those that are accepted with it are not in the log yet.
    private func holder(
        in found: UnsafeRawBufferPointer, first: UInt64, _ transaction: borrowing WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) -> UInt64? {
        let record = try formatted { () throws(FormatError) in try UniqueRecord(found) }
        if record.id >= first { return record.id }
        return try holder(in: found, transaction, state)
    }

    /// The job that holds a key now.
    private func holder(
        of row: [UInt8], _ transaction: borrowing WriteTransaction, _ state: CommitState
    ) throws(StorageError) -> UInt64? {
        let tables = state.tables
        let found = try withBytes(row) { (row) throws(StorageError) in
            try transaction.value(tables.unique, row)
        }
        guard let found else { return nil }
        return try holder(in: found, transaction, state)
    }

    /// The job that holds a key now by its row.
    private func holder(
        in found: UnsafeRawBufferPointer, _ transaction: borrowing WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) -> UInt64? {
        let tables = state.tables
        let record = try formatted { () throws(FormatError) in try UniqueRecord(found) }
        if !record.until.isNone { return record.until.hasPassed(state.time) ? nil : record.id }
        let active = try Lookup.active(record.id, transaction, tables)
        if active == nil {
            if try Lookup.outcomes(record.id, transaction, tables) != nil { return nil }
            if try Lookup.block(record.id, transaction, tables) == nil { return nil }
        }
        if record.hold == .untilStarted {
            if let active, active.attempts > 0 { return nil }
            if slots.slot(of: record.id) != nil { return nil }
        }
        return record.id
    }

    private enum Replacement { case done, marked, hasStarted, hadEnded }

    /// Ends a job that waits or that nobody can have claimed, marks another one as one to be cancelled.
    private func replace(
        _ id: UInt64, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Replacement {
        let tables = state.tables
        guard let block = try Lookup.block(id, transaction, tables) else { return .hadEnded }
        var active =
            try Lookup.active(id, transaction, tables)
            ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
        // Held beyond its end: there is nothing to cancel.
        if try Lookup.outcomes(id, transaction, tables) != nil { return .hadEnded }
        if active.attempts > 0 || slots.slot(of: id) != nil { return .hasStarted }
        var unclaimed = Unclaimed(state.runners)
        if unclaimed.contains(id, active) {
            try Unclaimed.cancel(id, active, &transaction, &state)
            return .done
        }
        active.isCancelRequested = true
        try active.put(&transaction, tables.active, id)
        state.controlMoved = true
        return .marked
    }
}
