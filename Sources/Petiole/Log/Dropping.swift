import PetioleStorage

// Dropping against a claim
//
// An enqueue for which there is no room may end jobs that have not started, in its own transaction. What waits for its time
// is ended there and then. What is ready may lie claimed in a worker's rest, in any process:
//
// Nobody owns the queue. Then nobody has claimed from it, and whoever takes it over raises its epoch in a transaction of
// his own, behind this one, before he reads a lane: he finds the jobs ended. They are ended there and then as well.
//
// Somebody owns it. The jobs are marked, and do not count any more; the transaction moves control. From then on it is the
// handshake of an expiry (see `Expiry`), with the owner's steward in the place of the timer: whoever meets a marked job
// records it as dropped instead of starting it, and the steward, whom control wakes, records those that are in no slot. One
// that was just about to start is found in its slot, and goes on: what it comes to is recorded, and it was not dropped.
//
//     worker                                    who enqueues (any process)
//     reads control: 7
//     opens a view
//     …                                         finds the job in no slot
//                                               commits the mark
//     publishes the job in its slot, fences     makes control 8
//     reads control: 7, starts                  the steward finds it in the slot
//
// A job that is marked and fails has no other attempt: see `LogCommit`.
//
// A crash at any point leaves marks in their rows. They hold for the next owner, who meets them in their lanes. The
// counters of what is marked are changed in the transactions that set and delete the marks.
//
// Which ones: see `DropSearch`.

/// Who runs what, as a transaction can tell.
struct Runners: Sendable {
    let slots: RunningSlots
    let locks: ByteLocks

    func isOwned(_ queue: UInt32) -> Bool {
        locks.holder(of: StoreFormat.queueLock(queue)) != nil
    }
}

/// Ends jobs that have not started, to make room for others. In the writer's transaction.
enum Dropping {
    /// So many are looked at in a transaction, some 10 ms; and so many of them dropped.
    static let lookLimit = 20_000
    static let dropLimit = 10_000
    /// More that are marked and do not end: their owner is stopped, or gone without the kernel knowing.
    static let markLimit: UInt64 = 100_000

    enum Result: Equatable {
        /// There is room now.
        case enough
        /// Some were dropped, or passed over; to be called again in another transaction.
        case more
        /// There are not enough that may be dropped; those that may were left alone.
        case tooFew
    }

    /// - Parameters:
    ///   - wanted: how much is to be dropped.
    ///   - priority: of what they make room for.
    static func drop(
        _ wanted: JobLoad, queue: UInt32, for priority: UInt8,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Result {
        if try state.dropping(transaction, queue) >= markLimit { return .tooFew }
        let isOwned = state.runners.isOwned(queue)
        // Of a dead owner too: what it left running ends with the next takeover.
        var search = DropSearch(
            queue: queue, priority: priority, wanted: wanted, isOwned: isOwned,
            running: state.runners.slots.jobs())
        try search.read(transaction, state.tables)
        if search.isExhausted { return .tooFew }
        // What takes several transactions is not begun when it cannot be ended.
        if !search.hasEnough {
            let aside = try state.waitingOrParked(transaction, queue)
            if try !search.mayFindEnough(besides: aside, transaction, state.tables) {
                return .tooFew
            }
        }
        for job in search.found {
            if job.active.state == .ready, isOwned {
                try mark(job, &transaction, &state)
            } else {
                try end(job, &transaction, &state)
            }
        }
        try search.write(&transaction, state.tables)
        return search.hasEnough ? .enough : .more
    }

    /// Says that a job is to end without having started; one that nobody was seen to run.
    static func mark(
        _ job: DropSearch.Found, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var active = job.active
        active.isDropped = true
        try active.put(&transaction, state.tables.active, job.id)
        try transaction.put(
            state.tables.parked, RecordKey.dropping(active.queue, job.id), count: 8
        ) { $0.storeLittleEndian(job.id, at: 0) }
        try state.count(transaction, active.queue) {
            $0.dropping += 1
            $0.droppingBytes += job.bytes
        }
        state.controlMoved = true
    }

    /// Ends a job that nobody can be running.
    static func end(
        _ job: DropSearch.Found, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let active = job.active
        if active.state == .ready, active.position != 0 {
            try transaction.delete(
                state.tables.lanes,
                RecordKey.lane(active.queue, active.priority, active.position))
        }
        try OutcomeRecording.record(
            job.id, .dropped, nil, active, state.tables, &transaction, &state)
    }

    /// Takes a mark away with the row that bears it: its job has ended.
    static func unmark(
        _ id: UInt64, _ active: ActiveRecord, bytes: UInt64,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard active.isDropped else { return }
        try transaction.delete(state.tables.parked, RecordKey.dropping(active.queue, id))
        try state.count(transaction, active.queue) {
            $0.dropping &-= 1
            // As `takeOff`, for a record that was damaged between.
            $0.droppingBytes =
                $0.dropping == 0 || bytes > $0.droppingBytes ? 0 : $0.droppingBytes - bytes
        }
    }
}
