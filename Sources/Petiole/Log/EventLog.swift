import PetioleStorage

/// What commits did to jobs, in their order: rows of `events`, one for each commit, written only while somebody follows or asked
/// that they be kept. The oldest give way to new ones.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | when, microseconds since 1970 |
/// | 8 | 24 each | kind (1), 0 (7), first id (8), count (8) |
struct EventLog {
    struct Entry: Equatable, Sendable {
        /// An ``EventCode``.
        var kind: UInt8
        var first: UInt64
        var count: UInt64
    }

    /// A row, and its number: one sequence for the store.
    struct Row: Sendable {
        var position: UInt64
        /// Microseconds since 1970.
        var at: Int64
        var entries: [Entry]
    }

    private(set) var entries: [Entry] = []
    var isEmpty: Bool { entries.isEmpty }

    /// 4,096 pages, 16 MiB: some hundred thousand small commits.
    static let pageLimit = 4_096
    private static let entrySize = 24

    mutating func add(_ code: UInt8, _ first: UInt64, _ count: UInt64) {
        if let last = entries.last, last.kind == code, last.first + last.count == first {
            entries[entries.count - 1].count += count
        } else {
            entries.append(Entry(kind: code, first: first, count: count))
        }
    }

    /// Writes what was noted as the next row. In the writer's transaction.
    func append(
        at now: Int64, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let position = try Self.last(transaction, tables) + 1
        let entries = entries
        let size = 8 + entries.count * Self.entrySize
        try transaction.put(tables.events, Key(position), count: size) { target in
            target.storeLittleEndian(now, at: 0)
            for (index, entry) in entries.enumerated() {
                let at = 8 + index * Self.entrySize
                target.storeLittleEndian(UInt64(entry.kind), at: at)
                target.storeLittleEndian(entry.first, at: at + 8)
                target.storeLittleEndian(entry.count, at: at + 16)
            }
        }
        // Four for each that comes: a shorter log than before shrinks, too. The last one stays, for its number.
        for _ in 0..<4 {
            guard try transaction.pageCount(tables.events) > Self.pageLimit else { return }
            let cursor = try transaction.cursor(tables.events)
            guard let (key, _) = try cursor.first(), try Lookup.id(key) < position else { return }
            try cursor.delete()
        }
    }

    /// The number of the newest row; 0: there was none.
    static func last(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> UInt64 {
        let cursor = try transaction.cursor(tables.events)
        guard let (key, _) = try cursor.last() else { return 0 }
        return try Lookup.id(key)
    }

    /// Rows behind a position, some at a time.
    static func rows(
        after position: UInt64, _ reader: Reader, _ tables: StoreTables, limit: Int = 256
    ) throws(StorageError) -> [Row] {
        var rows: [Row] = []
        // Behind the greatest there is none.
        guard position < .max else { return rows }
        let cursor = try reader.cursor(tables.events)
        var entry = try cursor.ceiling(Key(position + 1))
        while let (key, value) = entry, rows.count < limit {
            guard value.count >= 8, (value.count - 8) % entrySize == 0 else {
                throw .damaged("a row of events is cut short")
            }
            var row = Row(position: try Lookup.id(key), at: value.littleEndian(at: 0), entries: [])
            for at in stride(from: 8, to: value.count, by: entrySize) {
                row.entries.append(
                    Entry(
                        kind: value[at], first: value.littleEndian(at: at + 8),
                        count: value.littleEndian(at: at + 16)))
            }
            rows.append(row)
            entry = try cursor.next()
        }
        return rows
    }
}
