import CPetiole
import PetioleDispatch
import PetioleStorage

/// One attempt of an ``AsyncJob``: a task whose executor is the pool, from its start to the submission of its outcome.
struct AsyncAttempt: Sendable {
    let id: UInt64
    let attempt: Int
    let entry: JobEntry
    let queue: OwnedQueue
    let tag: UInt32
    let priority: UInt8
    let place: AttemptSlot
    let core: RunnerCore
    let history: [UInt8]
    let isSuspect: Bool
    let meta: JobBlock.Meta
    let contentBytes: UInt64
    /// On the steady line.
    let acceptedAt: Int64
    /// The job at the beginning of its lineage; 0: itself.
    let root: UInt64
    let told: ToldBox?
    /// The workflow that it is a part of.
    let member: WorkflowMember?
    /// What frees its unique key.
    let unique: UniqueRelease?
    /// For how long its result is kept, in microseconds; 0: as long as the store keeps what has ended.
    let retention: Int64
    /// Bytes that its result may have.
    let resultLimit: Int
    let limit: TimeLimit?
    /// What its ticket holds at gates.
    let hold: TicketHold?

    /// What an attempt that succeeds gives.
    typealias Result = (codec: UInt8, result: [UInt8])

    /// Decodes the payload, while its view is open, and starts the task.
    func start(_ payload: UnsafeRawBufferPointer) {
        let attemptPlace = AttemptPlace(place, core)
        attemptPlace.effects.begin(job: id)
        var made = JobContext(
            id: JobID(rawValue: id), attempt: attempt, root: root, priority: priority,
            place: attemptPlace)
        made.told = told
        made.member = member
        let context = made
        let startedAt = petiole_steady_time()
        var prepared: @Sendable () async throws -> Result
        do {
            prepared =
                try core.hooks?.withOpened(payload, codec: meta.codec, name: entry.name) {
                    try entry.prepare($0, codec: $1, context)
                } ?? entry.prepare(payload, codec: meta.codec, context)
        } catch {
            guard core.hooks != nil else {
                return finish(.failure(error), startedAt, attemptPlace, wasStopped: false)
            }
            prepared = { throw error }
        }
        if let hooks = core.hooks {
            prepared = hooks.around(
                prepared, context,
                AttemptInfo(
                    context, entry, queue, priority: priority, acceptedAt: acceptedAt, core.store))
        }
        let body = prepared
        if let limit { core.deadlines.begin(id, place, limit, core.stoppables) }
        let task = Task(executorPreference: core.pool.executor) {
            await AsyncPlace.$current.withValue(AsyncPlace(core: core, job: id, slot: place)) {
                do {
                    finish(.success(try await body()), startedAt, attemptPlace, wasStopped: false)
                } catch {
                    let wasStopped =
                        (error is CancellationError || Task.isCancelled) && context.isCancelled
                    finish(.failure(error), startedAt, attemptPlace, wasStopped: wasStopped)
                }
            }
        }
        core.stoppables.add(id, startedAt: place.startedAt) { task.cancel() }
        // Ended before it was added, or asked to stop before it could be found.
        if place.job != id {
            core.stoppables.remove(id)
        } else if context.isCancelled {
            task.cancel()
        }
    }

