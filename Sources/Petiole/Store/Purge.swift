import PetioleStorage

// Purging
//
// A purge deletes jobs before their retention is over, and those that have not ended. What has not ended is cancelled first:
// recorded, counted, told to who awaits it, its unique key freed. So no count has to be taken back and nothing that follows
// from a cancel is left out; then it is deleted like any job that has ended. What runs is left alone.
//
// A deleted job is one that never was: ``StoreError/noSuchJob(_:)``. Its block and the block of its outcome are written anew
// without it. Rows of lanes may still name it: whoever meets an id without a block settles it. A job that was requeued
// between the look and the deletion has a row in `active`, and stays.

/// What a purge came to, or would come to.
public struct PurgeCounts: Sendable, Hashable {
    /// Deleted, all in all.
    public var deleted = 0
    /// Of these had not ended, and were cancelled before.
    public var cancelled = 0
    /// Ran, or started before they could be cancelled, or may run since who runs them did not answer, and were left alone.
    public var running = 0
}

extension JobStore {
    /// Deletes the jobs that a filter lets pass, their outcomes and what their commands wrote, in bounded transactions. Those
    /// that wait, are ready or parked are cancelled first, and never start; those that run are left alone.
    /// - Parameters:
    ///   - filter: what is to go. One without any condition is all of the store.
    ///   - dryRun: only counts. What is counted and what a purge after it finds need not be the same, if others go on.
    /// - Throws: ``StoreError``; what was deleted before stays deleted. ``StoreError/damaged(path:reason:)``, when all others
    ///   are gone, if some cannot be read or lie in a block with such: those stay.
    /// - Complexity: that of the listing; O(log *n*) a job, and a copy of those that share its block and stay.
    @discardableResult
    public func purge(
        _ filter: JobFilter, dryRun: Bool = false
    ) async throws(StoreError) -> PurgeCounts {
        var filter = filter
        var counts = PurgeCounts()
        var damage: StoreError?
        var isLast = false
        var pace = DeletionPace(self)
        while !isLast {
            var ended: [UInt64] = []
            var unfinished: [UInt64] = []
            do throws(StoreError) {
                isLast = true
                try forEachJob(filter) { summary in
                    switch summary.state {
                    case .ended: ended.append(summary.id.rawValue)
                    case .running: counts.running += 1
                    default: unfinished.append(summary.id.rawValue)
                    }
                    filter.after = summary.id
                    isLast = ended.count + unfinished.count < PendingChanges.limit
                    return isLast
                }
            } catch {
                // Those that can be read are dealt with before this is said.
                guard case .damaged = error else { throw error }
                damage = error
            }
            if dryRun {
                counts.deleted += ended.count + unfinished.count
                counts.cancelled += unfinished.count
                continue
            }
            let cancelled = try await end(unfinished, &counts)
            counts.cancelled += cancelled.count
            let (deleted, left) = try await delete((ended + cancelled).sorted())
            counts.deleted += deleted
            if let left, damage == nil {
                damage = .damaged(
                    path: path, reason: "jobs beside job \(left), which cannot be read, stay")
            }
            if !isLast { await pace.rest() }
        }
        let open = open
        // It throws nothing.
        if counts.deleted > 0, !dryRun {
            try? await onThread("petiole-sweep") { SpilledOutputs.sweep(open) }
        }
        if let damage { throw damage }
        return counts
    }

