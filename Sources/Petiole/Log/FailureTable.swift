import PetioleStorage

// Failures by kind
//
// However many jobs fail the same way, the text is stored once: a row of `failures` under the fingerprint holds it, and how many
// outcomes that are kept have such a failure. An outcome whose text is the row's refers to it; one whose text is another, with
// other numbers in it, holds its own and is counted all the same. What a command came to says more than its failure does: it
// is counted, and holds its own.
//
// The text of a row never changes, and the row goes with the last outcome that counts in it; counts are changed in the
// transactions that put outcomes and take them out. So a reference is good as long as its outcome is there.

/// A kind of failure: a row of `failures`, under its fingerprint (8).
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | outcomes that are kept and have one |
/// | 8 | 8 | when the first was recorded, microseconds since 1970 |
/// | 16 | 8 | when the last was |
/// | 24 | | the failure, as in an outcome |
struct FailureRow {
    var count: UInt64
    var firstAt: Int64
    var lastAt: Int64
    var failure: FailureRecord

    static let fixedSize = 24

    init(count: UInt64, firstAt: Int64, lastAt: Int64, failure: FailureRecord) {
        self.count = count
        self.firstAt = firstAt
        self.lastAt = lastAt
        self.failure = failure
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.fixedSize else {
            throw FormatError("a row of the failures is cut short")
        }
        count = bytes.littleEndian(at: 0)
        firstAt = bytes.littleEndian(at: 8)
        lastAt = bytes.littleEndian(at: 16)
        failure = try FailureRecord.read(
            UnsafeRawBufferPointer(rebasing: bytes[Self.fixedSize...])
        ).0
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 256)
        writer.append(littleEndian: count)
        writer.append(littleEndian: firstAt)
        writer.append(littleEndian: lastAt)
        failure.write(to: &writer)
        return writer.withBytes { Array($0) }
    }
}

enum FailureTable {
    /// The codec of an outcome that refers to a row: its result is the fingerprint.
    static let reference: UInt8 = 4

    // MARK: Reading

