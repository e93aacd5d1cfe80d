import PetioleStorage

extension LogCommit {
    /// Moves jobs out of the range that they were claimed from, into the sublane of a gate.
    func apply(
        _ move: GateMove, _ queue: OwnedQueue, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard var progress = state.progress[move.tag] ?? ranges[move.tag] else { return }
        let row = LaneRow(
            queue: queue.id, priority: move.priority, position: state.sequences.takePosition(),
            first: move.first, count: move.count, gate: move.gate)
        try row.put(&transaction, tables)
        progress.settle(first: move.first, count: move.count, isMove: true)
        state.progress[move.tag] = progress
        try follow(row, from: progress.position, &transaction, &state)
    }

    /// Jobs that have a row of their own say in it where they lie.
    private func follow(
        _ row: LaneRow, from position: UInt64, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        guard try transaction.count(tables.active) > 0 else { return }
        var found: [(id: UInt64, ActiveRecord)] = []
        do {
            let cursor = try transaction.cursor(tables.active)
            var entry = try cursor.ceiling(Key(row.first))
            while let (key, value) = entry {
                let id: UInt64 = key.bigEndian(at: 0)
                guard id < row.end else { break }
                let active = try formatted { () throws(FormatError) in try ActiveRecord(value) }
                let isHere =
                    active.state == .ready && (active.position == position || active.position == 0)
                if isHere, active.position != 0 || active.holdsKey { found.append((id, active)) }
                entry = try cursor.next()
            }
        }
        for (id, active) in found {
            var active = active
            if active.position != 0 { active.position = row.position }
            if active.holdsKey, row.gate?.kind == .key {
                // It lies behind others of its key, who must not wait for it.
                active.holdsKey = false
                try OrderedKeys.release(id, active.queue, tables, &transaction, &state)
            }
            try active.put(&transaction, tables.active, id)
        }
    }
}

/// Which job the others of an ordered key wait for while it waits for its next attempt: a row of `parked`, written with what
/// puts the attempt off, and deleted with the job's end. So the next owner of the queue knows it too.
enum OrderedKeys {
    static func hold(
        _ key: GateKey, _ id: UInt64, _ queue: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        try transaction.put(tables.parked, RecordKey.holder(queue, key), count: 8) {
            $0.storeLittleEndian(id, at: 0)
        }
    }

    static func release(
        _ id: UInt64, _ queue: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        // What cannot be read holds nothing: whoever waits for it finds that it has ended.
        guard let block = try Lookup.block(id, transaction, tables),
            let entry = try? block.entry(id), let bytes = try? entry.limitKey()
        else { return }
        let row = RecordKey.holder(queue, .key(bytes, of: entry.meta.name))
        let holder = try transaction.value(tables.parked, row)
        guard let holder, holder.count >= 8, holder.littleEndian(at: 0) == id else { return }
        try transaction.delete(tables.parked, row)
        // The owner of the queue looks whom it lets go on.
        state.controlMoved = true
        state.hasNewWork = true
    }
}