    /// Cancels jobs that have not ended, unless they run. Returns those that have ended so.
    private func end(
        _ ids: [UInt64], _ counts: inout PurgeCounts
    ) async throws(StoreError) -> [UInt64] {
        if ids.isEmpty { return [] }
        let tables = open.tables
        var (ended, marked, started) = try await open.perform {
            (transaction, state) throws(StorageError) -> ([UInt64], [MarkedJob], Int) in
            var started = 0
            var ended: [UInt64] = []
            var marked: [MarkedJob] = []
            var unclaimed = Unclaimed(state.runners)
            for id in ids {
                let found = try Lookup.active(id, transaction, tables)
                if found == nil, try Lookup.outcomes(id, transaction, tables) != nil { continue }
                guard let block = try Lookup.block(id, transaction, tables) else { continue }
                let active = try UnstartedJobs.standing(
                    found, id, block, transaction, tables)
                if active.startEpoch != 0 {
                    // One that runs at most once: its start is on the disk.
                    started += 1
                } else if unclaimed.contains(id, active) {
                    try Unclaimed.cancel(id, active, &transaction, &state)
                    // A workflow ends when nothing of it runs any more, and stays until then.
                    let hasEnded = try Lookup.outcomes(id, transaction, tables) != nil
                    if hasEnded { ended.append(id) } else { started += 1 }
                } else {
                    marked.append(
                        try PendingChanges.mark(id, .purge, active, tables, &transaction, &state))
                }
            }
            return (ended, marked, started)
        }
        for (job, result) in zip(marked, try await open.settle(marked)) {
            switch result {
            // Without a row it was ended by who met it; or it ran to its end, and stays to be looked at.
            case .done, .ended: if try isCancelledUnstarted(job) { ended.append(job.id) }
            case .started, .unanswered: started += 1
            }
        }
        counts.running += started
        return ended
    }

    private func isCancelledUnstarted(_ job: MarkedJob) throws(StoreError) -> Bool {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            guard try Lookup.active(job.id, reader, open.tables) == nil,
                let block = try Lookup.outcomes(job.id, reader, open.tables)
            else { return false }
            let outcome = try formatted { () throws(FormatError) in try block.entry(job.id) }
            return outcome.state == .cancelled && outcome.attempt <= Int(job.attempts)
        }
    }

    /// Deletes jobs that have ended.
    /// - Parameter ids: in ascending order.
    /// - Returns: how many are gone, and one that cannot be read, beside which others stay.
    private func delete(
        _ ids: [UInt64]
    ) async throws(StoreError) -> (deleted: Int, unreadable: UInt64?) {
        let tables = open.tables
        var next = 0
        var deleted = 0
        var unreadable: UInt64?
        while next < ids.count {
            let rest = Array(ids[next..<min(ids.count, next + Purging.limit)])
            let step = try await open.perform { (transaction, state) throws(StorageError) in
                try Purging.delete(rest, tables, &transaction, &state)
            }
            CrashPoint.pass(.purgePart)
            next += step.passed
            deleted += step.deleted
            unreadable = unreadable ?? step.unreadable
        }
        return (deleted, unreadable)
    }
}

/// Deleting single jobs, in the writer's transaction.
enum Purging {
    /// 10,000 jobs a transaction, less when their neighbours are large.
    static let limit = 10_000
    /// Blocks of 8 MiB, of jobs and of outcomes, are read in a transaction, and written anew without those that go.
    private static let byteLimit = 8 << 20

    struct Step: Sendable {
        /// How many of the ids were looked at.
        var passed = 0
        var deleted = 0
        /// Beside this one nothing could be deleted.
        var unreadable: UInt64?
    }

