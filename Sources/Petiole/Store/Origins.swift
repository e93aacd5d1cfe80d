import PetioleStorage

extension JobStore {
    /// The number by which this store is told from others, and from its copies.
    package var number: UInt64 { open.format.storeID }

    /// The greatest id that a job has; 0: there was none.
    /// - Complexity: O(1).
    package func lastJob() throws(StoreError) -> UInt64 {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            try CommitState.readSequences(reader, tables).nextJob &- 1
        }
    }

    /// The jobs that were imported and are kept, by what they were imported as.
    /// - Complexity: O(jobs kept), 64 blocks of the log in a view of its own; 50 bytes for each that was imported.
    package func importedJobs() throws(StoreError) -> [JobOrigin: UInt64] {
        let open = open
        var found: [JobOrigin: UInt64] = [:]
        for table in [open.tables.kept, open.tables.jobs] {
            var next: UInt64? = 1
            while let first = next {
                next = try open.read { (reader) throws(StorageError) -> UInt64? in
                    let cursor = try reader.cursor(table)
                    var entry = try cursor.ceiling(Key(first))
                    for _ in 0..<64 {
                        guard let (key, value) = entry else { return nil }
                        let id = try Lookup.id(key)
                        Self.addOrigins(id, value, to: &found)
                        if id == .max { return nil }
                        entry = try cursor.next()
                    }
                    return try entry.map { (key, _) throws(StorageError) in try Lookup.id(key) }
                }
            }
        }
        return found
    }

    /// What cannot be read counts as never imported: a job twice is better than none.
    private static func addOrigins(
        _ first: UInt64, _ value: UnsafeRawBufferPointer, to found: inout [JobOrigin: UInt64]
    ) {
        // As said above.
        guard let block = try? JobBlockView(first: first, value: value) else { return }
        for id in block.first..<block.end {
            // Likewise.
            guard let entry = try? block.entry(id), let options = try? entry.options(),
                let origin = options.origin
            else { continue }
            found[origin] = id
        }
    }
}
