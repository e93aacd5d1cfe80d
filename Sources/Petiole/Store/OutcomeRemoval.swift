import PetioleStorage

/// Takes outcomes out of the log of outcomes: the block that holds them is written anew without them. In the writer's
/// transaction.
enum OutcomeRemoval {
    /// Takes some of the outcomes of a block out.
    /// - Parameters:
    ///   - isTaken: whether an outcome of the block goes; it is lent for the call.
    /// - Returns: how many bytes were written anew and how many outcomes are gone; nil when one of the block cannot be read:
    ///   beside it nothing can be written anew, and nothing has changed.
    static func takeOut(
        of block: OutcomeBlockView, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ isTaken: (UInt64, OutcomeBlockView.Entry, borrowing WriteTransaction)
            throws(StorageError) -> Bool
    ) throws(StorageError) -> (bytes: Int, count: Int)? {
        var rest: [(UInt64, OutcomeEntry, history: [UInt8], result: [UInt8])] = []
        var bytes = 0
        var count = 0
        var failures: [UInt64: UInt64] = [:]
        for id in block.first..<block.end {
            // Nothing can be written anew beside one that cannot be read.
            guard let entry = try? block.entry(id) else { return nil }
            if try isTaken(id, entry, transaction) {
                count += 1
                if let fingerprint = FailureTable.fingerprint(entry) {
                    failures[fingerprint, default: 0] += 1
                }
                continue
            }
            let history = entry.history.map { Array($0) } ?? []
            bytes += entry.result.count + history.count + JobBlock.entrySize
            rest.append((id, OutcomeEntry(entry), history, Array(entry.result)))
        }
        if count == 0 { return (0, 0) }
        let queue = block.queue
        // From here on the block is not read any more. A dead letter whose block was pruned has a row of its own.
        let isSingle = block.count == 1
        let isRevised = isSingle ? try transaction.delete(tables.revised, Key(block.first)) : false
        if !isRevised { try transaction.delete(tables.outcomes, Key(block.first)) }
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
        try FailureTable.forget(failures, &transaction, tables)
        return (bytes, count)
    }

    private static func put(
        _ builder: borrowing OutcomeBlockBuilder, _ queue: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.outcomes)
        let target = try cursor.insert(Key(builder.first), count: builder.size)
        builder.write(to: target, queue: queue)
    }
}

extension OutcomeEntry {
    /// What a recorded outcome says, to be recorded anew.
    init(_ entry: OutcomeBlockView.Entry) {
        self.init(
            state: entry.state,
            codec: entry.codec | (entry.isResultDiscarded ? OutcomeBlock.discardedFlag : 0),
            attempt: UInt16(clamping: entry.attempt), startedAt: entry.startedAt,
            runMicroseconds: entry.runMicroseconds)
    }
}
