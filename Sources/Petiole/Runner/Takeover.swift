import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Takeover
//
// A queue's owner holds its lock byte; the kernel drops it with the process. Who starts a runner:
//
//  1. takes the queues' lock bytes (or waits for them, as a standby);
//  2. under the recovery byte, one starter at a time: for each seat whose byte is free, so that its owner is dead, ends and
//     awaits the children that its slots name and those that carry the store's mark, and collects who ran;
//  3. in one transaction: raises the epoch of its queues, and records of each attempt that was cut short what it may have
//     done to its process;
//  4. clears those slots, takes a free seat, lets go of the recovery byte.
//
// What must not happen: two attempts of a job overlap. An owner that died cannot start another attempt. Its children are
// ended before the first claim of the new owner, which needs step 3. A second starter of another queue waits at the
// recovery byte, so it never sees seats half cleared. A crash between 2 and 4 leaves the slots as they were: the next
// starter does it all again, and the counts of step 3 are then one too high at most for a process that died in between.
//
// Who is to blame: a thread that ends the process by a trap or a bad access has marked its slot (`crash.c`): guilty, the
// others were not. When nobody is marked (SIGKILL, out of memory), all that ran are suspects: each gets a row of its own
// at the end of its lane and runs alone, before anything else. Commands ended nobody: their process is another.
//
// A suspect begins beside others all the same when its queue was paused until then, and others begin beside it when it waits
// for one of them. So whether it *was* alone is seen when its process has died: no other slot names a job that did not wait.

/// What a dead owner left running: from its slots.
struct CutShort: Sendable {
    let job: UInt64
    let queue: UInt32
    let isGuilty: Bool
    let wasAlone: Bool
    let isCommand: Bool
}

enum Takeover {
    /// A job that ended its process three times becomes a dead letter.
    static let crashLimit: UInt8 = 3

    /// Ends what dead owners' children still run, and collects who ran when they died. Holds the recovery byte.
    static func collect(_ store: OpenStore) throws(StorageError) -> (cut: [CutShort], seats: [Int])
    {
        let boot = BootMark.current()
        if store.slots.boot != boot {
            // The machine was started anew: nothing of what the slots say runs, and nobody is to blame.
            store.slots.clearAll()
            store.slots.setBoot(boot)
        }
        var cut: [CutShort] = []
        var dead: [Int] = []
        var leftovers: [(pid: pid_t, startTime: UInt64, group: pid_t)] = []
        var jobs: Set<UInt64> = []
        for seat in 0..<RunningSlots.seatCount {
            let occupied = store.slots.occupied(seat: seat)
            guard !occupied.isEmpty else { continue }
            guard try store.locks.tryLock(StoreFormat.seatLock(seat)) == .taken else { continue }
            defer { store.locks.unlock(StoreFormat.seatLock(seat)) }
            dead.append(seat)
            let somebodyIsGuilty = occupied.contains { $0.flags & AttemptSlot.guilty != 0 }
            // Which item of a batch it was, nobody knows: all of it are suspects.
            let both = AttemptSlot.guilty | AttemptSlot.batch
            let guiltyBatches = Set(
                occupied.filter { $0.flags & both == both }.map { $0.leader })
            let atWork = occupied.filter {
                $0.flags & (AttemptSlot.command | AttemptSlot.waiting) == 0
            }
            for slot in occupied {
                jobs.insert(slot.job)
                if let child = slot.child {
                    leftovers.append((child.pid, child.startTime, child.group))
                }
                let isOfBatch = slot.flags & AttemptSlot.batch != 0
                let isGuilty = slot.flags & AttemptSlot.guilty != 0 && !isOfBatch
                let isOfGuilty = isOfBatch && guiltyBatches.contains(slot.leader)
                let isCommand = slot.flags & AttemptSlot.command != 0
                guard !isCommand, isGuilty || isOfGuilty || !somebodyIsGuilty else { continue }
                cut.append(
                    CutShort(
                        job: slot.job, queue: slot.queue, isGuilty: isGuilty,
                        wasAlone: slot.flags & AttemptSlot.alone != 0
                            && atWork.map(\.job) == [slot.job],
                        isCommand: isCommand))
            }
        }
        try ChildrenOfTheDead.end(leftovers, of: jobs, store)
        return (cut, dead)
    }

