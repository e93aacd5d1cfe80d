import PetioleStorage

/// Which of the held jobs go on as things are: those that wait for others alone, each of which is to run or goes on itself. One
/// that is held by hand does not, nor does who comes after it, after a job that is parked, or after one of a queue that nobody
/// is to run.
struct HeldOutlook {
    private let tables: StoreTables
    private let queues: [QueueRecord]
    /// Whether jobs of a queue that is not paused are to run.
    private let isServed: (UInt32) -> Bool
    private var served: [UInt32: Bool] = [:]
    private var known: [UInt64: Bool] = [:]

    init(
        _ queues: [QueueRecord], _ tables: StoreTables, isServed: @escaping (UInt32) -> Bool
    ) {
        self.queues = queues
        self.tables = tables
        self.isServed = isServed
    }

    /// How many of a queue go on.
    /// - Complexity: O(held jobs of the queue, and those that they wait for).
    mutating func count(
        in queue: UInt32, _ reader: Reader
    ) throws(StorageError) -> Int {
        var count = 0
        let cursor = try reader.cursor(tables.parked)
        var entry = try cursor.ceiling(RecordKey.parked(.held, queue, 0, 0))
        while let (key, value) = entry, key.count == 21,
            key.bigEndian(at: 0, as: UInt32.self) == queue,
            key[4] == ActiveRecord.Parking.held.letter
        {
            if try goesOn(value.littleEndian(at: 0), reader) { count += 1 }
            entry = try cursor.next()
        }
        return count
    }

    private enum Standing {
        case known(Bool)
        case behind([UInt64])
    }

    /// Without recursion: a chain may be as long as the log.
    private mutating func goesOn(_ job: UInt64, _ reader: Reader) throws(StorageError) -> Bool {
        var path = [job]
        while let id = path.last {
            if known[id] == nil {
                switch try standing(id, reader) {
                case .known(let answer): known[id] = answer
                case .behind(let others):
                    // What a job comes after was there before it: nothing goes round in a circle.
                    if others.contains(where: { known[$0] == false || $0 >= id }) {
                        known[id] = false
                    } else {
                        let open = others.filter { known[$0] == nil }
                        path += open
                        if open.isEmpty { known[id] = true }
                        continue
                    }
                }
            }
            path.removeLast()
        }
        return known[job] ?? false
    }

    private mutating func standing(
        _ id: UInt64, _ reader: Reader
    ) throws(StorageError) -> Standing {
        guard let active = try Lookup.active(id, reader, tables) else {
            // Those that follow one that has ended are being let go.
            guard try Lookup.outcomes(id, reader, tables) == nil,
                let block = try Lookup.block(id, reader, tables)
            else { return .known(true) }
            return .known(isRun(block.queue))
        }
        switch (active.state, active.parking) {
        case (.parked, .held):
            if try HeldJobs.isHeldByHand(id, reader, tables) { return .known(false) }
            return .behind(
                try HeldJobs.predecessors(of: id, reader, tables).map { $0.job.rawValue })
        // It ends with its workflow, which goes on where there is something to run.
        case (.parked, .workflow): return .known(try isAnythingRun(reader))
        case (.parked, _): return .known(false)
        default: return .known(isRun(active.queue))
        }
    }

    private mutating func isRun(_ queue: UInt32) -> Bool {
        if let answer = served[queue] { return answer }
        let isPaused = queues.contains { $0.id == queue && $0.isPaused }
        let answer = !isPaused && isServed(queue)
        served[queue] = answer
        return answer
    }

    private mutating func isAnythingRun(_ reader: Reader) throws(StorageError) -> Bool {
        for queue in queues where isRun(queue.id) {
            let counts = try JobStore.counts(queue.id, reader, tables)
            if counts.ready + counts.waiting > 0 { return true }
        }
        return false
    }
}
