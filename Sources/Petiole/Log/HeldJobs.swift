import PetioleStorage

// Jobs that are held back
//
// A job may be held until others have ended, and by hand. It is parked then, in no lane, and rows of `parked` under queue 0,
// which there never is, say what it waits for:
//
//     0 "w" job, predecessor      condition      what the job waits for; predecessor 0: until somebody lets it go on
//     0 "f" predecessor, job      condition      the same the other way round, of a predecessor that is a job
//     0 "l" predecessor, 0        how it ended   those that follow it are not all let go yet: up to which id (8 bytes) they
//                                                followed that end, and not another one behind a requeue
//
// Each commit ends with a look at what ended in it: those that follow are let go in that very transaction, or are cancelled when
// what they waited for was a success and it is none. So after a crash either the predecessor has not ended, or what follows from
// its end is there too. What is cancelled thereby has ended in this commit as well, and so those behind it are met by the same
// look. When more than 5,000 follow, the rest is named by a row "l" and let go by the commits that come next, of whatever
// process; the writer that left it brings one at once. Should its process die before, the next commit of anybody does it, and
// who waits for jobs or runs them brings one. What deletes jobs that have ended looks before it does: how they ended is read from them.
//
// A job is let go when its last "w" goes. Whatever else takes it out of where it is parked takes those rows with it.

/// What becomes of an enqueue that names predecessors; found out before anything of it is written.
enum EnqueueHold: Sendable {
    /// All that was awaited is there.
    case none
    /// For these.
    case waits([Predecessor])
    /// One of them has ended otherwise than awaited: the jobs are accepted, and cancelled.
    case vain(HeldJobs.End)
    /// There is no such job: nothing is accepted.
    case missing(UInt64)

    /// Whether its jobs end as they are accepted.
    var isVain: Bool { if case .vain = self { true } else { false } }

    /// Whether its jobs are not ready.
    var isHeld: Bool {
        switch self {
        case .waits, .vain: true
        case .none, .missing: false
        }
    }
}

/// In the writer's transaction.
enum HeldJobs {
    /// How a predecessor ended.
    struct End: Sendable, Equatable {
        var job: UInt64
        var state: OutcomeBlock.State
    }

    /// So many are let go or cancelled in one transaction: some tens of milliseconds.
    static let limit = 5_000
    /// In place of a predecessor: it is held by hand.
    static let byHand: UInt64 = 0

    // MARK: Keys

    private static func key(_ letter: Character, _ first: UInt64, _ second: UInt64) -> Key {
        Key().appending(UInt32(0)).appending(letter.asciiValue!).appending(first).appending(second)
    }
    static func wait(_ job: UInt64, _ predecessor: UInt64) -> Key { key("w", job, predecessor) }
    static func follower(_ predecessor: UInt64, _ job: UInt64) -> Key {
        key("f", predecessor, job)
    }
    static func left(_ predecessor: UInt64) -> Key { key("l", predecessor, 0) }

    /// The two numbers of a row's key; nil when it is of another kind.
    static func numbers(
        _ key: UnsafeRawBufferPointer, _ letter: Character
    ) -> (first: UInt64, second: UInt64)? {
        guard key.count == 21, key.bigEndian(at: 0, as: UInt32.self) == 0,
            key[4] == letter.asciiValue
        else { return nil }
        return (key.bigEndian(at: 5), key.bigEndian(at: 13))
    }

    private static func condition(_ value: UnsafeRawBufferPointer) -> Predecessor.Condition {
        value.first == 2 ? .ended : .succeeded
    }

    // MARK: Acceptance

    /// What becomes of an enqueue, by where its predecessors are now.
    static func hold(
        for predecessors: [Predecessor], _ transaction: borrowing WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) -> EnqueueHold {
        var awaited: [Predecessor] = []
        var vain: End?
        for predecessor in predecessors.sterner {
            let id = predecessor.job.rawValue
            switch try standing(id, transaction, tables) {
            case .missing: return .missing(id)
            case .unfinished: awaited.append(predecessor)
            case .ended(let state):
                if state != .succeeded, predecessor.condition == .succeeded, vain == nil {
                    vain = End(job: id, state: state)
                }
            }
        }
        if let vain { return .vain(vain) }
        return awaited.isEmpty ? .none : .waits(awaited)
    }

