import PetioleStorage

/// Deletes jobs that ended longer ago than they are kept, from the head of the log on, in bounded transactions.
enum Pruning {
    /// What one step did.
    struct Step: Sendable {
        var blocks = 0
        var jobs: UInt64 = 0
        var kept = 0
        /// Nothing more is old enough.
        var isDone = false
    }

    /// 128 blocks a transaction are 8 MiB at most, but for payloads that lie alone.
    private static let blockLimit = 128

    /// One step by the store's settings, from a thread of our own. Returns whether it deleted jobs, and
    /// whether there is more to do.
    static func step(_ store: OpenStore) -> (hasPruned: Bool, hasMore: Bool) {
        // When they cannot be read, nothing else can.
        try? store.refreshSettings()
        let settings = store.settings
        let isCrowded =
            isPast(Int(clamping: settings.byteLimit) / 1_000 * Int(settings.retentionShare), store)
        let horizon =
            isCrowded ? store.clock.now : store.clock.now - settings.retentionSeconds * 1_000_000
        do throws(StoreError) {
            // Mostly there is nothing old enough: found out without a write transaction.
            guard try hasOldBlock(store, before: horizon) else { return (false, false) }
            let step = try store.performBlocking { (transaction, state) throws(StorageError) in
                try prune(before: horizon, &transaction, &state)
            }
            return (step.jobs > 0, !step.isDone)
        } catch {
            // The store failed or is full: the writer reports that to whoever it concerns, and the next tick tries again.
            return (false, false)
        }
    }

    /// Whether the jobs take more room than so many bytes. What pruning freed in the file does not count: it never shrinks.
    private static func isPast(_ bytes: Int, _ store: OpenStore) -> Bool {
        guard store.environment.usage.usedBytes > bytes else { return false }
        // Nothing is pruned early when it cannot be told; the next tick tries again.
        guard let live = try? store.environment.liveBytes() else { return false }
        return live > bytes
    }

    private static func hasOldBlock(
        _ store: OpenStore, before horizon: Int64
    ) throws(StoreError) -> Bool {
        try store.read { (reader) throws(StorageError) in
            let cursor = try reader.cursor(store.tables.jobs)
            var head = UInt64.max
            if let (key, value) = try cursor.first() {
                let block = try formatted { () throws(FormatError) in
                    try JobBlockView(first: key.bigEndian(at: 0), value: value)
                }
                if block.acceptedAt < horizon { return true }
                head = block.first
            }
            // What ended after its block was deleted.
            guard
                let (key, value) = try reader.cursor(store.tables.outcomes).first(),
                key.bigEndian(at: 0, as: UInt64.self) < head
            else { return false }
            return try isOld(outcomes(key, value), before: horizon)
        }
    }

