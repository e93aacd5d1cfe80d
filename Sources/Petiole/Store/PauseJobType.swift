import CPetiole
import PetioleStorage

// A pause of a job type against a claim
//
// The pause is a row of `meta`, and control moves: the handshake of a queue's pause (see `Pause.swift`). A worker who meets a
// job of the type does not keep it: it is parked under its queue and name, each job once, so that it dams its lane for no
// other name, and is neither met again nor held in memory. When the type goes on, they are moved back to their lanes, 10,000
// a transaction, by who said so; should he die over it, by the steward of each queue, who looks when control moves, and by
// each next owner.
//
//     worker                                    who lets the type go on
//     sees the type paused, gathers "park it"
//                                               commits that it goes on
//                                               moves back what is parked: nothing yet
//     the writer parks the job                  ← it would stay there for ever
//
// Therefore the writer looks at the row in the transaction that parks: when the type has gone on, the job is put at the end of
// its lane instead. And who moves jobs back looks as well: when the type was paused anew, they stay.

/// A job type of which nothing starts.
public struct PausedJobType: Sendable, Hashable {
    /// The name of its jobs.
    public let name: String
    /// The queue in which it is paused; nil: everywhere.
    public let queue: String?
    /// Since when.
    public let since: WallTime
}

extension JobStore {
    /// Pauses a job type, in a queue or everywhere: what runs of it finishes, and nothing else of it starts until it goes on,
    /// whoever runs the queue, also after a restart. Jobs of other names that lie behind its jobs go on. Jobs are accepted as
    /// before; those of the type that a worker meets are ``JobState/paused(name:)``.
    /// - Parameter queue: nil: everywhere.
    /// - Returns: whether it was not paused there before.
    /// - Throws: ``StoreError``; nothing has changed then.
    @discardableResult
    public func pause(jobType name: String, queue: String? = nil) async throws(StoreError) -> Bool {
        try Self.check(name, queue)
        let hasChanged = try await open.perform {
            (transaction, state) throws(StorageError) -> Bool in
            let number = try state.number(ofName: name, &transaction)
            let queueNumber = try queue.map { (queue) throws(StorageError) in
                try state.queue(named: queue, &transaction).id
            }
            let key = PausedTypes.key(queue: queueNumber ?? 0, name: number)
            if try transaction.value(state.tables.meta, key) != nil { return false }
            let now = state.now
            try transaction.put(state.tables.meta, key, count: 8) {
                $0.storeLittleEndian(now, at: 0)
            }
            state.controlMoved = true
            return true
        }
        petiole_fence()
        return hasChanged
    }

    /// Lets a paused job type go on. When this returns, its jobs lie in their lanes again, at the end.
    /// - Parameter queue: nil: everywhere, in single queues too. What is paused everywhere does not go on in one queue alone.
    /// - Returns: whether it was paused there before.
    /// - Throws: ``StoreError``; whether it has gone on then, ``pausedJobTypes()`` tells. What was not moved back is moved by
    ///   the owner of its queue.
    /// - Complexity: O(log *n*) for each job that was put aside, in transactions of 10,000.
    @discardableResult
    public func resume(jobType name: String, queue: String? = nil) async throws(StoreError) -> Bool
    {
        try Self.check(name, queue)
        let queues = try queueRows().filter { queue == nil || $0.name == queue }
        let (hasChanged, number) = try await open.perform {
            (transaction, state) throws(StorageError) -> (Bool, UInt32) in
            let number = try state.number(ofName: name, &transaction)
            var hasChanged = false
            for id in queues.map({ $0.record.id }) + (queue == nil ? [0] : []) {
                let key = PausedTypes.key(queue: id, name: number)
                if try transaction.delete(state.tables.meta, key) { hasChanged = true }
            }
            state.controlMoved = state.controlMoved || hasChanged
            return (hasChanged, number)
        }
        CrashPoint.pass(.typeResumed)
        let open = open
        let path = path
        do {
            try await onThread("petiole-resume") {
                for (_, record) in queues {
                    while try !PausedTypes.moveBack(queue: record.id, name: number, open) {}
                }
            }
        } catch let error as StoreError { throw error } catch {
            throw .failed(path: path, reason: "\(error)")
        }
        return hasChanged
    }

    /// The job types that are paused, by name and queue. Cost: O(those).
    public func pausedJobTypes() throws(StoreError) -> [PausedJobType] {
        let open = open
        var paused: [PausedJobType] = []
        let rows = try open.read { (reader) throws(StorageError) in
            try PausedTypes.rows(reader, open.tables)
        }
        for row in rows {
            paused.append(
                PausedJobType(
                    name: try jobName(row.name) ?? "?",
                    queue: row.queue == 0 ? nil : try queueName(row.queue) ?? "?",
                    since: WallTime(microseconds: row.since)))
        }
        return paused.sorted { ($0.name, $0.queue ?? "") < ($1.name, $1.queue ?? "") }
    }