    /// The failure of an outcome that has one.
    static func failure(
        _ entry: OutcomeBlockView.Entry, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> FailureRecord? {
        if let cause = HeldJobs.End(of: entry) { return cause.failure }
        guard entry.state.holdsFailure else { return nil }
        switch entry.codec {
        case reference:
            guard let fingerprint = fingerprint(ofReference: entry),
                let row = try row(fingerprint, transaction, tables)
            else {
                return FailureRecord(
                    type: "Damaged", message: "the text of this failure is not in the store")
            }
            return row.failure
        case CommandJob.codec:
            // Still a failure when it cannot be read.
            let end = try? CommandEnd.decode(Array(entry.result))
            return FailureRecord(type: "Command", message: end?.reason ?? "it failed")
        default:
            return try formatted { () throws(FormatError) in
                try FailureRecord.read(entry.result).0
            }
        }
    }

    static func row(
        _ fingerprint: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> FailureRow? {
        guard let bytes = try transaction.value(tables.failures, Key(fingerprint)) else {
            return nil
        }
        return try formatted { () throws(FormatError) in try FailureRow(bytes) }
    }

    private static func fingerprint(ofReference entry: OutcomeBlockView.Entry) -> UInt64? {
        entry.result.count >= 8 ? entry.result.littleEndian(at: 0) : nil
    }

    // MARK: Counting

    /// Counts a failure that is recorded now.
    /// - Returns: what the outcome refers to; nil: it holds its own text.
    static func count(
        _ failure: FailureRecord, _ transaction: inout WriteTransaction, _ state: CommitState
    ) throws(StorageError) -> UInt64? {
        let fingerprint = failure.fingerprint
        var row =
            try row(fingerprint, transaction, state.tables)
            ?? FailureRow(count: 0, firstAt: state.now, lastAt: state.now, failure: failure)
        row.count += 1
        row.lastAt = max(row.lastAt, state.now)
        try put(row, fingerprint, &transaction, state.tables)
        return row.failure == failure ? fingerprint : nil
    }

    private static func put(
        _ row: FailureRow, _ fingerprint: UInt64, _ transaction: inout WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        try withBytes(row.bytes) { (bytes) throws(StorageError) in
            try transaction.put(tables.failures, Key(fingerprint), bytes)
        }
    }

    /// Outcomes with the failures of some of them counted, and put as references where the text is there already.
    static func counted(
        _ outcomes: borrowing OutcomeBlockBuilder, _ transaction: inout WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) -> OutcomeBlockBuilder {
        var bytes = [UInt8](repeating: 0, count: outcomes.size)
        bytes.withUnsafeMutableBytes { outcomes.write(to: $0.baseAddress!, queue: 0) }
        var builder = OutcomeBlockBuilder(capacity: Int(outcomes.count))
        let first = outcomes.first
        try withBytes(bytes) { (bytes) throws(StorageError) in
            let view = try formatted { () throws(FormatError) in
                try OutcomeBlockView(first: first, value: bytes)
            }
            for id in view.first..<view.end {
                let entry = try formatted { () throws(FormatError) in try view.entry(id) }
                var outcome = OutcomeEntry(entry)
                var reference: UInt64?
                if let failure = try failure(entry, transaction, state.tables) {
                    reference = try count(failure, &transaction, state)
                }
                if let reference, entry.codec != CommandJob.codec {
                    outcome.codec = Self.reference
                    withUnsafeBytes(of: reference.littleEndian) {
                        builder.append(
                            id, outcome, of: view, history: entry.history, result: $0)
                    }
                } else {
                    builder.append(
                        id, outcome, of: view, history: entry.history, result: entry.result)
                }
            }
        }
        return builder
    }

    // MARK: Forgetting

    /// The fingerprint that an outcome is counted under; nil for one that has no failure, or whose text cannot be read.
    static func fingerprint(_ entry: OutcomeBlockView.Entry) -> UInt64? {
        guard entry.state.holdsFailure else { return nil }
        switch entry.codec {
        case reference: return fingerprint(ofReference: entry)
        case CommandJob.codec:
            // As it was counted.
            let end = try? CommandEnd.decode(Array(entry.result))
            return FailureRecord(type: "Command", message: end?.reason ?? "it failed").fingerprint
        default:
            // It was not counted either, or is damaged.
            return try? FailureRecord.read(entry.result).0.fingerprint
        }
    }

    /// Takes failures off whose outcomes are taken out of the store.
    /// - Parameter counts: how many, by fingerprint.
    static func forget(
        _ counts: [UInt64: UInt64], _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        for (fingerprint, count) in counts {
            guard var row = try row(fingerprint, transaction, tables) else { continue }
            if row.count <= count {
                try transaction.delete(tables.failures, Key(fingerprint))
            } else {
                row.count -= count
                try put(row, fingerprint, &transaction, tables)
            }
        }
    }

    /// Adds the failures in a block to what is to be forgotten, but for dead letters when these go on elsewhere.
    /// - Parameter end: nil: all of the block; else those before it.
    static func add(
        _ block: OutcomeBlockView, before end: UInt64? = nil, to counts: inout [UInt64: UInt64],
        deadLetters: Bool
    ) {
        for id in block.first..<min(block.end, end ?? block.end) {
            guard let state = block.stateHint(id), state.holdsFailure,
                deadLetters || state != .deadLetter,
                // Damaged: its text counts for ever.
                let entry = try? block.entry(id), let fingerprint = fingerprint(entry)
            else { continue }
            counts[fingerprint, default: 0] += 1
        }
    }
}

extension FailureRecord {
    /// As ``JobFailure/fingerprint``.
    var fingerprint: UInt64 { JobFailure.fingerprint(type: type, message: message) }
}