    /// Takes the queues over: in the writer's transaction.
    static func apply(
        _ names: [String], _ cut: [CutShort], _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> [QueueRecord] {
        var records: [QueueRecord] = []
        for name in names {
            var record = try state.queue(named: name, &transaction)
            record.epoch += 1
            try state.put(record, named: name, &transaction)
            // Rows may be split off others by now, before where the search for jobs to drop had come.
            try transaction.delete(tables.meta, RecordKey.dropPlaces(record.id))
            records.append(record)
        }
        for attempt in cut { try blame(attempt, tables, &transaction, &state) }
        return records
    }

    private static func blame(
        _ cut: CutShort, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        let id = cut.job
        // It ended, and its slot had not been cleared yet: it was not what ran.
        guard try Lookup.outcomes(id, transaction, tables) == nil,
            let block = try Lookup.block(id, transaction, tables)
        else { return }
        var active =
            try Lookup.active(id, transaction, tables)
            ?? ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
        guard active.state == .ready else { return }
        if active.startEpoch != 0 {
            active.attempts += active.attempts < .max ? 1 : 0
            return try OutcomeRecording.record(
                id, .deadLetter, StartMarks.interrupted(hasBegun: true), active, tables,
                &transaction, &state)
        }
        if cut.isGuilty { active.guiltyCrashes += 1 }
        if cut.wasAlone { active.loneCrashes += 1 }
        active.attempts += active.attempts < .max ? 1 : 0
        let item = AttemptHistory.Item(
            attempt: Int(active.attempts), startedAt: state.now, runMicroseconds: 0,
            failure: FailureRecord(
                type: "Crash",
                message: cut.isGuilty
                    ? "the process died of a signal that this job raised"
                    : cut.wasAlone
                        ? "the process died while this job ran alone"
                        : "the process died while this job and others ran"))
        active.history = AttemptHistory.appending(item, to: active.history)
        state.note(.interrupted(JobFailure(item.failure)), id, attempts: active.attempts)
        if active.guiltyCrashes >= crashLimit || active.loneCrashes >= crashLimit {
            let failure = FailureRecord(
                type: "Crash",
                message: "this job ended its process \(crashLimit) times; it is not tried again")
            return try OutcomeRecording.record(
                id, .deadLetter, failure, active, tables, &transaction, &state)
        }
        // What cannot be read has no key; its attempt finds the damage.
        if !active.holdsKey, let entry = try? block.entry(id), let key = try? entry.limitKey() {
            // Should the key be an ordered one, the others of it wait for this job.
            active.holdsKey = true
            try OrderedKeys.hold(
                .key(key, of: entry.meta.name), id, block.queue, tables, &transaction)
        }
        // A row of its own: in the range that it was accepted in it is passed over from now on.
        if active.position != 0 {
            try transaction.delete(
                tables.lanes, RecordKey.lane(active.queue, active.priority, active.position))
        }
        active.position = try state.makeReady(
            &transaction, queue: active.queue, priority: active.priority, first: id, count: 1)
        if !active.isSuspect {
            active.isSuspect = true
            try transaction.put(tables.parked, RecordKey.suspect(active.queue, id), count: 8) {
                $0.storeLittleEndian(id, at: 0)
            }
        }
        try active.put(&transaction, tables.active, id)
        state.note(EventCode.interrupted, id)
    }

    /// The rows of jobs that are to run alone first.
    static func suspects(
        _ queues: [UInt32], _ store: OpenStore
    ) throws(StoreError) -> [LaneRow] {
        try store.read { (reader) throws(StorageError) in
            var rows: [LaneRow] = []
            for queue in queues {
                let cursor = try reader.cursor(store.tables.parked)
                var entry = try cursor.ceiling(RecordKey.suspect(queue, 0))
                while let (key, value) = entry, key.count == 13,
                    key.bigEndian(at: 0, as: UInt32.self) == queue, key[4] == UInt8(ascii: "s")
                {
                    let id: UInt64 = value.littleEndian(at: 0)
                    if let active = try Lookup.active(id, reader, store.tables),
                        active.state == .ready
                    {
                        rows.append(
                            LaneRow(
                                queue: queue, priority: active.priority, position: active.position,
                                first: id, count: 1))
                    }
                    entry = try cursor.next()
                }
            }
            return rows
        }
    }

    /// Moves back into their lanes what was parked for a reason under a name. 10,000 a transaction.
    /// - Returns: whether none is left.
    static func unpark(
        _ why: ActiveRecord.Parking, queue: UInt32, name: UInt32, _ tables: StoreTables,
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Bool {
        var found: [(position: UInt64, id: UInt64)] = []
        do {
            let cursor = try transaction.cursor(tables.parked)
            var entry = try cursor.ceiling(RecordKey.parked(why, queue, name, 0))
            while let (key, value) = entry, found.count < 10_000, key.count == 21,
                key.bigEndian(at: 0, as: UInt32.self) == queue, key[4] == why.letter,
                key.bigEndian(at: 5, as: UInt64.self) == UInt64(name)
            {
                found.append((key.bigEndian(at: 13), value.littleEndian(at: 0)))
                entry = try cursor.next()
            }
        }
        for (position, id) in found {
            try transaction.delete(tables.parked, RecordKey.parked(why, queue, name, position))
            guard var active = try Lookup.active(id, transaction, tables), active.state == .parked
            else { continue }
            if active.due != 0 {
                try transaction.delete(tables.timers, RecordKey.timer(queue, active.due, id))
            }
            active.state = .ready
            active.due = 0
            active.position = try state.makeReady(
                &transaction, queue: queue, priority: active.priority, first: id, count: 1)
            try active.put(&transaction, tables.active, id)
            state.note(.ready, id, attempts: active.attempts)
            try state.count(transaction, queue) { $0.parked &-= 1 }
            state.note(EventCode.ready, id)
        }
        return found.count < 10_000
    }
}