    /// Whether a job of a name was ever enqueued, or a runner that knows it ever ran.
    package func isKnown(jobName name: String) throws(StoreError) -> Bool {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            try withBytes(RecordKey.bytes("n" + name)) { (key) throws(StorageError) in
                try reader.value(open.tables.names, key) != nil
            }
        }
    }

    private static func check(_ name: String, _ queue: String?) throws(StoreError) {
        for (name, what) in [(name, "job"), (queue ?? "any", "queue")]
        where !NameForm.isValid(name) {
            throw .invalidOption(EnqueueError.invalidName(name, what: what).description)
        }
    }
}

/// The rows that say which job types are paused, and the jobs that lie aside because of them.
enum PausedTypes {
    /// `meta`: the queue, 0 for everywhere, and the name.
    static func key(queue: UInt32, name: UInt32) -> Key {
        Key().appending(UInt8(ascii: "p")).appending(queue).appending(name)
    }

    struct Row {
        var queue: UInt32
        var name: UInt32
        /// Microseconds since 1970.
        var since: Int64
    }

    /// - Parameter queue: nil: of all queues, and those that are paused everywhere.
    static func rows(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables,
        queue: UInt32? = nil
    ) throws(StorageError) -> [Row] {
        var rows: [Row] = []
        let cursor = try transaction.cursor(tables.meta)
        var entry = try cursor.ceiling(key(queue: queue ?? 0, name: 0))
        while let (key, value) = entry, key.count == 9, key[0] == UInt8(ascii: "p"),
            value.count >= 8
        {
            let row = Row(
                queue: key.bigEndian(at: 1), name: key.bigEndian(at: 5),
                since: value.littleEndian(at: 0))
            if let queue, row.queue != queue { break }
            rows.append(row)
            entry = try cursor.next()
        }
        return rows
    }

    /// The names that are paused in a queue, there or everywhere. Cost: two searches.
    static func names(
        queue: UInt32, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Set<UInt32> {
        var names: Set<UInt32> = []
        for place in [0, queue] {
            for row in try rows(transaction, tables, queue: place) { names.insert(row.name) }
        }
        return names
    }

    static func contains(
        queue: UInt32, name: UInt32, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        for place in [0, queue] {
            if try transaction.value(tables.meta, key(queue: place, name: name)) != nil {
                return true
            }
        }
        return false
    }

    /// Moves some of what lies aside in a queue back to its lanes, unless the type is paused. Blocks the thread.
    /// - Returns: whether none is left that is to be moved.
    static func moveBack(
        queue: UInt32, name: UInt32, _ open: OpenStore
    ) throws(StoreError) -> Bool {
        let isThere = try open.read { (reader) throws(StorageError) in
            try first(queue: queue, from: name, reader, open.tables) == name
        }
        guard isThere else { return true }
        let tables = open.tables
        return try open.performBlocking { (transaction, state) throws(StorageError) in
            if try contains(queue: queue, name: name, transaction, tables) { return true }
            return try Takeover.unpark(
                .pausedType, queue: queue, name: name, tables, &transaction, &state)
        }
    }

    /// Moves some of what lies aside in queues of types that have gone on: what somebody who died has left.
    /// - Returns: whether none is left that is to be moved.
    static func moveBackLeftOvers(_ queues: [UInt32], _ open: OpenStore) throws(StoreError) -> Bool
    {
        for queue in queues {
            var name: UInt32? = 0
            while let from = name {
                name = try open.read { (reader) throws(StorageError) in
                    try first(queue: queue, from: from, reader, open.tables)
                }
                guard let found = name else { break }
                if try !moveBack(queue: queue, name: found, open) { return false }
                name = found == .max ? nil : found + 1
            }
        }
        return true
    }

    /// The first name, from one on, of which something lies aside in a queue.
    private static func first(
        queue: UInt32, from name: UInt32, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> UInt32? {
        let cursor = try reader.cursor(tables.parked)
        let letter = ActiveRecord.Parking.pausedType.letter
        guard
            let (key, _) = try cursor.ceiling(
                RecordKey.parked(.pausedType, queue, name, 0)), key.count == 21,
            key.bigEndian(at: 0, as: UInt32.self) == queue, key[4] == letter
        else { return nil }
        return UInt32(truncatingIfNeeded: key.bigEndian(at: 5, as: UInt64.self))
    }
}
