import PetioleStorage

/// How much a queue, or the whole store, may hold of jobs that have not ended, and what becomes of an enqueue for which there
/// is no room. Whether there is, is decided in the transaction that would accept the jobs, whichever process enqueues them.
///
/// What counts are jobs that have been accepted and have not ended: ready, running, waiting, parked. Their bytes are those of
/// their payloads and of what is kept beside them (options, tags, inputs), without what the store itself needs for them; the
/// size of the file is bounded by ``StoreOptions/byteLimit``. Outcomes, retries, requeues, cancels and pruning are never
/// refused for want of room.
public struct Capacity: Sendable, Hashable {
    /// What becomes of an enqueue for which there is no room. One that would not fit even into an empty queue is refused at
    /// once, whatever this says.
    public enum WhenFull: Sendable, Hashable {
        /// It throws ``StoreError/noRoom(_:)`` within ``EnqueueError/refused(job:queue:_:)``; nothing was accepted.
        case refuse
        /// It waits until there is room, at most for so long, more than zero; nil: as long as it takes. Within a process who
        /// came first goes first; between processes no order is kept. A task that waits blocks no thread. A buffered enqueue
        /// does not wait: it is refused. A job that waits like this for room in its own queue may wait for itself: give it a
        /// bound, or let it enqueue through its context.
        case wait(upTo: Duration? = nil)
        /// So many jobs of the queue as it takes are ended as ``Outcome/Kind/dropped``: those of the lowest priority first,
        /// of these the ones that were accepted first; where jobs wait at a limit, the oldest of each key in turn. First
        /// those that are ready, then those that wait for their time, the next ones due first, then parked ones. None is dropped for one of a lower priority, and none that
        /// runs. When these are not enough, the enqueue is refused, and none is dropped; but of more than 10,000 some
        /// may be, when it is for want of bytes, or since so many of those that were there run.
        case dropOldest
    }

    /// Jobs that have not ended, 1 or more; nil: any number.
    public var jobs: Int?
    /// Bytes of them, 1 or more; nil: any number.
    public var bytes: Int?
    /// What becomes of an enqueue for which there is no room, unless it says otherwise itself
    /// (``EnqueueOptions/whenFull``).
    public var whenFull: WhenFull

    /// Makes a capacity. Bounds are checked where it is set.
    public init(jobs: Int? = nil, bytes: Int? = nil, whenFull: WhenFull = .refuse) {
        self.jobs = jobs
        self.bytes = bytes
        self.whenFull = whenFull
    }

    /// What is wrong with it, and what is allowed; nil: nothing.
    var problem: String? {
        if jobs == nil, bytes == nil { return "a capacity has jobs or bytes; nil takes one away" }
        if let jobs, jobs < 1 { return "jobs is \(jobs); 1 and more are allowed" }
        if let bytes, bytes < 1 { return "bytes is \(bytes); 1 and more are allowed" }
        return whenFull.problem
    }

    init?(_ record: CapacityRecord) {
        if record.isNone { return nil }
        jobs = record.jobs == 0 ? nil : Int(clamping: record.jobs)
        bytes = record.bytes == 0 ? nil : Int(clamping: record.bytes)
        switch record.whenFull {
        case .refuse: whenFull = .refuse
        case .wait(0): whenFull = .wait()
        case .wait(let limit): whenFull = .wait(upTo: .microseconds(Int64(clamping: limit)))
        case .dropOldest: whenFull = .dropOldest
        }
    }

    var record: CapacityRecord {
        var record = CapacityRecord()
        record.jobs = UInt64(jobs ?? 0)
        record.bytes = UInt64(bytes ?? 0)
        record.whenFull = whenFull.record
        return record
    }
}

extension Capacity.WhenFull {
    var problem: String? {
        if case .wait(let limit?) = self, limit <= .zero {
            return "it waits for \(limit); more than zero is allowed"
        }
        return nil
    }

