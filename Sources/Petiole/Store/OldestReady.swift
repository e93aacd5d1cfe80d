import PetioleStorage

/// Since when the job that is ready for the longest waits in a queue.
enum OldestReady {
    /// So many rows of lanes, sublanes of limits and ids within them are looked at; behind those nothing is said.
    private static let looks = 256

    /// - Parameter running: the jobs in slots.
    /// - Returns: microseconds since 1970; nil when none was found.
    static func since(
        queue: UInt32, running: Set<UInt64>, now: ClockReading, _ reader: Reader,
        _ tables: StoreTables
    ) throws(StorageError) -> Int64? {
        var oldest: Int64?
        var budget = looks
        for priority in 0...StoreFormat.lowestPriority {
            let cursor = try reader.cursor(tables.lanes)
            var entry = try cursor.ceiling(RecordKey.lane(queue, priority, 0))
            // Rows lie in the order in which they came: behind the first job that waits there are younger ones.
            while let found = entry, budget > 0 {
                let row = try formatted { () throws(FormatError) in try LaneRow(found) }
                guard row.queue == queue, row.priority == priority else { break }
                if let since = try since(row, running, now, &budget, reader, tables) {
                    oldest = min(oldest ?? since, since)
                    break
                }
                entry = try cursor.next()
            }
        }
        var next = RecordKey.sublanes(queue)
        let cursor = try reader.cursor(tables.parked)
        while budget > 0, let found = try cursor.ceiling(next) {
            let row = try formatted { () throws(FormatError) in try LaneRow(parked: found) }
            guard let row, row.queue == queue, let gate = row.gate else { break }
            budget -= 1
            if let since = try since(row, running, now, &budget, reader, tables) {
                oldest = min(oldest ?? since, since)
            }
            next = RecordKey.sublaneEnd(queue, row.priority, gate)
        }
        return oldest
    }

    /// Since when the first job of a row waits that has neither ended nor runs.
    private static func since(
        _ row: LaneRow, _ running: Set<UInt64>, _ now: ClockReading, _ budget: inout Int,
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Int64? {
        var id = row.first
        while id < row.end, budget > 0 {
            budget -= 1
            if let interval = row.done.first(where: { $0.first <= id && id < $0.end }) {
                id = interval.end
                continue
            }
            let active = try Lookup.active(id, reader, tables)
            if active == nil, let outcomes = try Lookup.outcomes(id, reader, tables) {
                id = outcomes.end
                continue
            }
            if !running.contains(id), let since = try since(id, active, row, now, reader, tables) {
                return since
            }
            id += 1
        }
        return nil
    }

    private static func since(
        _ id: UInt64, _ active: ActiveRecord?, _ row: LaneRow, _ now: ClockReading,
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Int64? {
        if let active {
            guard active.state == .ready, active.position == 0 || active.position == row.position
            else { return nil }
        }
        guard let block = try Lookup.block(id, reader, tables) else { return nil }
        var since = block.acceptedAt
        // What cannot be read waits since it was accepted.
        if active?.isRescheduled != true, let options = try? block.entry(id).options() {
            since = max(since, options.due.instant(now))
        }
        // After an attempt it does not wait longer than since that ended.
        if let active, let last = try? AttemptHistory.read(active.history).last {
            since = max(since, last.startedAt + last.runMicroseconds)
        }
        return since
    }
}
