import PetioleStorage

/// A job that ended with a failure, as a list of the newest shows it.
package struct RecentFailure: Sendable {
    package let id: JobID
    package let queue: String
    package let kind: Outcome.Kind
    package let attempt: Int
    /// When its last attempt ended.
    package let endedAt: WallTime
    package let failure: JobFailure?
}

extension JobStore {
    /// Jobs that failed or are dead letters, the one that ended last first: found among the outcomes of the highest ids, and
    /// among those of jobs that were run once more.
    /// - Complexity: O(`scanned`), whatever the number of jobs.
    package func recentFailures(
        limit: Int, scanned: Int = 10_000
    ) throws(StoreError) -> [RecentFailure] {
        var names: [UInt32: String] = [:]
        for row in try queueRows() { names[row.record.id] = row.name }
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> [RecentFailure] in
            var found: [RecentFailure] = []
            for table in [open.tables.outcomes, open.tables.revised] {
                let isFirst = table == open.tables.outcomes
                let cursor = try reader.cursor(table)
                var budget = scanned
                var row = try cursor.last()
                while let (key, value) = row, budget > 0 {
                    let first = try Lookup.id(key)
                    let block = try formatted { () throws(FormatError) in
                        try OutcomeBlockView(first: first, value: value)
                    }
                    budget -= min(block.count, budget)
                    for id in (block.first..<block.end).reversed() {
                        let hint = block.stateHint(id)
                        guard hint == .failed || hint == .deadLetter,
                            try Lookup.active(id, reader, open.tables) == nil
                        else { continue }
                        // Run once more since, it came to something else.
                        if isFirst, try reader.value(open.tables.revised, Key(id)) != nil {
                            continue
                        }
                        let entry = try formatted { () throws(FormatError) in try block.entry(id) }
                        let outcome = try Outcome(entry, reader, open.tables)
                        found.append(
                            RecentFailure(
                                id: JobID(rawValue: id), queue: names[block.queue] ?? "?",
                                kind: outcome.kind, attempt: outcome.attempt,
                                endedAt: outcome.endedAt, failure: outcome.failure))
                    }
                    row = try cursor.previous()
                }
            }
            return found
        }
        return Array(found.sorted { $0.endedAt > $1.endedAt }.prefix(limit))
    }
}