    private func finish(
        _ end: Swift.Result<Result, any Error>, _ startedAt: Int64,
        _ attemptPlace: AttemptPlace, wasStopped: Bool
    ) {
        core.stoppables.remove(id)
        var end = end
        var wasStopped = wasStopped
        if case .success(let value) = end, meta.flags & JobBlock.discardsResult == 0,
            value.result.count > resultLimit
        {
            end = .failure(ResultTooLarge(bytes: value.result.count, limit: resultLimit))
        }
        if limit != nil, let passed = core.deadlines.end(id), wasStopped {
            wasStopped = false
            end = .failure(passed)
        }
        let now = petiole_steady_time()
        entry.measuredTask(now - startedAt)
        var outcome = OutcomeEntry(
            state: .succeeded, codec: 0, attempt: UInt16(clamping: attempt),
            startedAt: startedAt / 1_000 + core.store.clock.shift,
            runMicroseconds: (now - startedAt) / 1_000)
        var result: [UInt8] = []
        var transition: Transition?
        var isLeft = false
        var hold = hold
        switch end {
        case .success(let value):
            if meta.flags & JobBlock.discardsResult == 0 {
                outcome.codec = value.codec
                result = value.result
            } else {
                outcome.codec = OutcomeBlock.discardedFlag
            }
        case .failure where wasStopped:
            outcome.state = .cancelled
            // Left for the next owner: the runner stops, and nobody cancelled the job.
            isLeft = place.stopping != id
        case .failure(let error):
            let failed = AttemptFollowUp.Failed(
                error, attempt: attempt, startedAt: outcome.startedAt,
                runMicroseconds: outcome.runMicroseconds, acceptedAt: acceptedAt)
            let followUp = AttemptFollowUp.of(
                core.withoutSecrets(failed, of: id),
                policy: entry.retryPolicy, maxAttempts: meta.maxAttempts,
                now: core.store.clock.reading)
            switch followUp {
            case .transition(let step):
                transition = Transition(id: id, priority: priority, step: step)
                if let held = hold, let key = core.claims.orderedKey(of: id, queue: queue.id) {
                    transition!.orderedKey = key
                    // Before it can become ready again.
                    core.end(held, queue, .waits)
                    hold = nil
                }
            case .end(let state, let failure):
                outcome.state = state
                var writer = ByteWriter(capacity: 256)
                failure.write(to: &writer)
                result = writer.withBytes { Array($0) }
            }
        }
        let effects = attemptPlace.effects.take(job: id, attempt: attempt)
        if outcome.state == .succeeded, transition == nil, let effects {
            if submit(outcome, result, effects) { hold = nil }
        } else if !isLeft {
            submit(outcome, result, transition)
        }
        place.clear()
        core.places.give(place)
        if isSuspect { _ = core.claims.ended(id) }
        if let hold { core.endWhenRecorded(hold, queue) }
        core.pool.lookAgain()
    }

    /// - Returns: whether the submission gives back what the ticket holds.
    private func submit(
        _ outcome: OutcomeEntry, _ result: [UInt8], _ effects: AttemptEffects
    ) -> Bool {
        let submission = result.withUnsafeBytes {
            OutcomeSubmission(
                id, outcome, result: $0, history: history, effects, queue: queue, tag: tag)
        }
        submission.contentBytes = contentBytes
        if let unique { submission.releases = [unique] }
        if let member { submission.members.add(member, id) }
        submission.retentions = retentions(outcome)
        let isHandedOn = hold.map { core.end($0, queue, with: submission) } ?? false
        submission.handleRefusal(
            outcome, priority: priority, policy: entry.retryPolicy, maxAttempts: meta.maxAttempts,
            acceptedAt: acceptedAt, history: history, core.store)
        core.store.writer.submit(submission)
        return isHandedOn
    }

    private func submit(_ outcome: OutcomeEntry, _ result: [UInt8], _ transition: Transition?) {
        var block = OutcomeBlockBuilder()
        if transition == nil {
            result.withUnsafeBytes { result in
                history.withUnsafeBytes { history in
                    block.append(
                        id, outcome, history: history.isEmpty ? nil : history, result: result)
                }
            }
        }
        let submission = OutcomeSubmission(queue, block)
        submission.contentBytes = contentBytes
        submission.settled = [SettledRange(tag: tag, first: id, count: 1)]
        if let transition { submission.transitions = [transition] }
        if transition == nil, let unique { submission.releases = [unique] }
        if transition == nil, let member { submission.members.add(member, id) }
        if transition == nil { submission.retentions = retentions(outcome) }
        core.store.writer.submit(submission)
    }

    private func retentions(_ outcome: OutcomeEntry) -> [ResultRetention] {
        guard retention > 0, outcome.state == .succeeded else { return [] }
        return [ResultRetention(id: id, after: retention, startedAt: outcome.startedAt)]
    }
}