    /// Deletes blocks from the head as long as they are older than the horizon and what is unfinished in them is little
    /// enough to be kept apart.
    static func prune(
        before horizon: Int64, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Step {
        var step = Step()
        let tables = state.tables
        // What has ended in this very commit may be deleted below.
        try HeldJobs.follow(tables, &transaction, &state)
        while step.blocks < blockLimit {
            guard
                let plan = try plan(before: horizon, now: state.now, transaction, tables)
            else {
                step.isDone = true
                break
            }
            for (id, bytes) in plan.survivors {
                try withBytes(bytes) { (bytes) throws(StorageError) in
                    try transaction.put(tables.kept, Key(id), bytes)
                }
            }
            for (id, bytes) in plan.revised {
                try withBytes(bytes) { (bytes) throws(StorageError) in
                    try transaction.put(tables.revised, Key(id), bytes)
                }
            }
            try transaction.delete(tables.jobs, Key(plan.first))
            for first in plan.outcomes { try transaction.delete(tables.outcomes, Key(first)) }
            if let (first, bytes) = plan.rest {
                try withBytes(bytes) { (bytes) throws(StorageError) in
                    try transaction.put(tables.outcomes, Key(first), bytes)
                }
            }
            try Lineage.remove(
                from: plan.first, to: plan.end, except: Set(plan.survivors.map { $0.0 }),
                &transaction, tables)
            try WorkflowRows.remove(
                from: plan.first, to: plan.end, except: Set(plan.survivors.map { $0.0 }),
                &transaction, tables)
            try FailureTable.forget(plan.failures, &transaction, tables)
            state.sequences.logHead = plan.end
            step.blocks += 1
            step.jobs += plan.end - plan.first - UInt64(plan.survivors.count)
            step.kept += plan.survivors.count
        }
        try pruneKept(before: horizon, &transaction, &state, &step)
        if step.jobs > 0 { state.hasRoom = true }
        return step
    }

    /// Deletes jobs that were kept apart and have ended since: theirs are the outcomes before the head of the log.
    private static func pruneKept(
        before horizon: Int64, _ transaction: inout WriteTransaction, _ state: inout CommitState,
        _ step: inout Step
    ) throws(StorageError) {
        let tables = state.tables
        var old: [(first: UInt64, end: UInt64)] = []
        var failures: [UInt64: UInt64] = [:]
        var revised: [(UInt64, [UInt8])] = []
        var workflows = try WorkflowRetention(transaction, tables)
        do {
            let cursor = try transaction.cursor(tables.outcomes)
            var entry = try cursor.first()
            var looks = 0
            while let (key, value) = entry, looks < 8 * blockLimit, old.count < blockLimit {
                let block = try outcomes(key, value)
                guard block.end <= state.sequences.logHead else { break }
                looks += 1
                if try isOld(block, before: horizon),
                    try !workflows.keepsAny(of: block, before: horizon, transaction, tables)
                {
                    old.append((block.first, block.end))
                    FailureTable.add(block, to: &failures, deadLetters: false)
                    for id in block.first..<block.end {
                        let outcome = try formatted { () throws(FormatError) in try block.entry(id)
                        }
                        let job = try Lookup.block(id, transaction, tables)
                        if outcome.state == .deadLetter
                            || job.map({
                                ResultRetention.isKept(id, outcome, $0, now: state.now)
                            }) == true
                        {
                            revised.append((id, copy(outcome, of: id, queue: block.queue)))
                        }
                    }
                }
                entry = try cursor.next()
            }
        }
        for (id, bytes) in revised {
            try withBytes(bytes) { (bytes) throws(StorageError) in
                try transaction.put(tables.revised, Key(id), bytes)
            }
        }
        let stays = Set(revised.map { $0.0 })
        for block in old {
            try transaction.delete(tables.outcomes, Key(block.first))
            for id in block.first..<block.end where !stays.contains(id) {
                if try transaction.delete(tables.kept, Key(id)) { step.jobs += 1 }
                try Lineage.remove(from: id, to: id + 1, &transaction, tables)
                try WorkflowRows.remove(from: id, to: id + 1, &transaction, tables)
            }
        }
        try FailureTable.forget(failures, &transaction, tables)
        if old.count == blockLimit { step.isDone = false }
    }

    private static func outcomes(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(StorageError) -> OutcomeBlockView {
        try formatted { () throws(FormatError) in
            try OutcomeBlockView(first: key.bigEndian(at: 0), value: value)
        }
    }

    private static func isOld(
        _ block: OutcomeBlockView, before horizon: Int64
    ) throws(StorageError) -> Bool {
        for id in block.first..<block.end {
            let outcome = try formatted { () throws(FormatError) in try block.entry(id) }
            if outcome.startedAt + outcome.runMicroseconds >= horizon { return false }
        }
        return true
    }

    // MARK: Looking

    /// How many jobs a prune would delete: from `next` on, as far as a view is to be held.
    /// - Returns: nil for `next` when all were looked at.
    static func count(
        before horizon: Int64, now: Int64, from next: UInt64, _ reader: Reader,
        _ tables: StoreTables
    ) throws(StorageError) -> (jobs: Int, next: UInt64?) {
        var jobs = 0
        var next = next
        for _ in 0..<1_024 {
            guard let plan = try plan(before: horizon, now: now, from: next, reader, tables) else {
                return (jobs, nil)
            }
            jobs += Int(plan.end - plan.first) - plan.survivors.count
            next = plan.end
        }
        return (jobs, next)
    }

    /// The same of what was kept apart and has ended since.
    static func countKept(
        before horizon: Int64, now: Int64, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Int {
        var jobs = 0
        let cursor = try reader.cursor(tables.kept)
        var entry = try cursor.first()
        while let (key, value) = entry {
            let id: UInt64 = key.bigEndian(at: 0)
            let block = try formatted { () throws(FormatError) in
                try JobBlockView(first: id, value: value)
            }
            if try Lookup.active(id, reader, tables) == nil,
                let outcomes = try Lookup.outcomes(id, reader, tables),
                try isOld(outcomes, before: horizon)
            {
                let outcome = try formatted { () throws(FormatError) in try outcomes.entry(id) }
                if outcome.state != .deadLetter,
                    !ResultRetention.isKept(id, outcome, block, now: now)
                {
                    jobs += 1
                }
            }
            entry = try cursor.next()
        }
        return jobs
    }

    private struct Plan {
        var first: UInt64
        var end: UInt64
        var survivors: [(UInt64, [UInt8])] = []
        /// Outcomes of survivors that have ended: they go on in `revised`, one by one.
        var revised: [(UInt64, [UInt8])] = []
        var outcomes: [UInt64] = []
        /// What is left of the outcomes that reach over the block's end: nobody is to find there what has gone, or goes on in
        /// `revised`.
        var rest: (UInt64, [UInt8])?
        /// Of outcomes that go, by fingerprint.
        var failures: [UInt64: UInt64] = [:]
    }

    /// What is to be done with the block at the head; nil when it stays.
    private static func plan(
        before horizon: Int64, now: Int64, from id: UInt64 = 0,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Plan? {
        let jobs = try transaction.cursor(tables.jobs)
        guard let (key, value) = try jobs.ceiling(Key(id)) else { return nil }
        let block = try formatted { () throws(FormatError) in
            try JobBlockView(first: key.bigEndian(at: 0), value: value)
        }
        guard block.acceptedAt < horizon else { return nil }
        var plan = Plan(first: block.first, end: block.end)
        var workflows = try WorkflowRetention(transaction, tables)
        let cursor = try transaction.cursor(tables.outcomes)
        var next = block.first
        var unfinished: [UInt64] = []
        // Outcomes that end before the block are those of jobs that were kept apart. None reach over into it from one that was
        // pruned, but for those of a store that was written before they were cut.
        var entry = try cursor.floor(Key(block.first))
        if entry == nil { entry = try cursor.first() }
        while let (key, value) = entry {
            let outcomes = try outcomes(key, value)
            guard outcomes.first < block.end else { break }
            guard outcomes.end > block.first else {
                entry = try cursor.next()
                continue
            }
            if outcomes.first > next { unfinished += Array(next..<outcomes.first) }
            for id in max(outcomes.first, block.first)..<min(outcomes.end, block.end) {
                let outcome = try formatted { () throws(FormatError) in try outcomes.entry(id) }
                // What ended lately is kept for as long as the rest.
                if outcome.startedAt + outcome.runMicroseconds >= horizon { return nil }
                let fate = try workflows.fate(
                    of: id, block, before: horizon, transaction, tables)
                if fate == .stays { return nil }
                // For somebody to look at, or because its result is to be kept longer: kept apart, with the outcome.
                if outcome.state == .deadLetter || fate == .isKeptApart
                    || ResultRetention.isKept(id, outcome, block, now: now)
                {
                    plan.survivors.append((id, try copy(id, of: block)))
                    plan.revised.append((id, copy(outcome, of: id, queue: outcomes.queue)))
                }
            }
            next = max(next, outcomes.end)
            plan.outcomes.append(outcomes.first)
            FailureTable.add(
                outcomes, before: block.end, to: &plan.failures, deadLetters: false)
            if outcomes.end > block.end {
                plan.rest = (block.end, try copy(outcomes, from: block.end))
            }
            entry = try cursor.next()
        }
        if next < block.end { unfinished += Array(next..<block.end) }
        // Waiting in a lane as part of a range: the log is where it is read from.
        for id in unfinished {
            guard let active = try Lookup.active(id, transaction, tables),
                active.position != 0
                    || active.state == .waiting
            else { return nil }
            plan.survivors.append((id, try copy(id, of: block)))
        }
        return plan
    }

    /// The outcomes of a block from one on, as a block of their own.
    private static func copy(
        _ outcomes: OutcomeBlockView, from first: UInt64
    ) throws(StorageError) -> [UInt8] {
        var builder = OutcomeBlockBuilder(capacity: Int(outcomes.end - first))
        for id in first..<outcomes.end {
            let outcome = try formatted { () throws(FormatError) in try outcomes.entry(id) }
            builder.append(
                id, OutcomeEntry(outcome), of: outcomes, history: outcome.history,
                result: outcome.result)
        }
        var bytes = [UInt8](repeating: 0, count: builder.size)
        bytes.withUnsafeMutableBytes {
            builder.write(to: $0.baseAddress!, queue: outcomes.queue)
        }
        return bytes
    }

    private static func copy(
        _ outcome: OutcomeBlockView.Entry, of id: UInt64, queue: UInt32
    ) -> [UInt8] {
        var builder = OutcomeBlockBuilder()
        builder.append(
            id, OutcomeEntry(outcome), history: outcome.history, result: outcome.result)
        var bytes = [UInt8](repeating: 0, count: builder.size)
        bytes.withUnsafeMutableBytes { builder.write(to: $0.baseAddress!, queue: queue) }
        return bytes
    }

    private static func copy(
        _ id: UInt64, of block: JobBlockView
    ) throws(StorageError) -> [UInt8] {
        let entry = try formatted { () throws(FormatError) in try block.entry(id) }
        var builder = JobBlockBuilder(jobs: 1, bytes: entry.content.count)
        builder.append(entry.content, meta: entry.meta)
        var bytes = [UInt8](repeating: 0, count: builder.size)
        bytes.withUnsafeMutableBytes { target in
            builder.write(
                to: target.baseAddress!, first: id, queue: block.queue, priority: block.priority,
                name: nil,
                acceptedAt: ClockReading(wall: block.acceptedAt, steady: block.acceptedSteady))
        }
        return bytes
    }
}

extension JobStore {
    /// Deletes jobs that ended longer ago than a duration, in whole seconds, now, whatever the store's setting.
    ///
    /// Works from the head of the log: a job that has not ended and is still part of the range in which it was accepted
    /// ends it. Dead letters stay, kept apart, and so does what has a result that is kept longer. What is kept less long, and whose
    /// time is over, goes as well, also when nobody runs its queue.
    /// - Returns: how many jobs were deleted.
    /// - Throws: ``StoreError``; what was deleted before stays deleted.
    /// - Complexity: O(jobs deleted), in transactions of at most 128 blocks. While others write it takes two fifths of the time at most.
    @discardableResult
    public func prune(olderThan age: Duration) async throws(StoreError) -> Int {
        let open = open
        let horizon =
            open.clock.now - min(max(0, age.components.seconds), StoreOptions.longest) * 1_000_000
        try await endResults()
        var jobs = 0
        var pace = DeletionPace(self)
        while true {
            let step = try await open.perform { (transaction, state) throws(StorageError) in
                try Pruning.prune(before: horizon, &transaction, &state)
            }
            jobs += Int(step.jobs)
            guard step.isDone else {
                await pace.rest()
                continue
            }
            // It throws nothing.
            if jobs > 0 { try? await onThread("petiole-sweep") { SpilledOutputs.sweep(open) } }
            return jobs
        }
    }

    /// How many jobs ``prune(olderThan:)`` would delete now.
    /// - Complexity: O(jobs deleted by it); reads them, 1,024 blocks a view.
    public func prunable(olderThan age: Duration) throws(StoreError) -> Int {
        let open = open
        let now = open.clock.now
        let horizon = now - min(max(0, age.components.seconds), StoreOptions.longest) * 1_000_000
        var jobs = 0
        var next: UInt64? = 0
        while let from = next {
            let step = try open.read { (reader) throws(StorageError) in
                try Pruning.count(before: horizon, now: now, from: from, reader, open.tables)
            }
            jobs += step.jobs
            next = step.next
        }
        return jobs
            + (try open.read { (reader) throws(StorageError) in
                try Pruning.countKept(before: horizon, now: now, reader, open.tables)
            })
    }

    /// Lets go of results whose time is over, of all queues: 10,000 rows a transaction.
    private func endResults() async throws(StoreError) {
        for (_, record) in try queueRows() {
            let queue = record.id
            var next: Key?
            repeat {
                let from = next
                next = try await open.perform { (transaction, state) throws(StorageError) in
                    try ResultRetention.endDue(queue, from: from, &transaction, &state)
                }
            } while next != nil
        }
    }
}
