import PetioleStorage

/// How many jobs are where, in a queue or in all.
public struct JobCounts: Sendable, Hashable {
    /// Accepted since the store was made, those pruned counted too.
    public var accepted = 0
    /// Ready to run, or running.
    public var ready = 0
    /// Waiting for their due time: delayed, or between two attempts.
    public var waiting = 0
    /// Parked: until a runner knows their name, or until their job type goes on.
    public var parked = 0
    /// Ended with a result.
    public var succeeded = 0
    /// Ended by the failure of the only attempt allowed.
    public var failed = 0
    /// Ended because somebody asked.
    public var cancelled = 0
    /// Dead letters.
    public var deadLetters = 0
    /// Ended because their expiry passed before they started.
    public var expired = 0
    /// Given up on purpose.
    public var discarded = 0
    /// Ended to make room for others.
    public var dropped = 0
    /// Attempts that another followed.
    public var retries = 0
    /// Bytes of those that have not ended: payloads and what lies beside them.
    public var unfinishedBytes = 0

    /// All ends there ever were, those that a requeue has taken back too, and how many were no success.
    package var endsEver = 0
    package var failuresEver = 0

    /// Those that have not ended.
    public var unfinished: Int { ready + waiting + parked }
    /// Those that have.
    public var ended: Int {
        succeeded + failed + cancelled + deadLetters + expired + discarded + dropped
    }

    init() {}

    init(_ counters: QueueCounters) {
        accepted = Int(clamping: counters.accepted)
        succeeded = Int(clamping: counters.succeeded)
        failed = Int(clamping: counters.failed)
        cancelled = Int(clamping: counters.cancelled)
        deadLetters = Int(clamping: counters.deadLetters)
        expired = Int(clamping: counters.expired)
        discarded = Int(clamping: counters.discarded)
        dropped = Int(clamping: counters.dropped)
        unfinishedBytes = Int(clamping: counters.bytes)
        waiting = Int(clamping: counters.waiting)
        parked = Int(clamping: counters.parked)
        retries = Int(clamping: counters.retries)
        ready = Int(clamping: counters.unfinished) - waiting - parked
        endsEver = Int(clamping: counters.ended &+ counters.requeued)
        failuresEver = Int(
            clamping: counters.ended &- counters.succeeded &+ counters.requeuedFailures)
    }

    static func + (left: JobCounts, right: JobCounts) -> JobCounts {
        var sum = left
        sum.accepted += right.accepted
        sum.ready += right.ready
        sum.waiting += right.waiting
        sum.parked += right.parked
        sum.succeeded += right.succeeded
        sum.failed += right.failed
        sum.cancelled += right.cancelled
        sum.deadLetters += right.deadLetters
        sum.expired += right.expired
        sum.discarded += right.discarded
        sum.dropped += right.dropped
        sum.unfinishedBytes += right.unfinishedBytes
        sum.retries += right.retries
        sum.endsEver += right.endsEver
        sum.failuresEver += right.failuresEver
        return sum
    }
}

/// A queue, who runs it, and what lies in it.
public struct QueueStatus: Sendable, Hashable {
    /// Its name.
    public let name: String
    /// The process that runs it, nil when none does.
    public let ownerPID: Int?
    /// Whether it is paused: see ``JobStore/pause(queue:)``.
    public let isPaused: Bool
    /// How many of its jobs are where.
    public let counts: JobCounts
    /// How much it may hold; nil: as much as fits on the disk.
    public let capacity: Capacity?

    /// Whether jobs wait in it that no process runs.
    public var isUnserved: Bool { ownerPID == nil && counts.ready + counts.waiting > 0 }
}

extension JobStore {
    /// How many jobs of all queues are where. Cost: O(queues), whatever the number of jobs.
    public func counts() throws(StoreError) -> JobCounts {
        try queues().reduce(JobCounts()) { $0 + $1.counts }
    }

    /// How many jobs of a queue are where; all zero for a queue that was never used. Cost: O(log queues).
    public func counts(queue: String) throws(StoreError) -> JobCounts {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            let row = try withBytes(RecordKey.bytes(queue)) { (key) throws(StorageError) in
                try reader.value(open.tables.queues, key)
            }
            guard let row else { return JobCounts() }
            let record = try formatted { () throws(FormatError) in try QueueRecord(row) }
            return JobCounts(
                try QueueCounters.read(record.id, reader, open.tables) ?? QueueCounters())
        }
    }

    /// The queues that were ever used, by name. Cost: O(queues), and a system call for each, which asks who owns it.
    public func queues() throws(StoreError) -> [QueueStatus] {
        let open = open
        let rows = try queueRows()
        return try open.read { (reader) throws(StorageError) in
            var all: [QueueStatus] = []
            for (name, record) in rows {
                let counters =
                    try QueueCounters.read(record.id, reader, open.tables) ?? QueueCounters()
                all.append(
                    QueueStatus(
                        name: name,
                        ownerPID: open.locks.holder(of: StoreFormat.queueLock(record.id))
                            .map { Int($0) },
                        isPaused: record.isPaused, counts: JobCounts(counters),
                        capacity: Capacity(counters.capacity)))
            }
            return all
        }
    }

    static func counts(
        _ queue: UInt32, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> JobCounts {
        guard let bytes = try reader.value(tables.meta, RecordKey.counters(queue)) else {
            return JobCounts()
        }
        return JobCounts(try formatted { () throws(FormatError) in try QueueCounters(bytes) })
    }
}
