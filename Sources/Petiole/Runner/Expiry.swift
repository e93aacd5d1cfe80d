import CPetiole
import PetioleStorage
import Synchronization

// An expiry against a start
//
// The expiry of a job that is ready may pass while the job lies claimed in a worker's rest, or runs. It is to end as expired
// when it has not started, and only then. It is the handshake of a cancel (see `AttemptLoop`), with the owner on both sides:
//
//     worker                                    writer, on behalf of the timer
//     reads control: 7
//     opens a view
//     …                                         commits the mark
//                                               makes control 8, fences
//     publishes the job in its slot, fences     reads the slots
//     reads control
//
// Either the job is found in a slot: it has started, and goes on. Or the worker finds control at 8, opens a new view, which
// shows the mark, and records the expiry. A job that is in no slot may also have ended a moment ago: its outcome lies
// gathered in its worker, or has been handed over. So what is gathered is handed over first, and the expiry is recorded by
// an operation behind it, which does nothing for a job that has an outcome: the first that is recorded stays.
//
// A job that is marked and fails has no other attempt: see `LogCommit`.

/// Ends jobs whose expiry has passed while they were ready.
enum Expiry {
    /// The jobs that a firing has marked.
    final class Marked: Sendable {
        let jobs = Mutex<[UInt64]>([])
    }

    /// Called on the writer's thread when the marks are durable.
    static func settle(_ marked: Marked, _ core: RunnerCore) {
        let marked = marked.jobs.withLock { $0 }
        guard !marked.isEmpty else { return }
        petiole_fence()
        let running = core.store.slots.jobs()
        let expired = marked.filter { !running.contains($0) }
        guard !expired.isEmpty else { return }
        core.flushAll()
        let tables = core.store.tables
        core.store.writer.submit(
            OperationSubmission { (transaction, state) throws(StorageError) in
                for id in expired {
                    // Without its row it has ended meanwhile.
                    guard let active = try Lookup.active(id, transaction, tables),
                        active.isExpired, active.state == .ready
                    else { continue }
                    if active.position != 0 {
                        try transaction.delete(
                            tables.lanes,
                            RecordKey.lane(active.queue, active.priority, active.position))
                    }
                    try OutcomeRecording.record(
                        id, active.isCancelRequested ? .cancelled : .expired, nil, active, tables,
                        &transaction, &state)
                }
            } completion: { error in
                // A full disk: whoever meets the job records it.
                if let error, error != .diskFull, error != .mapFull {
                    core.fail(.store(core.store.storeError(error)))
                }
            })
    }
}
