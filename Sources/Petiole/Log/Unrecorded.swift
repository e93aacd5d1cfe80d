import PetioleStorage

/// Which jobs are still to end.
enum Unrecorded {
    /// The ids from `first` up to `end` that have no outcome yet: one is recorded for a job, the first.
    static func runs(
        _ first: UInt64, _ end: UInt64, _ transaction: borrowing WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) -> [(first: UInt64, end: UInt64)] {
        let cursor = try transaction.cursor(tables.outcomes)
        func bounds(_ entry: Cursor.Entry) -> (first: UInt64, end: UInt64) {
            let start: UInt64 = entry.key.bigEndian(at: 0)
            return (start, start &+ UInt64(entry.value.littleEndian(at: 4, as: UInt32.self)))
        }
        // Mostly the last that begins before our end has ended before our beginning.
        guard let last = try cursor.floor(Key(end - 1)), bounds(last).end > first else {
            return [(first, end)]
        }
        var free: [(first: UInt64, end: UInt64)] = []
        var next = first
        var entry = try cursor.floor(Key(first))
        if entry == nil { entry = try cursor.first() }
        while let found = entry {
            let taken = bounds(found)
            guard taken.first < end else { break }
            if taken.first > next { free.append((next, taken.first)) }
            next = max(next, taken.end)
            entry = try cursor.next()
        }
        if next < end { free.append((next, end)) }
        return free
    }
}
