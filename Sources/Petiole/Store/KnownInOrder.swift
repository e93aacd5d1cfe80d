import PetioleStorage

/// What is known of jobs beside the log, asked for in ascending order of their ids, within one view: one search for each run
/// of jobs that have an outcome, or have none, in place of one for each job.
struct KnownInOrder: ~Copyable {
    let reader: Reader
    let tables: StoreTables
    private let activeRows: Cursor
    private let outcomeRows: Cursor
    private let hasRevised: Bool
    /// What producers have written and not published.
    private let staged: [(first: UInt64, count: UInt64)]

    /// The first row of `active` at or after the id that was asked for last.
    private var nextActive: UInt64 = 0
    private var nextActiveValue: UnsafeRawBufferPointer?
    private var outcomes: OutcomeBlockView?
    /// From the id that was asked for last up to here no job has an outcome.
    private var gapEnd: UInt64 = 0

    init(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        let hasRevised = try reader.count(tables.revised) > 0
        let staged = try Self.staged(reader, tables)
        let activeRows = try reader.cursor(tables.active)
        let outcomeRows = try reader.cursor(tables.outcomes)
        self.reader = reader
        self.tables = tables
        self.activeRows = activeRows
        self.outcomeRows = outcomeRows
        self.hasRevised = hasRevised
        self.staged = staged
    }

    private static func staged(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> [(first: UInt64, count: UInt64)] {
        var staged: [(first: UInt64, count: UInt64)] = []
        let stages = try reader.cursor(tables.stages)
        var entry = try stages.first()
        while let (_, value) = entry {
            staged += try formatted { () throws(FormatError) in try StageRecord(value) }.ranges
            entry = try stages.next()
        }
        return staged
    }

    /// Whether a job is written and not accepted yet.
    func isStaged(_ id: UInt64) -> Bool {
        staged.contains { id >= $0.first && id - $0.first < $0.count }
    }

    mutating func active(_ id: UInt64) throws(StorageError) -> ActiveRecord? {
        if id > nextActive {
            nextActive = .max
            nextActiveValue = nil
            if let (key, value) = try activeRows.ceiling(Key(id)) {
                nextActive = try Lookup.id(key)
                nextActiveValue = value
            }
        }
        guard id == nextActive, let value = nextActiveValue else { return nil }
        return try formatted { () throws(FormatError) in try ActiveRecord(value) }
    }

    mutating func outcomes(_ id: UInt64) throws(StorageError) -> OutcomeBlockView? {
        if hasRevised, let value = try reader.value(tables.revised, Key(id)) {
            return try Self.block(id, value)
        }
        if let outcomes, outcomes.contains(id) { return outcomes }
        if id < gapEnd { return nil }
        if let (key, value) = try outcomeRows.floor(Key(id)) {
            let found = try Self.block(Lookup.id(key), value)
            if found.contains(id) {
                outcomes = found
                return found
            }
        }
        gapEnd = .max
        if let (key, _) = try outcomeRows.ceiling(Key(id)) { gapEnd = try Lookup.id(key) }
        return nil
    }

    private static func block(
        _ first: UInt64, _ value: UnsafeRawBufferPointer
    ) throws(StorageError) -> OutcomeBlockView {
        try formatted { () throws(FormatError) in try OutcomeBlockView(first: first, value: value) }
    }
}
