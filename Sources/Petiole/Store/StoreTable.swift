import PetioleStorage

/// Rows of the user's own in a store, by key: written by jobs together with their outcomes, read by anybody.
///
/// Keys are bytes, 1 to 446, in the order of their bytes; text stands for its UTF-8. Values are bytes, up to the store's
/// payload limit, or `Codable` values in the compact form.
public struct StoreTable: Sendable {
    /// The store.
    public let store: JobStore
    /// The table's name.
    public let name: String

    /// The bytes under a key; nil when there are none. Cost: O(log *n*) in all rows, and a copy.
    public func bytes(for key: [UInt8]) throws(EffectError) -> [UInt8]? {
        let row = try TableForm.row(name, key)
        return try store.tableRow(row)
    }

    /// The bytes under a key of text.
    public func bytes(for key: String) throws(EffectError) -> [UInt8]? {
        try bytes(for: Array(key.utf8))
    }

    /// The value under a key of text; nil when there is none.
    public func value<Value: Decodable>(
        for key: String, as type: Value.Type = Value.self
    ) throws(EffectError) -> Value? {
        try bytes(for: key).map { (bytes) throws(EffectError) in
            try TableForm.decode(type, bytes, table: name)
        }
    }

    /// Rows in the order of their keys, for as long as `visit` returns true.
    /// - Parameter start: the first key, or the next one after it; nil: from the beginning.
    /// - Complexity: O(rows visited). Rows are read 256 at a time, each time in a view of its own.
    public func forEach(
        from start: [UInt8]? = nil, _ visit: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(EffectError) {
        var next = TableForm.prefix(name) + (start ?? [])
        let prefix = TableForm.prefix(name)
        while true {
            let rows = try store.tableRows(from: next, prefix: prefix, limit: 256)
            for (key, value) in rows where !visit(Array(key[prefix.count...]), value) { return }
            guard rows.count == 256, let last = rows.last else { return }
            next = last.key + [0]
        }
    }
}

/// How tables lie in the store.
enum TableForm {
    /// LMDB's keys have at most 511 bytes, of which the name and a zero byte take 65.
    static let keyLimit = 446

    static func prefix(_ table: String) -> [UInt8] { Array(table.utf8) + [0] }

    static func row(_ table: String, _ key: [UInt8]) throws(EffectError) -> [UInt8] {
        guard (1...keyLimit).contains(key.count) else {
            throw .invalidKey(table: table, bytes: key.count)
        }
        return prefix(table) + key
    }

    static func encode(
        _ value: some Encodable, table: String
    ) throws(EffectError) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        do throws(CodecError) {
            try PayloadCodec.compact.encode(value, into: &writer)
        } catch { throw .codec(table: table, reason: error.description) }
        return writer.withBytes { Array($0) }
    }

    static func decode<Value: Decodable>(
        _ type: Value.Type, _ bytes: [UInt8], table: String
    ) throws(EffectError) -> Value {
        var result: Result<Value, CodecError>?
        bytes.withUnsafeBytes { bytes in
            do throws(CodecError) {
                result = .success(try PayloadCodec.compact.decode(type, from: bytes))
            } catch { result = .failure(error) }
        }
        do throws(CodecError) { return try result!.get() } catch {
            throw .codec(table: table, reason: error.description)
        }
    }
}

extension JobStore {
    /// A table of the user's own rows. It needs not be made before: one that nothing was written to has no rows.
    /// - Throws: ``EffectError/invalidTable(_:)``.
    public func table(_ name: String) throws(EffectError) -> StoreTable {
        guard NameForm.isValid(name) else { throw .invalidTable(name) }
        return StoreTable(store: self, name: name)
    }

    fileprivate func tableRow(_ row: [UInt8]) throws(EffectError) -> [UInt8]? {
        let open = open
        do throws(StoreError) {
            return try open.read { (reader) throws(StorageError) in
                try withBytes(row) { (row) throws(StorageError) in
                    try reader.value(open.tables.rows, row).map { Array($0) }
                }
            }
        } catch { throw .store(error) }
    }

