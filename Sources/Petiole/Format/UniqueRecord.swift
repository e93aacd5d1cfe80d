import PetioleStorage

/// Who holds a unique key: a row of `unique`, under the name's number (4) and the key.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | the job's id |
/// | 8 | 8 | held until then after its end, a ``StoreTime``; 0: as long as the job lives |
/// | 16 | 1 | 1 until it has started, 2 until it has ended, 3 for a time after that |
/// | 17 | 7 | 0 |
struct UniqueRecord: Equatable {
    var id: UInt64
    var until: StoreTime = 0
    var hold: UniqueHold.Kind

    static let size = 24

    init(id: UInt64, hold: UniqueHold.Kind) {
        self.id = id
        self.hold = hold
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size, let hold = UniqueHold.Kind(rawValue: bytes[16]) else {
            throw FormatError("a row of the unique keys is cut short")
        }
        id = bytes.littleEndian(at: 0)
        until = StoreTime(rawValue: bytes.littleEndian(at: 8))
        self.hold = hold
    }

    func put(
        _ row: [UInt8], _ transaction: inout WriteTransaction, _ table: Table
    ) throws(StorageError) {
        try withBytes(row) { (row) throws(StorageError) in
            try put(row, &transaction, table)
        }
    }

    func put(
        _ row: UnsafeRawBufferPointer, _ transaction: inout WriteTransaction, _ table: Table
    ) throws(StorageError) {
        var bytes: (UInt64, UInt64, UInt64) = (0, 0, 0)
        try Swift.withUnsafeMutableBytes(of: &bytes) { (bytes) throws(StorageError) in
            write(to: bytes.baseAddress!)
            try transaction.put(table, row, UnsafeRawBufferPointer(bytes))
        }
    }

    /// Lays down ``size`` bytes.
    func write(to target: UnsafeMutableRawPointer) {
        target.storeLittleEndian(id, at: 0)
        target.storeLittleEndian(until.rawValue, at: 8)
        target.storeLittleEndian(UInt64(hold.rawValue), at: 16)
    }

    static func row(name: UInt32, key: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: name.bigEndian) { Array($0) } + key
    }
}

/// A unique key as it lies among a job's options.
struct UniqueHold: Equatable, Sendable {
    enum Kind: UInt8, Sendable {
        case untilStarted = 1
        case untilFinished = 2
        case afterFinish = 3
    }
    var kind: Kind
    /// How long after the end, in microseconds.
    var after: Int64 = 0
    var key: [UInt8]

    init(_ rule: Uniqueness) {
        self.init(head: rule)
        key = Array(rule.key.utf8)
    }

    /// All but the key.
    init(head rule: Uniqueness) {
        key = []
        switch rule.hold {
        case .untilStarted: kind = .untilStarted
        case .untilFinished: kind = .untilFinished
        case .afterFinish(let duration):
            kind = .afterFinish
            after = RetryPolicy.microseconds(duration)
        }
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 9, let kind = Kind(rawValue: bytes[0]) else { return nil }
        self.kind = kind
        after = bytes.littleEndian(at: 1)
        key = Array(bytes[9...])
    }

    /// Bytes before the key.
    static let headSize = 9

    func writeHead(to writer: inout ByteWriter) {
        writer.append(littleEndian: kind.rawValue)
        writer.append(littleEndian: after)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.headSize + key.count)
        writeHead(to: &writer)
        key.withUnsafeBytes { writer.append(contentsOf: $0) }
        return writer.withBytes { Array($0) }
    }
}

/// What frees a unique key, or lets it go on for a time, when its job has ended.
struct UniqueRelease: Sendable {
    let id: UInt64
    let row: [UInt8]
    let after: Int64
    /// The schedule that is to be told of the end.
    private let schedule: String?

    /// Nil: the job holds no key.
    init?(id: UInt64, name: UInt32, _ options: JobOptions) {
        guard let hold = options.unique else { return nil }
        self.id = id
        row = UniqueRecord.row(name: name, key: hold.key)
        after = hold.kind == .afterFinish ? hold.after : 0
        schedule = options.planned?.schedule
    }

    /// In the transaction that records the end. Does nothing when another job holds the key by now.
    func apply(
        queue: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        if let schedule {
            try ScheduleFiring.jobEnded(id, of: schedule, &transaction, &state)
        }
        let found = try withBytes(row) { (row) throws(StorageError) in
            try transaction.value(tables.unique, row)
        }
        guard let found else { return }
        var record = try formatted { () throws(FormatError) in try UniqueRecord(found) }
        guard record.id == id else { return }
        if after == 0 {
            _ = try withBytes(row) { (row) throws(StorageError) in
                try transaction.delete(tables.unique, row)
            }
            return
        }
        record.until = StoreTime(state.time, after: after)
        try record.put(row, &transaction, tables.unique)
        try state.setUniqueTimer(&transaction, queue: queue, until: record.until, id: id, row: row)
    }

    /// The time after the end is over.
    static func expire(
        _ row: UnsafeRawBufferPointer, id: UInt64, _ transaction: inout WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) {
        let row = Array(row)
        let found = try withBytes(row) { (row) throws(StorageError) in
            try transaction.value(state.tables.unique, row)
        }
        guard let found else { return }
        let record = try formatted { () throws(FormatError) in try UniqueRecord(found) }
        guard record.id == id, record.until.hasPassed(state.time) else { return }
        _ = try withBytes(row) { (row) throws(StorageError) in
            try transaction.delete(state.tables.unique, row)
        }
    }
}
