import PetioleStorage

// Staging
//
// What is larger than one transaction is written in several, under a stage that nobody reads from, and published by one
// row a range. The states of a stage:
//
// | row in `stages` | lock byte | ranges in a lane | means |
// |---|---|---|---|
// | no | held | no | its producer is about to begin |
// | yes | held | no | being written |
// | yes | free | no | its producer died: swept by whoever opens the store next |
// | no | any | yes | published |
// | no | any | no | swept, or given up by its producer |
//
// The producer takes the lock byte *before* it commits the row, so a sweeper that sees the row and finds the byte free knows
// that the producer is gone. The row goes in the same transaction in which the ranges come, so no crash leaves both or
// neither. What a sweeper must not do is to delete a block that was published between its look and its transaction: it
// reads the row again inside the transaction.

/// Acceptance of more than one transaction holds: whole or not at all.
enum Staging {
    /// Adds a written range to a stage's row.
    static func add(
        _ stage: UInt32, first: UInt64, count: UInt64, bytes added: UInt64,
        _ transaction: inout WriteTransaction, _ state: CommitState
    ) throws(StorageError) {
        let key = Key(UInt64(stage))
        guard let bytes = try transaction.value(state.tables.stages, key) else {
            throw .damaged("stage \(stage) is gone")
        }
        var record = try formatted { () throws(FormatError) in try StageRecord(bytes) }
        record.byteCount += added
        if let last = record.ranges.last, last.first + last.count == first {
            record.ranges[record.ranges.count - 1].count += count
        } else {
            record.ranges.append((first, count))
        }
        try withBytes(record.bytes) { (value) throws(StorageError) in
            try transaction.put(state.tables.stages, key, value)
        }
    }

    /// Begins a stage. Its lock byte is held already.
    /// - Returns: false when there is a row of that number: of a producer that died, to be swept and not written over.
    static func begin(
        _ stage: UInt32, _ target: JobTarget, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        let isThere = try transaction.value(state.tables.stages, Key(UInt64(stage))) != nil
        if isThere { return false }
        let (queue, _) = try state.numbers(of: target, &transaction)
        let record = StageRecord(queue: queue, priority: target.priority)
        try withBytes(record.bytes) { (value) throws(StorageError) in
            try transaction.put(state.tables.stages, Key(UInt64(stage)), value)
        }
        return true
    }

    enum Publication: Sendable {
        case published([ClosedRange<UInt64>])
        /// There is no room: all of it stays as it is.
        case refused(AdmissionRefusal)
    }

    /// Makes all that was staged ready, in order, if there is room.
    static func publish(
        _ stage: UInt32, whenFull: CapacityRecord.WhenFull?, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Publication {
        let key = Key(UInt64(stage))
        guard let bytes = try transaction.value(state.tables.stages, key) else {
            throw .damaged("stage \(stage) is gone")
        }
        let record = try formatted { () throws(FormatError) in try StageRecord(bytes) }
        let load = JobLoad(jobs: record.jobCount, bytes: record.byteCount)
        if let refusal = try state.admit(
            load, in: record.queue, priority: record.priority, whenFull: whenFull, &transaction)
        {
            return .refused(refusal)
        }
        for range in record.ranges {
            try state.makeReady(
                &transaction, queue: record.queue, priority: record.priority, first: range.first,
                count: range.count)
            let now = state.now
            state.notes?.append(
                .queued(first: range.first, count: range.count, due: 0, at: now))
            state.note(EventCode.accepted, range.first, count: range.count)
        }
        try state.count(transaction, record.queue) {
            $0.accepted += load.jobs
            $0.bytes += load.bytes
        }
        try transaction.delete(state.tables.stages, key)
        return .published(record.ranges.map { $0.first...$0.first + $0.count - 1 })
    }

    /// Deletes some of what an abandoned stage wrote.
    /// - Returns: whether nothing of it is left.
    static func sweep(
        _ stage: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        let key = Key(UInt64(stage))
        guard let bytes = try transaction.value(state.tables.stages, key) else { return true }
        var record = try formatted { () throws(FormatError) in try StageRecord(bytes) }
        state.hasRoom = true
        // 256 blocks are 16 MiB at most, but for payloads that lie alone.
        var budget = 256
        do {
            let cursor = try transaction.cursor(state.tables.jobs)
            while let range = record.ranges.last, budget > 0 {
                if let entry = try cursor.ceiling(Key(range.first)),
                    entry.key.bigEndian(at: 0, as: UInt64.self) < range.first + range.count
                {
                    try cursor.delete()
                    budget -= 1
                } else {
                    record.ranges.removeLast()
                }
            }
        }
        if record.ranges.isEmpty {
            try transaction.delete(state.tables.stages, key)
            return true
        }
        try withBytes(record.bytes) { (value) throws(StorageError) in
            try transaction.put(state.tables.stages, key, value)
        }
        return false
    }
}
