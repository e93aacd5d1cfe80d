import PetioleDispatch
import PetioleStorage

// What an attempt came to, and what follows.
extension AttemptLoop {
    func threw(
        _ error: any Error, _ id: UInt64, _ entry: JobEntry, _ attempt: Int, _ startedAt: Int64,
        _ earlier: EarlierAttempts, _ maxAttempts: UInt8
    ) {
        if error is CancellationError, context.isCancelled {
            return stopped(id, attempt, startedAt, earlier)
        }
        ended(
            id, entry,
            AttemptFollowUp.Failed(
                error, attempt: attempt, startedAt: startedAt / 1_000 + shift,
                runMicroseconds: (now - startedAt) / 1_000, acceptedAt: acceptedAt),
            earlier, maxAttempts, resultCodec: nil)
    }

    /// An attempt failed: what follows is decided by the policy, and gathered.
    func ended(
        _ id: UInt64, _ entry: JobEntry, _ failed: AttemptFollowUp.Failed,
        _ earlier: EarlierAttempts, _ maxAttempts: UInt8, resultCodec: UInt8?
    ) {
        let failed = entry.isCommand ? failed : core.withoutSecrets(failed, of: id)
        switch AttemptFollowUp.of(
            failed, policy: entry.retryPolicy, maxAttempts: maxAttempts, now: store.clock.reading)
        {
        case .transition(let step):
            gatherer.transition(id, step, orderedKey: keepsKey(id, isAlone: earlier.isSuspect))
        case .end(let state, let failure):
            if resultCodec == nil {
                result.removeAll()
                failure.write(to: &result)
            }
            record(
                id,
                OutcomeEntry(
                    state: state, codec: resultCodec ?? 0,
                    attempt: UInt16(clamping: failed.attempt), startedAt: failed.startedAt,
                    runMicroseconds: failed.runMicroseconds),
                history: earlier.history)
        }
    }

    /// The ordered key that a job keeps while it waits for its next attempt.
    func keepsKey(_ id: UInt64, isAlone: Bool) -> GateKey? {
        guard let queue else { return nil }
        if isAlone, let ownKey {
            let key = GateKey.key(ownKey.key.utf8, of: ownKey.name)
            return core.claims.keep(key, of: ownKey.name, by: id, queue: queue.id) ? key : nil
        }
        guard let hold, let key = core.claims.orderedKey(of: id, queue: queue.id) else {
            return nil
        }
        // Before it can become ready again: it is to be met as the one that the others wait for.
        self.hold!.isHandedOn = true
        core.end(hold, queue, .waits)
        return key
    }

    /// A job whose record cannot be read: a dead letter. What it was told is not known; its workflow, if it is a part of one, is
    /// found by its id.
    func failUnreadable(_ id: UInt64, _ what: String, _ earlier: EarlierAttempts) {
        hadOptions = true
        context.member = .unknown
        fail(id, attempt: 0, FailureRecord(type: "Damaged", message: what), earlier)
    }

    /// A job that cannot be run at all: a dead letter with the evidence.
    func fail(
        _ id: UInt64, attempt: Int, _ failure: FailureRecord, _ earlier: EarlierAttempts,
        startedAt: Int64? = nil
    ) {
        result.removeAll()
        failure.write(to: &result)
        record(
            id,
            OutcomeEntry(
                state: .deadLetter, codec: 0, attempt: UInt16(clamping: attempt),
                startedAt: (startedAt ?? now) / 1_000 + shift,
                runMicroseconds: (now - (startedAt ?? now)) / 1_000),
            history: earlier.history)
    }

    /// An attempt that was asked to stop did so: cancelled if the job was, left for the next owner if the runner stops.
    func stopped(
        _ id: UInt64, _ attempt: Int, _ startedAt: Int64, _ earlier: EarlierAttempts
    ) {
        guard slot.stopping == id else { return }
        result.removeAll()
        record(
            id,
            OutcomeEntry(
                state: .cancelled, codec: 0, attempt: UInt16(clamping: attempt),
                startedAt: startedAt / 1_000 + shift, runMicroseconds: (now - startedAt) / 1_000),
            history: earlier.history)
    }

    // MARK: Asynchronous jobs

    func start(
        _ id: UInt64, _ job: JobBlockView.Entry, _ entry: JobEntry, attempt: Int,
        _ earlier: EarlierAttempts
    ) {
        guard !core.claims.isDeferred(before: id, tag: tag), let place = core.places.take() else {
            // No place: this one and what is left of the ticket wait for one, in order.
            if hold != nil {
                hold!.isHandedOn = true
                return core.claims.deferTicket(
                    Ticket(first: id, count: 1, tag: tag | Ticket.wholeBit))
            }
            core.claims.deferTicket(Ticket(first: id, count: 1, tag: tag))
            if let (first, count) = worker.rest.take(upTo: .max) {
                core.claims.deferTicket(Ticket(first: first, count: count, tag: tag))
            }
            return
        }
        hold?.isHandedOn = true
        let flags = earlier.isSuspect ? AttemptSlot.alone : 0
        place.prepare(
            queue: queue!.id, epoch: queue!.epoch, attempt: UInt32(attempt), flags: flags)
        place.publish(id, startedAt: now / 1_000 + shift)
        AsyncAttempt(
            id: id, attempt: attempt, entry: entry, queue: queue!, tag: tag, priority: priority,
            place: place, core: core, history: earlier.history,
            isSuspect: earlier.isSuspect, meta: job.meta, contentBytes: UInt64(job.content.count),
            acceptedAt: acceptedAt,
            root: context.root, told: context.told, member: context.member, unique: unique,
            retention: retention, resultLimit: ownResultLimit ?? entry.resultLimit,
            limit: ownLimit ?? entry.timeLimit, hold: hold
        ).start(job.payload)
    }

    // MARK: What an attempt came to

    func record(_ id: UInt64, _ outcome: OutcomeEntry, history: [UInt8]) {
        if !hadOptions {
            return result.withBytes {
                gatherer.record(
                    id, outcome, history: history, result: $0, contentBytes: contentBytes)
            }
        }
        result.withBytes {
            gatherer.record(
                id, outcome, history: history, result: $0, release: unique,
                retention: resultRetention(id, outcome), member: context.member,
                contentBytes: contentBytes)
        }
    }

    private func resultRetention(_ id: UInt64, _ outcome: OutcomeEntry) -> ResultRetention? {
        guard retention > 0, outcome.state == .succeeded else { return nil }
        return ResultRetention(id: id, after: retention, startedAt: outcome.startedAt)
    }

    /// The outcome of a job with effects goes by itself: when there is no room for them, that is this job's error alone.
    func record(
        _ id: UInt64, _ outcome: OutcomeEntry, _ effects: AttemptEffects, _ entry: JobEntry,
        _ maxAttempts: UInt8, history: [UInt8]
    ) {
        // In the order in which the jobs ended.
        gatherer.flush()
        let submission = result.withBytes {
            OutcomeSubmission(
                id, outcome, result: $0, history: history, effects, queue: queue!, tag: tag)
        }
        submission.contentBytes = UInt64(contentBytes)
        if let unique { submission.releases = [unique] }
        if let member = context.member { submission.members.add(member, id) }
        if let retention = resultRetention(id, outcome) {
            submission.retentions = [retention]
        }
        if let hold { self.hold!.isHandedOn = core.end(hold, queue!, with: submission) }
        submission.handleRefusal(
            outcome, priority: priority, policy: entry.retryPolicy, maxAttempts: maxAttempts,
            acceptedAt: acceptedAt, history: history, store)
        store.writer.submit(submission)
    }
}
