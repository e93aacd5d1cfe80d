import PetioleStorage

/// A row of `lanes`: what is ready there, and a row of a sublane in `parked`: what waits for a place at a gate.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | first id |
/// | 8 | 8 | count |
/// | 16 | 16 each | {first id, end} of what is not there any more, in order and apart; written only for a range out of which jobs were moved |
struct LaneRow: Equatable {
    var queue: UInt32
    var priority: UInt8
    var position: UInt64
    var first: UInt64
    var count: UInt64
    /// In a sublane: whose.
    var gate: GateKey?
    /// Ids that have ended or lie elsewhere.
    var done: [RangeProgress.Interval] = []

    static let size = 16
    var end: UInt64 { first + count }
    var key: Key {
        if let gate { return RecordKey.sublane(queue, priority, gate, position) }
        return RecordKey.lane(queue, priority, position)
    }

    init(
        queue: UInt32, priority: UInt8, position: UInt64, first: UInt64, count: UInt64,
        gate: GateKey? = nil
    ) {
        self.queue = queue
        self.priority = priority
        self.position = position
        self.first = first
        self.count = count
        self.gate = gate
    }

    /// Reads a row of `lanes`.
    init(_ entry: Cursor.Entry) throws(FormatError) {
        guard entry.key.count == 13 else {
            throw FormatError("a row of the lanes is cut short")
        }
        queue = entry.key.bigEndian(at: 0)
        priority = entry.key[4]
        position = entry.key.bigEndian(at: 5)
        (first, count, done) = try Self.content(entry.value)
    }

    /// Reads a row of `parked`; nil when it is not one of a sublane.
    init?(parked entry: Cursor.Entry) throws(FormatError) {
        guard entry.key.count == 23, entry.key[4] == UInt8(ascii: "g"),
            let kind = GateKey.Kind(rawValue: entry.key[6])
        else { return nil }
        queue = entry.key.bigEndian(at: 0)
        priority = entry.key[5]
        gate = GateKey(kind: kind, hash: entry.key.bigEndian(at: 7))
        position = entry.key.bigEndian(at: 15)
        (first, count, done) = try Self.content(entry.value)
    }

    private static func content(
        _ value: UnsafeRawBufferPointer
    ) throws(FormatError) -> (UInt64, UInt64, [RangeProgress.Interval]) {
        guard value.count >= size, value.count % 16 == 0 else {
            throw FormatError("a row of the lanes is cut short")
        }
        let first: UInt64 = value.littleEndian(at: 0)
        let count: UInt64 = value.littleEndian(at: 8)
        guard count > 0, first > 0, first <= UInt64.max - count else {
            throw FormatError("a row of the lanes names no job")
        }
        var done: [RangeProgress.Interval] = []
        var last = first
        for at in stride(from: size, to: value.count, by: 16) {
            let interval = RangeProgress.Interval(
                first: value.littleEndian(at: at), end: value.littleEndian(at: at + 8))
            guard interval.first >= last, interval.end > interval.first,
                interval.end <= first + count
            else { throw FormatError("a row of the lanes has no order in it") }
            last = interval.end
            done.append(interval)
        }
        return (first, count, done)
    }

    func put(_ transaction: inout WriteTransaction, _ tables: StoreTables) throws(StorageError) {
        let table = gate == nil ? tables.lanes : tables.parked
        try transaction.put(table, key, count: Self.size + done.count * 16) { target in
            target.storeLittleEndian(first, at: 0)
            target.storeLittleEndian(count, at: 8)
            for (index, interval) in done.enumerated() {
                target.storeLittleEndian(interval.first, at: Self.size + index * 16)
                target.storeLittleEndian(interval.end, at: Self.size + index * 16 + 8)
            }
        }
    }
}
