import PetioleStorage

/// Who spawned whom: a row of `lineage` for each job whose success brought others, written by the transaction that records it.
/// The jobs of one attempt are accepted together, so they are a range in each lane: a row has mostly one or two of these,
/// however many the jobs. It goes with the job whose it is.
struct Lineage {
    private(set) var ranges: [(first: UInt64, count: UInt64)] = []

    init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count % 16 == 0 else { throw FormatError("a row of lineage is cut short") }
        for at in stride(from: 0, to: bytes.count, by: 16) {
            let first: UInt64 = bytes.littleEndian(at: at)
            let count: UInt64 = bytes.littleEndian(at: at + 8)
            guard first > 0, count > 0, count <= .max - first else {
                throw FormatError("a row of lineage names no job")
            }
            ranges.append((first, count))
        }
    }

    mutating func add(first: UInt64, count: UInt64) {
        if let last = ranges.last, last.first + last.count == first {
            ranges[ranges.count - 1].count += count
        } else {
            ranges.append((first, count))
        }
    }

    // MARK: Rows

    static func read(
        _ parent: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> Lineage {
        guard let bytes = try transaction.value(tables.lineage, Key(parent)) else {
            return Lineage()
        }
        return try formatted { () throws(FormatError) in try Lineage(bytes) }
    }

    /// Adds to what a job has spawned: once more, when it was requeued.
    func write(
        _ parent: UInt64, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        var all = try Lineage.read(parent, transaction, tables)
        for range in ranges { all.add(first: range.first, count: range.count) }
        let ranges = all.ranges
        try transaction.put(tables.lineage, Key(parent), count: ranges.count * 16) { target in
            for (index, range) in ranges.enumerated() {
                target.storeLittleEndian(range.first, at: index * 16)
                target.storeLittleEndian(range.count, at: index * 16 + 8)
            }
        }
    }

    /// Deletes the rows of jobs that are deleted.
    static func remove(
        from first: UInt64, to end: UInt64, except kept: Set<UInt64> = [],
        _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        guard try transaction.count(tables.lineage) > 0 else { return }
        let cursor = try transaction.cursor(tables.lineage)
        var next = first
        while next < end, let (key, _) = try cursor.ceiling(Key(next)) {
            let parent = try Lookup.id(key)
            guard parent < end else { break }
            if !kept.contains(parent) { try cursor.delete() }
            next = parent + 1
        }
    }
}
