import PetioleDispatch
import PetioleStorage
import Synchronization

// At most once
//
// A job type that is acknowledged before its run has the start of each attempt on the disk first: the epoch of its queue's owner,
// in the job's row of `active`, committed for all jobs of a ticket together.
//
// | who meets the mark | what follows |
// |---|---|
// | a worker of the same epoch | the attempt is made: it lay in a ticket that was put back |
// | a worker of a later epoch, or a takeover | the job is a dead letter, "Interrupted": it began, or may have begun, and is not run again |
// | a retry, a snooze | the mark goes: the attempt has ended, and is known to have |
// | a runner that stops in peace | marks of jobs that never began go |
//
// A crash between the commit and the start leaves a mark of a job that never ran: that is the price of never running one twice.

/// Jobs whose start is recorded and that have not begun.
final class StartMarks: Sendable {
    private let pending = Mutex<Set<UInt64>>([])

    static func epoch(_ queue: OwnedQueue) -> UInt32 {
        // 0 is no mark.
        let low = UInt32(truncatingIfNeeded: queue.epoch)
        return low == 0 ? .max : low
    }

    /// Records that jobs start, and waits until that is on the disk. Those that have ended, moved or been cancelled meanwhile are
    /// left alone.
    func mark(
        _ ids: Range<UInt64>, at position: UInt64, _ priority: UInt8, _ queue: OwnedQueue,
        _ store: OpenStore
    ) throws(StoreError) {
        let tables = store.tables
        let epoch = Self.epoch(queue)
        let queueID = queue.id
        pending.withLock { $0.formUnion(ids) }
        try store.performBlocking { (transaction, _) throws(StorageError) in
            for id in ids {
                if try Lookup.outcomes(id, transaction, tables) != nil { continue }
                var active =
                    try Lookup.active(id, transaction, tables)
                    ?? ActiveRecord(state: .ready, queue: queueID, priority: priority)
                guard active.state == .ready, active.startEpoch == 0,
                    active.position == 0 || active.position == position
                else { continue }
                active.startEpoch = epoch
                try active.put(&transaction, tables.active, id)
            }
        }
    }

    func begin(_ id: UInt64) { _ = pending.withLock { $0.remove(id) } }

    /// Takes back the marks of jobs that did not begin after all: no attempt is left.
    func withdraw(_ store: OpenStore) throws(StoreError) {
        let ids = pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
        guard !ids.isEmpty else { return }
        let tables = store.tables
        try store.performBlocking { (transaction, _) throws(StorageError) in
            for id in ids.sorted() {
                guard var active = try Lookup.active(id, transaction, tables),
                    active.startEpoch != 0
                else { continue }
                active.startEpoch = 0
                try active.put(&transaction, tables.active, id)
            }
        }
    }

    /// What is recorded of a job that began, or may have begun, and was cut short.
    static func interrupted(hasBegun: Bool) -> FailureRecord {
        FailureRecord(
            type: "Interrupted",
            message: hasBegun
                ? "its process died while it ran, and it is to run at most once"
                : "its process died after its start was recorded, and it is to run at most once; it may not have begun"
        )
    }
}
