import PetioleDispatch
import PetioleStorage

/// What a ticket that some limit bound holds until it has ended: places at gates, which the claims know under its first id.
struct TicketHold: Sendable {
    let first: UInt64
    /// How the attempt of an ordered key's job came out, whose ticket has no other.
    enum End: Sendable {
        /// The job has ended, or was put off before it began.
        case isOver
        /// It waits for its next attempt, and those behind it at its key wait for it.
        case waits
        /// It was not run: what it was claimed from is no longer where it lies. Who holds its key holds it.
        case passedOver
    }
    var end = End.isOver
    /// Somebody else gives it back: an asynchronous attempt, the claims, or the writer.
    var isHandedOn = false
}

extension RunnerCore {
    /// Gives back what a ticket held.
    func end(_ hold: TicketHold, _ queue: OwnedQueue, _ end: TicketHold.End? = nil) {
        if claims.end(hold.first, queue: queue.id, end ?? hold.end) { pool.lookAgain() }
    }

    /// Gives back what a ticket held, whose outcomes were handed over. At an ordered key nobody follows before they are on the
    /// disk: else a crash would let who followed run again before the one that has to run again as well.
    func endWhenRecorded(_ hold: TicketHold, _ queue: OwnedQueue) {
        guard claims.orderedKey(of: hold.first, queue: queue.id) != nil else {
            return end(hold, queue)
        }
        store.writer.submit(
            OperationSubmission { (_, _) throws(StorageError) in
            } completion: { [self] error in
                if error == nil { end(hold, queue) }
            })
    }

    /// The same for an outcome with effects, which may be refused: whether the job has ended is known when it is durable.
    /// - Returns: whether the submission gives the hold back.
    func end(
        _ hold: TicketHold, _ queue: OwnedQueue, with submission: OutcomeSubmission
    ) -> Bool {
        guard let key = claims.orderedKey(of: hold.first, queue: queue.id) else { return false }
        submission.orderedKey = key
        submission.whenDurable = { [self] isPostponed in
            end(hold, queue, isPostponed ? .waits : .isOver)
        }
        return true
    }
}