    private enum Standing {
        case missing, unfinished
        case ended(OutcomeBlock.State)
    }

    private static func standing(
        _ id: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Standing {
        if try Lookup.active(id, transaction, tables) != nil { return .unfinished }
        if let outcomes = try Lookup.outcomes(id, transaction, tables) {
            return .ended(
                try formatted { () throws(FormatError) in try outcomes.entry(id).state })
        }
        guard try Lookup.block(id, transaction, tables) != nil,
            try !JobStore.isStaged(id, transaction, tables)
        else { return .missing }
        return .unfinished
    }

    /// The rows of jobs that were just put into the log, and are counted as parked.
    static func accept(
        _ submission: EnqueueSubmission, queue: UInt32, priority: UInt8, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        for id in submission.first..<submission.first + submission.jobCount {
            var active = ActiveRecord(state: .parked, queue: queue, priority: priority)
            try park(id, &active, tables, &transaction, &state)
            guard case .waits(let predecessors) = submission.hold else { continue }
            for predecessor in predecessors {
                let other = predecessor.job.rawValue
                let condition: UInt8 = predecessor.condition == .ended ? 2 : 1
                for key in [wait(id, other), follower(other, id)] {
                    try transaction.put(tables.parked, key, count: 1) {
                        $0.storeBytes(of: condition, as: UInt8.self)
                    }
                }
            }
        }
        state.hasParked = true
    }

    /// Cancels jobs that were accepted in vain, all their rows being there, that of a unique key too.
    static func cancelVain(
        _ submission: EnqueueSubmission, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        guard case .vain(let end) = submission.hold else { return }
        for id in submission.first..<submission.first + submission.jobCount {
            guard let active = try Lookup.active(id, transaction, tables) else { continue }
            try OutcomeRecording.record(
                id, .cancelled, nil, active, becauseOf: end, tables, &transaction, &state)
        }
    }

    /// Says that a job is held; for what, its "w" rows say.
    private static func park(
        _ id: UInt64, _ active: inout ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        active.state = .parked
        active.parking = .held
        active.name = 0
        active.position = state.sequences.takePosition()
        try transaction.put(
            tables.parked, RecordKey.parked(.held, active.queue, 0, active.position), count: 8
        ) { $0.storeLittleEndian(id, at: 0) }
        try active.put(&transaction, tables.active, id)
    }

    // MARK: By hand

    /// Holds a job by hand that nobody may be running; of a ready one the row in its lane is gone.
    /// - Parameter due: when it is due once it goes on; 0: as its enqueue said, or at once.
    static func hold(
        _ id: UInt64, _ found: ActiveRecord, priority: UInt8, due: StoreTime,
        _ tables: StoreTables, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        if found.state != .parked || found.parking != .held {
            var active = found
            try OutcomeRecording.removeRows(id, found, tables, &transaction)
            active.isSuspect = false
            active.pending = nil
            // Recorded behind the mark of who put it here, and so it has not begun: see `StartMarks`.
            active.startEpoch = 0
            active.priority = priority
            active.due = due
            if !due.isNone { active.isRescheduled = true }
            try park(id, &active, tables, &transaction, &state)
            try state.count(transaction, active.queue) { counters in
                if found.state == .waiting { counters.waiting &-= 1 }
                if found.state != .parked { counters.parked += 1 }
            }
        }
        try transaction.put(tables.parked, wait(id, byHand), count: 1) {
            $0.storeBytes(of: 1, as: UInt8.self)
        }
        state.note(EventCode.paused, id)
        state.hasParked = true
    }

    /// Takes a hold by hand away.
    /// - Returns: nil when there was none; else whether the job is let go, and does not wait for others besides.
    static func letGoByHand(
        _ id: UInt64, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Bool? {
        guard try transaction.delete(tables.parked, wait(id, byHand)) else { return nil }
        guard try predecessors(of: id, transaction, tables).isEmpty else { return false }
        try start(id, active, tables, &transaction, &state)
        return true
    }

    private static func start(
        _ id: UInt64, _ active: ActiveRecord, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        try JobEditing.place(
            id, active, priority: active.priority, due: active.due, tables, &transaction, &state)
        state.note(.ready, id, attempts: active.attempts)
        state.note(EventCode.ready, id)
    }

    // MARK: The end of predecessors

    /// Lets go, or cancels, what follows the jobs that have ended in this commit.
    static func follow(
        _ tables: StoreTables, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        // Mostly nothing is parked at all.
        guard try transaction.count(tables.parked) > 0 else { return }
        var budget = limit
        while budget > 0, let (end, last) = try nextLeft(transaction, tables) {
            if try follow(end, upTo: last, &budget, tables, &transaction, &state) {
                try transaction.delete(tables.parked, left(end.job))
            }
        }
        // What is cancelled below has ended in this commit too, and comes behind.
        while state.followed < state.ended.count {
            let run = state.ended[state.followed]
            state.followed += 1
            var next = run.first
            while let job = try nextFollowed(from: next, transaction, tables),
                job < run.first + run.count
            {
                next = job + 1
                let end: End
                switch try standing(job, transaction, tables) {
                // Requeued in this very commit: its end is yet to come.
                case .unfinished: continue
                case .ended(let state): end = End(job: job, state: state)
                // Nothing that deletes leaves one behind: see `Pruning` and `Purging`.
                case .missing: end = End(job: job, state: .cancelled)
                }
                if try !follow(end, upTo: .max, &budget, tables, &transaction, &state) {
                    let last = try lastFollower(of: job, transaction, tables)
                    try transaction.put(tables.parked, left(job), count: 9) {
                        $0.storeBytes(of: end.state.rawValue, as: UInt8.self)
                        $0.storeLittleEndian(last, at: 1)
                    }
                }
            }
        }
        state.leavesFollowers = state.leavesFollowers || budget <= 0
    }

    /// - Parameter last: those with a greater id follow another end of the job.
    /// - Returns: whether none is left that follows it.
    private static func follow(
        _ end: End, upTo last: UInt64, _ budget: inout Int, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        var some: [(id: UInt64, condition: Predecessor.Condition)] = []
        var isLast = true
        do {
            let cursor = try transaction.cursor(tables.parked)
            var entry = try cursor.ceiling(follower(end.job, 0))
            while let (key, value) = entry, let (job, id) = numbers(key, "f"), job == end.job,
                id <= last
            {
                if some.count >= budget {
                    isLast = false
                    break
                }
                some.append((id, condition(value)))
                entry = try cursor.next()
            }
        }
        budget -= some.count
        for (id, condition) in some {
            try transaction.delete(tables.parked, follower(end.job, id))
            try transaction.delete(tables.parked, wait(id, end.job))
            guard let active = try Lookup.active(id, transaction, tables),
                active.state == .parked, active.parking == .held
            else { continue }
            if condition == .succeeded, end.state != .succeeded {
                try OutcomeRecording.record(
                    id, .cancelled, nil, active, becauseOf: end, tables, &transaction, &state)
            } else if try !waits(id, transaction, tables) {
                try start(id, active, tables, &transaction, &state)
            }
        }
        return isLast
    }

    private static func nextLeft(
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> (end: End, last: UInt64)? {
        let cursor = try transaction.cursor(tables.parked)
        guard let (key, value) = try cursor.ceiling(left(0)), let (job, _) = numbers(key, "l")
        else { return nil }
        let state = value.first.flatMap { OutcomeBlock.State(rawValue: $0) } ?? .cancelled
        return (
            End(job: job, state: state), value.count >= 9 ? value.littleEndian(at: 1) : .max
        )
    }

    private static func lastFollower(
        of job: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> UInt64 {
        let cursor = try transaction.cursor(tables.parked)
        guard let (key, _) = try cursor.floor(follower(job, .max)),
            let (other, last) = numbers(key, "f"), other == job
        else { return .max }
        return last
    }

    private static func nextFollowed(
        from first: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        let cursor = try transaction.cursor(tables.parked)
        guard let (key, _) = try cursor.ceiling(follower(first, 0)) else { return nil }
        return numbers(key, "f")?.first
    }

    // MARK: Looking

    /// Whether some that follow a job which has ended are not let go yet.
    static func areLeft(_ reader: Reader, _ tables: StoreTables) throws(StorageError) -> Bool {
        // Mostly nothing is parked at all.
        guard try reader.count(tables.parked) > 0 else { return false }
        guard let (key, _) = try reader.cursor(tables.parked).ceiling(left(0)) else {
            return false
        }
        return numbers(key, "l") != nil
    }

    static func isHeldByHand(
        _ id: UInt64, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        try reader.value(tables.parked, wait(id, byHand)) != nil
    }

    private static func waits(
        _ id: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        let cursor = try transaction.cursor(tables.parked)
        guard let (key, _) = try cursor.ceiling(wait(id, 0)) else { return false }
        return numbers(key, "w")?.first == id
    }

    /// The jobs that a held one still waits for; not whether it is held by hand besides.
    static func predecessors(
        of id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> [Predecessor] {
        var found: [Predecessor] = []
        let cursor = try transaction.cursor(tables.parked)
        var entry = try cursor.ceiling(wait(id, 1))
        while let (key, value) = entry, let (job, other) = numbers(key, "w"), job == id {
            found.append(
                Predecessor(job: JobID(rawValue: other), condition: condition(value)))
            entry = try cursor.next()
        }
        return found
    }

    /// The ids of those, of a job that has a row; empty when it is not held.
    static func awaited(
        _ id: UInt64, _ active: ActiveRecord, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> [JobID] {
        guard active.state == .parked, active.parking == .held else { return [] }
        return try predecessors(of: id, reader, tables).map { $0.job }
    }

    /// Takes away what a job waits for, which is taken out of where it is parked.
    static func removeWaits(
        _ id: UInt64, _ tables: StoreTables, _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        for predecessor in try predecessors(of: id, transaction, tables) {
            let other = predecessor.job.rawValue
            try transaction.delete(tables.parked, follower(other, id))
            try transaction.delete(tables.parked, wait(id, other))
        }
        try transaction.delete(tables.parked, wait(id, byHand))
    }
}

extension HeldJobs.End {
    /// Because of which a job was cancelled; nil: there was no such job.
    init?(of entry: OutcomeBlockView.Entry) {
        guard entry.state == .cancelled, entry.codec == OutcomeBlock.becauseOfAnother,
            entry.result.count >= 9, let state = OutcomeBlock.State(rawValue: entry.result[8])
        else { return nil }
        self.init(job: entry.result.littleEndian(at: 0), state: state)
    }

    /// Told as the reason.
    var failure: FailureRecord {
        let end =
            switch state {
            case .succeeded: "succeeded"
            case .failed: "failed"
            case .cancelled: "was cancelled"
            case .deadLetter: "became a dead letter"
            case .expired: "expired"
            case .discarded: "was discarded"
            case .dropped: "was dropped"
            }
        return FailureRecord(
            type: "Predecessor", message: "job \(job), which it was to come after, \(end)")
    }
}

extension OpenStore {
    /// Brings the commit that lets more of those go that follow jobs which have ended: somebody may have died before it did.
    func letLeftFollowersGo() {
        writer.submit(
            OperationSubmission({ (_, _) throws(StorageError) in }, completion: { _ in }))
    }
}

extension JobStore {
    /// Blocks the thread until all that follow jobs which ended in this process's commits are let go or cancelled: for who is about to end
    /// the process without closing its stores.
    package static func finishFollowers() {
        for store in StoreRegistry.all {
            while store.writer.leavesFollowers {
                // What cannot be committed is left to the next process that commits.
                guard (try? store.performBlocking { (_, _) throws(StorageError) in }) != nil else {
                    break
                }
            }
        }
    }
}