    /// - Parameter ids: in ascending order.
    static func delete(
        _ ids: [UInt64], _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Step {
        // What has ended in this very commit may be deleted below.
        try HeldJobs.follow(tables, &transaction, &state)
        var step = Step()
        var bytes = 0
        // First is found out what can go with its outcome, then both go: each block is written anew once.
        var outcomeBlocks: [UInt64] = []
        var gone: Set<UInt64> = []
        /// Of the job's block that was counted last.
        var blockEnd: UInt64 = 0
        while step.passed < ids.count, bytes < byteLimit {
            let id = ids[step.passed]
            guard try Lookup.active(id, transaction, tables) == nil,
                let outcomes = try Lookup.outcomes(id, transaction, tables)
            else {
                // Requeued since, or gone already.
                step.passed += 1
                continue
            }
            bytes += outcomes.byteCount
            let isReadable = (outcomes.first..<outcomes.end).allSatisfy {
                // What cannot be read stays, and says so.
                (try? outcomes.entry($0)) != nil
            }
            if !isReadable { step.unreadable = step.unreadable ?? id }
            if isReadable { outcomeBlocks.append(outcomes.first) }
            repeat {
                let next = ids[step.passed]
                step.passed += 1
                guard isReadable, try Lookup.active(next, transaction, tables) == nil else {
                    continue
                }
                gone.insert(next)
                if next >= blockEnd, let block = try Lookup.block(next, transaction, tables) {
                    bytes += block.byteCount
                    blockEnd = block.end
                }
            } while step.passed < ids.count && ids[step.passed] < outcomes.end && bytes < byteLimit
        }
        let rests = try blocks(of: ids[..<step.passed], &gone, &step, tables, transaction)
        for first in outcomeBlocks {
            guard let outcomes = try Lookup.outcomes(first, transaction, tables) else { continue }
            _ = try OutcomeRemoval.takeOut(of: outcomes, tables, &transaction) {
                (id, _, _) throws(StorageError) in gone.contains(id)
            }
        }
        for rest in rests { try rest.replace(&transaction, tables) }
        for id in gone.sorted() {
            try Lineage.remove(from: id, to: id + 1, &transaction, tables)
            try WorkflowRows.remove(from: id, to: id + 1, &transaction, tables)
            state.note(EventCode.deleted, id)
        }
        step.deleted = gone.count
        if !gone.isEmpty { state.hasRoom = true }
        return step
    }

    /// What stays of the blocks in which jobs lie that go. Of a block that cannot be read all stay.
    private static func blocks(
        of ids: ArraySlice<UInt64>, _ gone: inout Set<UInt64>, _ step: inout Step,
        _ tables: StoreTables, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> [Rest] {
        var rests: [Rest] = []
        var next = ids.startIndex
        while next < ids.endIndex {
            let id = ids[next]
            guard gone.contains(id) else {
                next += 1
                continue
            }
            guard let block = try Lookup.block(id, transaction, tables) else {
                throw .damaged("job \(id) has ended, but the log does not hold it")
            }
            let some = ids[next...].prefix { $0 < block.end }
            next += some.count
            if let rest = try Rest(block, without: gone, tables, transaction) {
                rests.append(rest)
            } else {
                step.unreadable = step.unreadable ?? id
                gone.subtract(some)
            }
        }
        return rests
    }

    /// What stays of a block: runs of jobs whose ids follow each other, copied.
    private struct Rest {
        private let first: UInt64
        private let isKept: Bool
        private var runs: [(first: UInt64, bytes: [UInt8])] = []

        /// Nil when one of those that stay cannot be read.
        init?(
            _ block: JobBlockView, without gone: Set<UInt64>, _ tables: StoreTables,
            _ transaction: borrowing WriteTransaction
        ) throws(StorageError) {
            first = block.first
            isKept = try transaction.value(tables.jobs, Key(block.first)) == nil
            var id = block.first
            while id < block.end {
                let start = id
                var builder = JobBlockBuilder(jobs: 16, bytes: 1_024)
                while id < block.end, !gone.contains(id) {
                    // Said by whoever wanted it deleted.
                    guard let entry = try? block.entry(id) else { return nil }
                    builder.append(entry.content, meta: entry.meta)
                    id += 1
                }
                if builder.count > 0 {
                    var bytes = [UInt8](repeating: 0, count: builder.size)
                    bytes.withUnsafeMutableBytes { target in
                        builder.write(
                            to: target.baseAddress!, first: start, queue: block.queue,
                            priority: block.priority, name: nil,
                            acceptedAt: ClockReading(
                                wall: block.acceptedAt, steady: block.acceptedSteady))
                    }
                    runs.append((start, bytes))
                }
                while id < block.end, gone.contains(id) { id += 1 }
            }
        }

        /// Puts it in the place of the block.
        func replace(
            _ transaction: inout WriteTransaction, _ tables: StoreTables
        ) throws(StorageError) {
            if isKept { return _ = try transaction.delete(tables.kept, Key(first)) }
            try transaction.delete(tables.jobs, Key(first))
            for (first, bytes) in runs {
                try withBytes(bytes) { (bytes) throws(StorageError) in
                    try transaction.put(tables.jobs, Key(first), bytes)
                }
            }
        }
    }
}
