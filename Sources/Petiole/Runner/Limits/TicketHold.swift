import PetioleDispatch

/// What a ticket that some limit bound holds until it has ended: places at gates, which the claims know under its first id.
struct TicketHold: Sendable {
    let first: UInt64
    /// Its job waits for the next attempt, and those behind it at its ordered key wait for it.
    var isWaiting = false
    /// Somebody else gives it back: an asynchronous attempt, the claims, or the writer.
    var isHandedOn = false
}

extension RunnerCore {
    /// Gives back what a ticket held.
    func end(_ hold: TicketHold, _ queue: OwnedQueue?) {
        guard let queue else { return }
        if claims.end(hold.first, queue: queue.id, waiting: hold.isWaiting) { pool.lookAgain() }
    }

    /// Whether the job of an ordered key has ended is known when its effects are durable: until then nobody follows it.
    /// - Returns: whether the submission gives the hold back.
    func end(
        _ hold: TicketHold, _ queue: OwnedQueue, with submission: OutcomeSubmission
    ) -> Bool {
        guard let key = claims.orderedKey(of: hold.first, queue: queue.id) else { return false }
        submission.orderedKey = key
        submission.whenDurable = { [self] isPostponed in
            var hold = hold
            hold.isWaiting = isPostponed
            end(hold, queue)
        }
        return true
    }
}