    var record: CapacityRecord.WhenFull {
        switch self {
        case .refuse: .refuse
        case .wait(nil): .wait(0)
        case .wait(let limit?): .wait(UInt64(RetryPolicy.microseconds(limit)))
        case .dropOldest: .dropOldest
        }
    }
}

/// Why there was no room for jobs: whose capacity it was, and what it holds.
public struct CapacityReached: Sendable, Hashable {
    /// What is counted.
    public enum Measure: String, Sendable, Hashable {
        /// Jobs that have not ended.
        case jobs
        /// Their bytes.
        case bytes
    }
    /// The queue that is full; nil: the store is.
    public let queue: String?
    /// What there is too much of.
    public let measure: Measure
    /// How much of it there is.
    public let held: Int
    /// How much was to be added.
    public let added: Int
    /// How much there may be.
    public let limit: Int
    /// Whether the enqueue has waited for room, and its time was over.
    public var hasWaited = false

    /// Whether it would not fit either if there was nothing else.
    public var isTooLarge: Bool { added > limit }
}

extension CapacityReached: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        let place = queue.map { "the queue \"\(visible($0))\"" } ?? "the store"
        let unit = measure == .jobs ? "jobs that have not ended" : "bytes of jobs"
        let option = queue.map { visible($0) + " " } ?? ""
        let name = measure == .jobs ? "--jobs" : "--bytes"
        if isTooLarge {
            return """
                \(place) holds at most \(limit) \(unit), and \(added) come at once
                enqueue fewer at a time, or raise its capacity: petiole capacity \(option)\(name) N
                """
        }
        let wait = hasWaited ? ", also after the wait" : ""
        return """
            \(place) is full\(wait): \(held) of \(limit) \(unit), and \(added) more come
            let it run or cancel some, or raise its capacity: petiole capacity \(option)\(name) N
            """
    }
}

extension JobStore {
    /// Sets how much a queue, or the whole store, may hold; at run time, for all processes, from the next commit on. A queue
    /// that was never used may be given one in advance. What is held already stays, also when it is more.
    /// - Parameters:
    ///   - capacity: nil takes it away.
    ///   - queue: nil: the store's.
    /// - Throws: ``StoreError``, for bad bounds ``StoreError/invalidOption(_:)``; nothing has changed then.
    /// - Complexity: one commit; for the store's first one also O(queues).
    public func setCapacity(
        _ capacity: Capacity?, queue: String? = nil
    ) async throws(StoreError) {
        if let problem = capacity?.problem { throw .invalidOption(problem) }
        if let queue, !NameForm.isValid(queue) {
            throw .invalidOption(EnqueueError.invalidName(queue, what: "queue").description)
        }
        let record = capacity?.record ?? CapacityRecord()
        try await open.perform { (transaction, state) throws(StorageError) in
            if let queue {
                let id = try state.queue(named: queue, &transaction).id
                try state.count(transaction, id) { $0.capacity = record }
            } else {
                try state.setTotalCapacity(record, &transaction)
            }
            state.hasRoom = true
        }
    }

    /// How much a queue, or the whole store, may hold; nil: as much as fits on the disk.
    /// - Parameter queue: nil: the store's.
    public func capacity(queue: String? = nil) throws(StoreError) -> Capacity? {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            var id: UInt32 = 0
            if let queue {
                let row = try withBytes(RecordKey.bytes(queue)) { (key) throws(StorageError) in
                    try reader.value(open.tables.queues, key)
                }
                guard let row else { return nil }
                id = try formatted { () throws(FormatError) in try QueueRecord(row) }.id
            }
            return try QueueCounters.read(id, reader, open.tables).flatMap { Capacity($0.capacity) }
        }
    }
}

extension QueueCounters {
    /// A queue's counters; of queue 0 what the store holds, when it has a capacity.
    static func read(
        _ queue: UInt32, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> QueueCounters? {
        guard let bytes = try transaction.value(tables.meta, RecordKey.counters(queue)) else {
            return nil
        }
        return try formatted { () throws(FormatError) in try QueueCounters(bytes) }
    }
}