    fileprivate func tableRows(
        from start: [UInt8], prefix: [UInt8], limit: Int
    ) throws(EffectError) -> [(key: [UInt8], value: [UInt8])] {
        let open = open
        do throws(StoreError) {
            return try open.read { (reader) throws(StorageError) in
                var rows: [(key: [UInt8], value: [UInt8])] = []
                let cursor = try reader.cursor(open.tables.rows)
                var entry = try withBytes(start) { (start) throws(StorageError) in
                    try cursor.ceiling(start)
                }
                while let (key, value) = entry, rows.count < limit, key.starts(with: prefix) {
                    rows.append((Array(key), Array(value)))
                    entry = try cursor.next()
                }
                return rows
            }
        } catch { throw .store(error) }
    }
}

/// A table as a job sees it: its own writes, and behind them what is committed. What it writes is applied with its success.
///
/// When a row that the attempt has read by its key was changed by another job before the success could be recorded, the attempt
/// comes to nothing and the job runs again, without an attempt being counted: so a job may read a row and write it anew.
public struct JobTable: Sendable {
    private let context: JobContext
    private let committed: StoreTable

    init(_ context: JobContext, _ table: StoreTable) {
        self.context = context
        committed = table
    }

    /// Writes a row with this attempt's success. Cost: a copy in memory until the attempt ends.
    public func put(_ value: [UInt8], for key: [UInt8]) throws(EffectError) {
        try write(key, value)
    }

    /// Writes a row under a key of text with this attempt's success.
    public func put(_ value: [UInt8], for key: String) throws(EffectError) {
        try write(Array(key.utf8), value)
    }

    /// Writes a value in the compact form under a key of text with this attempt's success.
    public func put<Value: Encodable>(value: Value, for key: String) throws(EffectError) {
        try write(Array(key.utf8), TableForm.encode(value, table: committed.name))
    }

    /// Writes a value in the compact form with this attempt's success.
    public func put<Value: Encodable>(value: Value, for key: [UInt8]) throws(EffectError) {
        try write(key, TableForm.encode(value, table: committed.name))
    }

    /// Deletes a row with this attempt's success; nothing when there is none.
    public func delete(_ key: [UInt8]) throws(EffectError) { try write(key, nil) }

    /// Deletes a row under a key of text with this attempt's success.
    public func delete(_ key: String) throws(EffectError) { try write(Array(key.utf8), nil) }

    /// The bytes under a key: what this attempt has written, else what is committed.
    public func bytes(for key: [UInt8]) throws(EffectError) -> [UInt8]? {
        let row = try TableForm.row(committed.name, key)
        let written = context.effects.write(
            job: context.id.rawValue, attempt: context.attempt, key: row)
        if let written { return written }
        let bytes = try committed.bytes(for: key)
        try context.effects.add(
            job: context.id.rawValue, attempt: context.attempt, bytes: row.count
        ) { effects in
            // The first look counts: what was made of it may have gone into the effects.
            guard effects.reads[row] == nil else { return 0 }
            effects.reads.updateValue(bytes.map { AttemptEffects.hash($0) }, forKey: row)
            return row.count
        }
        return bytes
    }

    /// The value under a key of text: what this attempt has written, else what is committed.
    public func value<Value: Decodable>(
        for key: String, as type: Value.Type = Value.self
    ) throws(EffectError) -> Value? {
        try bytes(for: Array(key.utf8)).map { (bytes) throws(EffectError) in
            try TableForm.decode(type, bytes, table: committed.name)
        }
    }

    private func write(_ key: [UInt8], _ value: [UInt8]?) throws(EffectError) {
        let row = try TableForm.row(committed.name, key)
        let limit = committed.store.payloadLimit
        if let value, value.count > limit {
            throw .codec(
                table: committed.name,
                reason: "it has \(value.count) bytes, and this store takes \(limit)")
        }
        try context.effects.add(
            job: context.id.rawValue, attempt: context.attempt,
            bytes: row.count + (value?.count ?? 0)
        ) { effects in
            let size = row.count + (value?.count ?? 0)
            guard let before = effects.writes.updateValue(value, forKey: row) else { return size }
            return size - row.count - (before?.count ?? 0)
        }
    }
}

extension JobContext {
    /// A table of the user's own rows, whose writes are applied with this attempt's success.
    /// - Throws: ``EffectError/invalidTable(_:)``.
    public func table(_ name: String) throws(EffectError) -> JobTable {
        JobTable(self, try store.table(name))
    }
}
