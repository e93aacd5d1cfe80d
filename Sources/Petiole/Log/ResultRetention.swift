import PetioleStorage

// Results that are not kept as long as the store keeps what has ended
//
// A job that was told so gets a row in `timers` with the outcome that gives its result. When it is due:
//
// | where the outcome lies | what happens |
// |---|---|
// | in `outcomes` | the result's bytes go, and the outcome says that none is kept |
// | in `revised`, where pruning has put it to outlive its block | job and outcome go |
// | nowhere: pruned | nothing |
// | the job was requeued, or has ended anew since | nothing: its new end has a row of its own |
//
// Outcomes that lie in one block are dealt with together: it is written anew once.

/// For how long a job's result is kept after its end.
struct ResultRetention: Sendable {
    let id: UInt64
    /// Microseconds.
    let after: Int64
    /// When the attempt began that gave it: another end of the job has a timer of its own.
    let startedAt: Int64

    /// In the transaction that records the success.
    func begin(
        queue: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var until = StoreTime(state.time, after: after)
        // A unique key that is held as long has its row there.
        if try transaction.value(state.tables.timers, RecordKey.timer(queue, until, id)) != nil {
            until = StoreTime(steady: until.microseconds + 1)
        }
        try state.setTimer(
            &transaction, queue: queue, due: until, id: id, why: .result, startedAt)
    }

    /// Whether a job that has ended is to outlive its block, because its result is kept longer.
    static func isKept(
        _ id: UInt64, _ outcome: OutcomeBlockView.Entry, _ block: JobBlockView, now: Int64
    ) -> Bool {
        guard outcome.state == .succeeded, !outcome.isResultDiscarded,
            block.flagsHint(id) & JobBlock.hasOptions != 0,
            // What cannot be read is kept no longer than others.
            let retention = try? block.entry(id).options().resultRetention, retention > 0
        else { return false }
        let (until, overflow) = (outcome.startedAt + outcome.runMicroseconds)
            .addingReportingOverflow(retention)
        return overflow || until > now
    }

    // MARK: The end

    /// What a timer says: which job, and when its attempt began.
    struct Due: Sendable {
        let id: UInt64
        let startedAt: Int64

        /// - Parameter value: that of the timer's row.
        init(_ id: UInt64, _ value: some RandomAccessCollection<UInt8>) {
            self.id = id
            // Without it, of no attempt.
            startedAt = Array(value.dropFirst().prefix(8)).withUnsafeBytes {
                $0.count == 8 ? $0.littleEndian(at: 0) : 0
            }
        }
    }

    /// The time is over for the results of these jobs.
    static func end(
        _ due: [Due], _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let due = due.sorted { $0.id < $1.id }
        var next = 0
        while next < due.count {
            next += try endFirst(due[next...], &transaction, tables)
        }
    }

    /// Lets go of a queue's results whose time is over, without firing its other timers: nobody may be there to run what
    /// becomes due. Looks at 10,000 rows a transaction, whatever they are.
    /// - Parameter next: where to begin; nil: with the first.
    /// - Returns: where to go on; nil when there are no more.
    static func endDue(
        _ queue: UInt32, from next: Key?, limit: Int = 10_000,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Key? {
        let tables = state.tables
        var due: [Due] = []
        var times: [StoreTime] = []
        var goesOn: Key?
        do {
            let cursor = try transaction.cursor(tables.timers)
            var entry = try cursor.ceiling(next ?? RecordKey.timer(queue, .firstSteady, 0))
            var looks = 0
            while let (key, value) = entry,
                let time = Timers.time(key, of: queue), time.hasPassed(state.time)
            {
                if looks == limit {
                    goesOn = RecordKey.timer(queue, time, key.bigEndian(at: 12))
                    break
                }
                looks += 1
                if value.first == TimerReason.result.rawValue {
                    due.append(Due(key.bigEndian(at: 12), value))
                    times.append(time)
                }
                entry = try cursor.next()
            }
        }
        for (time, one) in zip(times, due) {
            try transaction.delete(tables.timers, RecordKey.timer(queue, time, one.id))
        }
        try end(due, &transaction, tables)
        if !due.isEmpty { state.hasRoom = true }
        return goesOn
    }

    /// Deals with the first of them, and those whose outcomes lie with its own.
    /// - Returns: how many.
    private static func endFirst(
        _ due: ArraySlice<Due>, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Int {
        let first = due[due.startIndex].id
        guard let block = try Lookup.outcomes(first, transaction, tables) else { return 1 }
        let some = due.prefix { $0.id < block.end }
        var over: Set<UInt64> = []
        for one in some where try Lookup.active(one.id, transaction, tables) == nil {
            // What cannot be read stays; and another end has a timer of its own.
            if let outcome = try? block.entry(one.id), outcome.state == .succeeded,
                outcome.startedAt == one.startedAt
            {
                over.insert(one.id)
            }
        }
        // Beside one that cannot be read the others are left as they are.
        guard !over.isEmpty, let rest = stripped(block, over) else { return some.count }
        let queue = block.queue
        let start = block.first
        // From here on the block is not read any more.
        if try transaction.delete(tables.revised, Key(first)) {
            try transaction.delete(tables.kept, Key(first))
            return 1
        }
        try transaction.delete(tables.outcomes, Key(start))
        let cursor = try transaction.cursor(tables.outcomes)
        rest.write(to: try cursor.insert(Key(start), count: rest.size), queue: queue)
        return some.count
    }

    /// Outcomes without the results of some; nil when they cannot be read.
    private static func stripped(
        _ block: OutcomeBlockView, _ ids: Set<UInt64>
    ) -> OutcomeBlockBuilder? {
        var builder = OutcomeBlockBuilder(capacity: block.count)
        for id in block.first..<block.end {
            // The caller leaves all of them alone.
            guard let entry = try? block.entry(id) else { return nil }
            var outcome = OutcomeEntry(entry)
            var result = entry.result
            if ids.contains(id) {
                outcome.codec = OutcomeBlock.discardedFlag
                result = UnsafeRawBufferPointer(rebasing: result[..<0])
            }
            builder.append(id, outcome, of: block, history: entry.history, result: result)
        }
        return builder
    }
}

/// An attempt's result has more bytes than the job may give: the job becomes a dead letter at once, since the next attempt
/// would give the same.
struct ResultTooLarge: Error {
    let bytes: Int
    let limit: Int
    var reason: String {
        "its result has \(bytes) bytes, and \(limit) are allowed: put it in a file and give its path, or raise resultLimit"
    }
}
