import CPetiole
import PetioleStorage

/// What a cancel of many jobs came to.
public struct CancelCounts: Sendable, Hashable {
    /// Will not start: that is recorded.
    public var cancelled = 0
    /// Run, and were asked to stop.
    public var stopping = 0
}

extension JobStore {
    /// Asks that all jobs that a filter lets pass and that have not ended do not run, or stop. Each is cancelled as by
    /// ``cancel(_:)``, 10,000 a transaction.
    /// - Throws: ``StoreError``; what was cancelled before stays so.
    /// - Complexity: that of the listing, and O(log *n*) a job. Their ids are kept in memory.
    @discardableResult
    public func cancel(matching filter: JobFilter) async throws(StoreError) -> CancelCounts {
        let (found, damage) = try unfinishedJobs(filter)
        var counts = CancelCounts()
        for start in stride(from: 0, to: found.count, by: Self.cancelLimit) {
            let some = Array(found[start..<min(found.count, start + Self.cancelLimit)])
            try await cancel(some, &counts)
        }
        if let damage { throw damage }
        return counts
    }

    private static let cancelLimit = 10_000

    private func cancel(_ ids: [UInt64], _ counts: inout CancelCounts) async throws(StoreError) {
        let tables = open.tables
        // What nobody can have claimed is ended at once; the rest is met by the handshake: see `AttemptLoop`.
        let (ended, asked, marked) = try await open.perform {
            (transaction, state) throws(StorageError) -> (Int, Int, [MarkedJob]) in
            var ended = 0
            var stopping = 0
            var marked: [MarkedJob] = []
            var unclaimed = Unclaimed(state.runners)
            for id in ids {
                let found = try Lookup.active(id, transaction, tables)
                if found == nil, try Lookup.outcomes(id, transaction, tables) != nil { continue }
                guard let block = try Lookup.block(id, transaction, tables) else { continue }
                var active = try UnstartedJobs.standing(
                    found, id, block, transaction, tables)
                if unclaimed.contains(id, active) {
                    try Unclaimed.cancel(id, active, &transaction, &state)
                    // A workflow ends when nothing of it runs any more.
                    let hasEnded = try Lookup.outcomes(id, transaction, tables) != nil
                    if hasEnded { ended += 1 } else { stopping += 1 }
                    continue
                }
                active.isCancelRequested = true
                try active.put(&transaction, tables.active, id)
                marked.append(
                    MarkedJob(
                        id: id, queue: active.queue, attempts: active.attempts,
                        generation: active.generation))
            }
            if !marked.isEmpty { state.controlMoved = true }
            return (ended, stopping, marked)
        }
        counts.cancelled += ended
        counts.stopping += asked
        if marked.isEmpty { return }
        petiole_fence()
        let running = open.slots.jobs()
        var rest = marked.filter { !running.contains($0.id) }
        counts.stopping += marked.count - rest.count
        for queue in Set(rest.map { $0.queue }) {
            if await open.hasRecordedWhatEnded(of: queue) { continue }
            counts.stopping += rest.count { $0.queue == queue }
            rest.removeAll { $0.queue == queue }
        }
        let waiting = rest
        let (cancelled, stopping) = try await open.perform {
            (transaction, state) throws(StorageError) -> (Int, Int) in
            var cancelled = 0
            var stopping = 0
            for job in waiting {
                guard let active = try Lookup.active(job.id, transaction, tables) else {
                    // Somebody who met it was quicker, or it had ended.
                    if let block = try Lookup.outcomes(job.id, transaction, tables) {
                        let outcome = try formatted { () throws(FormatError) in
                            try block.entry(job.id)
                        }
                        guard outcome.state == .cancelled else { continue }
                        // An attempt that was under way has heeded the request already.
                        let hasRun = outcome.attempt > Int(job.attempts)
                        if hasRun { stopping += 1 } else { cancelled += 1 }
                    }
                    continue
                }
                cancelled += 1
                // Else recorded by who met it, and requeued since.
                guard active.isCancelRequested else { continue }
                if active.state == .ready, active.position != 0 {
                    try transaction.delete(
                        tables.lanes,
                        RecordKey.lane(active.queue, active.priority, active.position))
                }
                try OutcomeRecording.cancel(job.id, active, tables, &transaction, &state)
            }
            return (cancelled, stopping)
        }
        counts.cancelled += cancelled
        counts.stopping += stopping
    }
}
