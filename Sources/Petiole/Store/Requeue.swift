import PetioleStorage

// Requeueing
//
// A job that has ended runs once more: its outcome is taken out of the log of outcomes, and a row of `active` says that it is
// ready again, at the end of its lane, one generation later. From then on it is like any job that has a row; its next outcome
// is the one that is recorded. What it came to before lies in its history. One transaction does all of it, with the counters,
// so a requeue and a prune, or two requeues, meet in one order: the second finds no outcome.
//
// The range in which the job was accepted may still be in its lane, because others of it have not ended. A job whose row names
// another position is passed over there.

/// What a requeue came to.
public enum RequeueResult: Sendable, Hashable {
    /// The job is ready again.
    case requeued
    /// The job has not ended: there is nothing to do.
    case notEnded
}

extension JobStore {
    /// Lets a job that has ended run once more, however it ended: at the end of its lane, with all its attempts, whatever its
    /// expiry was. What it came to before stays in its history.
    /// - Throws: ``StoreError/noSuchJob(_:)``; other errors when it could not be recorded, and then nothing has changed.
    /// - Complexity: O(log *n*), and a copy of the outcomes that were recorded together with its own.
    @discardableResult
    public func requeue(_ id: JobID) async throws(StoreError) -> RequeueResult {
        let tables = open.tables
        let result = try await open.perform {
            (transaction, state) throws(StorageError) -> RequeueResult? in
            if try Requeue.requeue([id.rawValue], tables, &transaction, &state) == 1 {
                return .requeued
            }
            guard try Lookup.block(id.rawValue, transaction, tables) != nil,
                try !Self.isStaged(id.rawValue, transaction, tables)
            else { return nil }
            return .notEnded
        }
        guard let result else { throw .noSuchJob(id) }
        return result
    }

    /// Lets all jobs that a filter lets pass, and that have ended, run once more.
    /// - Parameter filter: without states: those that failed and dead letters.
    /// - Returns: how many are ready again.
    /// - Throws: ``StoreError``; those before stay requeued.
    /// - Complexity: that of the listing, and a transaction for each 1,000 jobs. Their ids are kept in memory.
    @discardableResult
    public func requeue(matching filter: JobFilter) async throws(StoreError) -> Int {
        var filter = filter
        if filter.states.isEmpty { filter.states = [.failed, .deadLetter] }
        var found: [UInt64] = []
        try forEachJob(filter) { summary in
            if summary.state.isEnded { found.append(summary.id.rawValue) }
            return true
        }
        // Those that pruning kept apart come last.
        found.sort()
        let tables = open.tables
        var count = 0
        for start in stride(from: 0, to: found.count, by: Requeue.limit) {
            let some = Array(found[start..<min(found.count, start + Requeue.limit)])
            count += try await open.perform { (transaction, state) throws(StorageError) in
                try Requeue.requeue(some, tables, &transaction, &state)
            }
        }
        return count
    }
}

/// In the writer's transaction.
enum Requeue {
    /// 1,000 jobs a transaction: each may cost a block of outcomes to be written anew.
    static let limit = 1_000

    /// - Parameter ids: in ascending order.
    /// - Returns: how many of them had ended and are ready now.
    static func requeue(
        _ ids: [UInt64], _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Int {
        var count = 0
        var index = 0
        while index < ids.count {
            let taken = try takeOut(ids[index...], tables, &transaction)
            for outcome in taken.outcomes {
                try makeReady(outcome, tables, &transaction, &state)
                count += 1
            }
            index += taken.passed
        }
        return count
    }

    /// What a job came to, copied out of the store.
    private struct Ended {
        var id: UInt64
        var queue: UInt32
        var entry: OutcomeEntry
        var failure: FailureRecord?
        var history: [UInt8]
    }

    /// Takes the outcomes of the first of the ids, and of those that were recorded together with it, out of the store.
    /// - Returns: them, and how many ids they answer.
    private static func takeOut(
        _ ids: ArraySlice<UInt64>, _ tables: StoreTables, _ transaction: inout WriteTransaction
    ) throws(StorageError) -> (outcomes: [Ended], passed: Int) {
        let first = ids[ids.startIndex]
        // Not ended, or requeued already: what it came to before is not there any more.
        guard try Lookup.active(first, transaction, tables) == nil,
            let block = try Lookup.outcomes(first, transaction, tables)
        else { return ([], 1) }
        let wanted = Set(ids.prefix { $0 < block.end })
        var ended: [Ended] = []
        var rest: [(UInt64, OutcomeEntry, history: [UInt8], result: [UInt8])] = []
        for id in block.first..<block.end {
            let entry = try formatted { () throws(FormatError) in try block.entry(id) }
            let outcome = OutcomeEntry(
                state: entry.state,
                codec: entry.codec | (entry.isResultDiscarded ? OutcomeBlock.discardedFlag : 0),
                attempt: UInt16(clamping: entry.attempt), startedAt: entry.startedAt,
                runMicroseconds: entry.runMicroseconds)
            let history = entry.history.map { Array($0) } ?? []
            if wanted.contains(id) {
                let failure = try formatted { () throws(FormatError) in try Outcome(entry).failure }
                ended.append(
                    Ended(
                        id: id, queue: block.queue, entry: outcome,
                        failure: failure.map { FailureRecord(type: $0.type, message: $0.message) },
                        history: history))
            } else {
                rest.append((id, outcome, history, Array(entry.result)))
            }
        }
        let queue = block.queue
        // From here on the block is not read any more. A dead letter whose block was pruned has a row of its own.
        if try !transaction.delete(tables.revised, Key(first)) {
            try transaction.delete(tables.outcomes, Key(block.first))
        }
        var builder = OutcomeBlockBuilder()
        for (id, outcome, history, result) in rest {
            let size = history.count + result.count + 4
            if builder.count > 0,
                !builder.accepts(id, startedAt: outcome.startedAt, byteCount: size)
            {
                try put(builder, queue, tables, &transaction)
                builder = OutcomeBlockBuilder()
            }
            result.withUnsafeBytes { builder.append(id, outcome, history: history, result: $0) }
        }
        if builder.count > 0 { try put(builder, queue, tables, &transaction) }
        return (ended, wanted.count)
    }

    private static func put(
        _ builder: borrowing OutcomeBlockBuilder, _ queue: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.outcomes)
        let target = try cursor.insert(Key(builder.first), count: builder.size)
        builder.write(to: target, queue: queue)
    }

    private static func makeReady(
        _ ended: Ended, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard let block = try Lookup.block(ended.id, transaction, tables) else { return }
        var active = ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
        active.generation = 1
        active.history = ended.history
        if let failure = ended.failure {
            let item = AttemptHistory.Item(
                attempt: Int(ended.entry.attempt), startedAt: ended.entry.startedAt,
                runMicroseconds: ended.entry.runMicroseconds, failure: failure)
            active.history = AttemptHistory.appending(item, to: active.history)
        }
        active.position = try state.makeReady(
            &transaction, queue: active.queue, priority: active.priority, first: ended.id, count: 1)
        try active.put(&transaction, tables.active, ended.id)
        try state.count(transaction, ended.queue) { $0.uncount(ended.entry.state) }
    }
}
