import CPetiole
import PetioleStorage

/// What a wait for the end of all jobs came to.
public enum DrainResult: Sendable, Hashable {
    /// No job is left that has not ended.
    case drained
    /// So many are left that nobody will run as things are: parked, held by hand or behind such, of a paused type, or in a
    /// paused queue.
    case setAside(Int)
    /// The time was over; so many that are to run have not ended.
    case timedOut(unfinished: Int)
}

extension JobStore {
    /// Waits until all jobs of a queue, or of the store, have ended, whoever runs them: those that are delayed and those that
    /// wait for another attempt too, those that are held behind jobs of any queue, and what they enqueue. Those that nobody will
    /// run as things are (parked, held by hand, of a paused type, in a paused queue, or held behind such) are not waited for.
    /// - Parameters:
    ///   - queue: nil: all of the store.
    ///   - timeout: nil: for ever. Without a runner nothing ends.
    /// - Throws: ``StoreError``; `CancellationError` when the waiting task is cancelled.
    /// - Complexity: O(queues) whenever outcomes are recorded; when only held jobs are left, O(these) too. Costs a thread while it
    ///   waits.
    public func waitUntilDrained(
        queue: String? = nil, timeout: Duration? = nil
    ) async throws -> DrainResult {
        if let queue, !NameForm.isValid(queue) {
            throw StoreError.invalidOption(
                EnqueueError.invalidName(queue, what: "queue").description)
        }
        let store = JobStore(open)
        let isOver = SharedFlag()
        let deadline = timeout.map {
            petiole_steady_time() + min(RetryPolicy.microseconds($0), .max >> 11) * 1_000
        }
        let recorded = open.signals.recorded
        return try await withTaskCancellationHandler {
            try await onThread("petiole-drained") {
                while true {
                    // Read before looking, at the flag too: what comes in between makes the wait return at once.
                    let seen = recorded.value
                    if isOver.isSet { throw CancellationError() }
                    let (open, aside) = try store.unfinished(queue: queue)
                    if open == 0 { return aside == 0 ? .drained : .setAside(aside) }
                    let now = petiole_steady_time()
                    if let deadline, now >= deadline { return .timedOut(unfinished: open) }
                    store.open.writer.hurry()
                    // Ten seconds: a process may have died between its commit and its ring.
                    let wait = min(10_000_000_000, (deadline ?? .max) - now)
                    recorded.wait(whileAt: seen, until: petiole_real_time() + wait)
                }
            }
        } onCancel: {
            isOver.set()
            recorded.ring()
        }
    }

    /// How many jobs have not ended: those that are to run, and those that nobody will run as things are.
    private func unfinished(queue: String?) throws(StoreError) -> (open: Int, aside: Int) {
        let tables = open.tables
        // One view for queues and counts: a job may bring a queue that is new with its success.
        let (found, areLeft) = try open.read { (reader) throws(StorageError) in
            var open = 0
            var aside = 0
            let rows = try Self.queueRows(reader, tables)
            var withParked: [UInt32] = []
            for (name, record) in rows where queue == nil || name == queue {
                let counts = try Self.counts(record.id, reader, tables)
                if record.isPaused {
                    aside += counts.unfinished
                } else {
                    open += counts.ready + counts.waiting
                    aside += counts.parked
                    if counts.parked > 0 { withParked.append(record.id) }
                }
            }
            let areLeft = try HeldJobs.areLeft(reader, tables)
            if open == 0, !withParked.isEmpty {
                var outlook = HeldOutlook(rows.map { $0.record }, tables) { _ in true }
                for queue in withParked { open += try outlook.count(in: queue, reader) }
                aside -= open
            }
            return ((open: areLeft ? max(1, open) : open, aside: aside), areLeft)
        }
        // Nobody else need be there who commits.
        if areLeft { open.letLeftFollowersGo() }
        return found
    }
}
