import CPetiole
import PetioleDispatch
import PetioleStorage

/// One attempt of each job of a batch, on the thread of a worker: from the slots to the outcomes.
///
/// The handshake with a cancel is that of `AttemptLoop`: all items are published in slots, then a view is opened, and what it shows of
/// an item decides whether it begins.
struct BatchAttempt {
    let batch: HeldBatches.Batch
    let core: RunnerCore
    /// The worker's own; its other slots are lent by the places of asynchronous attempts.
    let workerSlot: AttemptSlot
    /// The worker's own, with no view open.
    let reader: Reader
    /// What the ticket of its one job holds at gates; nil: nothing.
    let hold: TicketHold?

    private var entry: BatchEntry { batch.entry }
    private var store: OpenStore { core.store }

    init(
        _ batch: HeldBatches.Batch, _ core: RunnerCore, workerSlot: AttemptSlot, _ reader: Reader,
        hold: TicketHold?
    ) {
        self.hold = hold
        self.batch = batch
        self.core = core
        self.workerSlot = workerSlot
        self.reader = reader
    }

    /// An item that begins.
    private struct Begun {
        let item: HeldBatches.Item
        let slot: AttemptSlot
        let priority: UInt8
        let context: JobContext
        let earlier: EarlierAttempts
        let acceptedAt: Int64
        let meta: JobBlock.Meta
        let unique: UniqueRelease?
        /// For how long its result is kept, in microseconds; 0: as long as the store keeps what has ended.
        let retention: Int64
        /// Bytes that its result may have.
        let resultLimit: Int
        let limit: TimeLimit?
        /// What the type made of its payload, or why it could not.
        let job: Result<any Sendable, any Error>
    }

    /// What is recorded of the batch.
    private final class Records {
        let gatherer: OutcomeGatherer
        var end = End()
        init(_ core: RunnerCore) { gatherer = OutcomeGatherer(core.store.writer) }
    }

    /// What becomes of the hold.
    struct End {
        /// Its queue is paused: nothing of it has begun, and what holds something is the caller's to give back.
        var isPaused = false
        var hold = TicketHold.End.isOver
        var isHandedOn = false
    }

    func run() throws(StorageError) -> End {
        let items = batch.items.sorted { $0.id < $1.id }
        let lent = core.places.takeSlots(upTo: items.count - 1)
        defer {
            core.places.giveSlots(lent)
            // One may have waited for a slot, or for this job to have run alone.
            core.pool.lookAgain()
        }
        let slots = [workerSlot] + lent
        let taken = items.prefix(slots.count)
        core.batches.putBack(items[taken.endIndex...], of: batch)
        let startedAt = petiole_steady_time()
        for (item, slot) in zip(taken, slots) {
            slot.prepare(
                queue: batch.queue.id, epoch: batch.queue.epoch, attempt: 1,
                flags: flags(of: taken.count))
            slot.leader = taken[0].id
            slot.publish(item.id, startedAt: startedAt / 1_000 + store.clock.shift)
        }
        defer { for slot in slots { slot.clear() } }
        // What is held when the runner stops is the next owner's.
        if core.pool.isStopping { return End() }
        let records = Records(core)
        // Handed over before the slots are cleared.
        defer { records.gatherer.flush() }
        reader.end()
        try reader.begin()
        defer { reader.end() }
        if try batch.queue.isPaused(reader, store.tables) {
            for item in taken where hold == nil {
                core.claims.giveBack(Ticket(first: item.id, count: 1, tag: item.tag))
            }
            return End(isPaused: true)
        }
        let paused = try PausedTypes.names(queue: batch.queue.id, reader, store.tables)
        var begun: [Begun] = []
        for (item, slot) in zip(taken, slots) {
            if let one = try begin(item, slot, paused, records) {
                begun.append(one)
            } else {
                slot.clear()
            }
        }
        reader.end()
        perform(begun, records)
        if batch.isAlone { _ = core.claims.ended(items[0].id) }
        return records.end
    }

    private func flags(of count: Int) -> UInt32 {
        (count > 1 ? AttemptSlot.batch : 0) | (batch.isAlone ? AttemptSlot.alone : 0)
    }

    // MARK: Beginning

    /// Looks an item up anew, behind its slot. Nil: it does not begin, and what follows is recorded.
    private func begin(
        _ item: HeldBatches.Item, _ slot: AttemptSlot, _ paused: Set<UInt32>, _ records: Records
    ) throws(StorageError) -> Begun? {
        let tables = store.tables
        let gatherer = records.gatherer
        // Without it the range is settled: it has ended.
        guard let progress = store.writer.progress[item.tag] else {
            records.end.hold = .passedOver
            return nil
        }
        gatherer.begin(queue: batch.queue, tag: item.tag, priority: progress.priority)
        var earlier = EarlierAttempts()
        if let active = try Lookup.active(item.id, reader, tables) {
            if active.state != .ready
                || (active.position != 0 && active.position != progress.position)
            {
                records.end.hold = .passedOver
                gatherer.settle(item.id)
                return nil
            }
            if let step = step(of: active, at: progress.position) {
                gatherer.transition(item.id, step)
                return nil
            }
            earlier = EarlierAttempts(active)
        } else if try Lookup.outcomes(item.id, reader, tables) != nil {
            records.end.hold = .passedOver
            gatherer.settle(item.id)
            return nil
        }
        guard let block = try Lookup.block(item.id, reader, tables) else {
            records.end.hold = .passedOver
            gatherer.settle(item.id)
            return nil
        }
        let time = store.clock.reading
        let now = time.wall
        let job: JobBlockView.Entry
        var options = JobOptions()
        do throws(FormatError) {
            job = try block.entry(item.id)
            if job.meta.flags & JobBlock.hasOptions != 0 { options = try job.options() }
        } catch {
            end(
                item, .deadLetter, attempt: 0, at: now, earlier, records, release: nil,
                member: .unknown, FailureRecord(type: "Damaged", message: error.description))
            return nil
        }
        if paused.contains(job.meta.name) {
            gatherer.transition(item.id, .pause(name: job.meta.name))
            return nil
        }
        let unique = UniqueRelease(id: item.id, name: job.meta.name, options)
        if let member = options.workflow,
            try WorkflowRows.read(member.token, node: member.node, reader, tables)?.isStopped
                == true
        {
            end(
                item, .cancelled, attempt: earlier.count, at: now, earlier, records,
                release: unique, member: member, nil)
            return nil
        }
        if !earlier.isRequeued {
            if !options.expiry.isNone, options.expiry.hasPassed(time) {
                end(
                    item, .expired, attempt: earlier.count, at: now, earlier, records,
                    release: unique, member: options.workflow, nil)
                return nil
            }
            if !options.due.hasPassed(time), !earlier.isRescheduled {
                gatherer.transition(item.id, .postpone(due: options.due))
                return nil
            }
        }
        let attempt = earlier.count + 1
        if attempt > 1 {
            slot.prepare(
                queue: batch.queue.id, epoch: batch.queue.epoch, attempt: UInt32(attempt),
                flags: slot.flags)
        }
        let place = AttemptPlace(slot, core, resourcesOf: workerSlot)
        place.effects.begin(job: item.id)
        var context = JobContext(
            id: JobID(rawValue: item.id), attempt: attempt, root: options.root,
            metadata: options.metadata, planned: options.planned, priority: progress.priority,
            place: place)
        context.member = options.workflow
        return Begun(
            item: item, slot: slot, priority: progress.priority, context: context,
            earlier: earlier, acceptedAt: earlier.isRequeued ? .max : block.acceptedSteady,
            meta: job.meta, unique: unique, retention: options.resultRetention,
            resultLimit: options.resultLimit ?? entry.resultLimit,
            limit: options.timeLimit ?? entry.timeLimit,
            job: Result { () throws -> any Sendable in try decode(job, context) })
    }

    /// What is to be done with an item instead of running it, in the order of `AttemptLoop`.
    private func step(of active: ActiveRecord, at position: UInt64) -> Transition.Step? {
        if active.isCancelRequested { return .cancel }
        if active.isDropped { return .drop }
        if active.isExpired { return .expire }
        return active.pending == nil ? nil : .change(position: position)
    }

    private func decode(
        _ job: JobBlockView.Entry, _ context: JobContext
    ) throws -> any Sendable {
        try entry.before?(entry.name, context)
        guard let hooks = core.hooks else {
            return try entry.decode(job.payload, codec: job.meta.codec, context)
        }
        return try hooks.withOpened(job.payload, codec: job.meta.codec, name: entry.name) {
            try entry.decode($0, codec: $1, context)
        }
    }

    // MARK: Running

    private func perform(_ begun: [Begun], _ records: Records) {
        if begun.isEmpty { return }
        let startedAt = petiole_steady_time()
        for one in begun {
            if let limit = one.limit {
                core.deadlines.begin(one.item.id, one.slot, limit, core.stoppables)
            }
        }
        let ends = results(of: begun)
        let now = petiole_steady_time()
        // One start for all of them, so that their outcomes lie in one block.
        let time = (
            startedAt: startedAt / 1_000 + store.clock.shift, run: (now - startedAt) / 1_000
        )
        for (one, end) in zip(begun, ends) { finish(one, end, time, records) }
    }

    /// Runs what could be decoded, within what is done around attempts.
    private func results(of begun: [Begun]) -> [Result<AsyncAttempt.Result, any Error>] {
        guard let hooks = core.hooks else { return run(begun, except: []) }
        let infos = begun.map { one in
            AttemptInfo(
                one.context, entry, batch.queue, priority: one.priority,
                acceptedAt: one.acceptedAt, store)
        }
        return hooks.perform(begun.map { $0.context }, infos) { run(begun, except: $0) }
    }

    /// - Parameter excepted: indices of items that middleware has decided about.
    private func run(
        _ begun: [Begun], except excepted: Set<Int>
    ) -> [Result<AsyncAttempt.Result, any Error>] {
        var results = begun.map { one in
            one.job.flatMap { _ -> Result<AsyncAttempt.Result, any Error> in
                .failure(CancellationError())
            }
        }
        var indices: [Int] = []
        var jobs: [any Sendable] = []
        for (index, one) in begun.enumerated() where !excepted.contains(index) {
            guard case .success(let job) = one.job else { continue }
            indices.append(index)
            jobs.append(job)
        }
        if !jobs.isEmpty {
            for (index, result) in zip(indices, entry.run(jobs)) { results[index] = result }
        }
        return results
    }

    // MARK: What it came to

    private func finish(
        _ one: Begun, _ end: Result<AsyncAttempt.Result, any Error>,
        _ time: (startedAt: Int64, run: Int64), _ records: Records
    ) {
        let id = one.item.id
        let passed = one.limit == nil ? nil : core.deadlines.end(id)
        var end = end
        if case .success(let value) = end, one.meta.flags & JobBlock.discardsResult == 0,
            value.result.count > one.resultLimit
        {
            end = .failure(
                ResultTooLarge(bytes: value.result.count, limit: one.resultLimit))
        }
        records.gatherer.begin(queue: batch.queue, tag: one.item.tag, priority: one.priority)
        var outcome = OutcomeEntry(
            state: .succeeded, codec: 0, attempt: UInt16(clamping: one.context.attempt),
            startedAt: time.startedAt, runMicroseconds: time.run)
        switch end {
        case .success(let value):
            var result = value.result
            if one.meta.flags & JobBlock.discardsResult == 0 {
                outcome.codec = value.codec
            } else {
                outcome.codec = OutcomeBlock.discardedFlag
                result = []
            }
            let effects = one.context.effects.take(job: id, attempt: one.context.attempt)
            record(one, outcome, result, effects, records)
        case .failure(let error):
            var error = error
            if error is CancellationError, one.context.isCancelled {
                guard let passed else {
                    // Nobody cancelled the job: the runner stops, and it is left for the next owner.
                    guard one.slot.stopping == id else { return }
                    outcome.state = .cancelled
                    return record(one, outcome, [], nil, records)
                }
                error = passed
            }
            let failed = AttemptFollowUp.Failed(
                error, attempt: one.context.attempt, startedAt: outcome.startedAt,
                runMicroseconds: outcome.runMicroseconds, acceptedAt: one.acceptedAt)
            let followUp = AttemptFollowUp.of(
                core.withoutSecrets(failed, of: id), policy: entry.retryPolicy,
                maxAttempts: one.meta.maxAttempts,
                now: store.clock.reading)
            switch followUp {
            case .transition(let step):
                let key = hold.flatMap {
                    core.claims.orderedKey(of: $0.first, queue: batch.queue.id)
                }
                if let hold, key != nil {
                    // Before it can become ready again: see `AttemptLoop`.
                    records.end.isHandedOn = true
                    core.end(hold, batch.queue, .waits)
                }
                records.gatherer.transition(id, step, orderedKey: key)
            case .end(let state, let failure):
                outcome.state = state
                var writer = ByteWriter(capacity: 256)
                failure.write(to: &writer)
                record(one, outcome, writer.withBytes { Array($0) }, nil, records)
            }
        }
    }

    private func record(
        _ one: Begun, _ outcome: OutcomeEntry, _ result: [UInt8], _ effects: AttemptEffects?,
        _ records: Records
    ) {
        var retention: ResultRetention?
        if one.retention > 0, outcome.state == .succeeded {
            retention = ResultRetention(
                id: one.item.id, after: one.retention, startedAt: outcome.startedAt)
        }
        guard let effects else {
            return result.withUnsafeBytes {
                records.gatherer.record(
                    one.item.id, outcome, history: one.earlier.history, result: $0,
                    release: one.unique, retention: retention, member: one.context.member,
                    contentBytes: OutcomeGatherer.unknownBytes)
            }
        }
        // By itself: when there is no room for them, that is this item's error alone.
        records.gatherer.flush()
        let submission = result.withUnsafeBytes {
            OutcomeSubmission(
                one.item.id, outcome, result: $0, history: one.earlier.history, effects,
                queue: batch.queue, tag: one.item.tag)
        }
        if let unique = one.unique { submission.releases = [unique] }
        if let member = one.context.member { submission.members.add(member, one.item.id) }
        if let retention { submission.retentions = [retention] }
        // Before what a refusal takes over of it.
        if let hold { records.end.isHandedOn = core.end(hold, batch.queue, with: submission) }
        submission.handleRefusal(
            outcome, priority: one.priority, policy: entry.retryPolicy,
            maxAttempts: one.meta.maxAttempts, acceptedAt: one.acceptedAt,
            history: one.earlier.history, store)
        store.writer.submit(submission)
    }

    /// An item that does not begin has ended.
    private func end(
        _ item: HeldBatches.Item, _ state: OutcomeBlock.State, attempt: Int, at now: Int64,
        _ earlier: EarlierAttempts, _ records: Records, release: UniqueRelease?,
        member: WorkflowMember?, _ failure: FailureRecord?
    ) {
        var writer = ByteWriter(capacity: 64)
        failure?.write(to: &writer)
        let outcome = OutcomeEntry(
            state: state, codec: 0, attempt: UInt16(clamping: attempt), startedAt: now,
            runMicroseconds: 0)
        writer.withBytes {
            records.gatherer.record(
                item.id, outcome, history: earlier.history, result: $0, release: release,
                retention: nil, member: member, contentBytes: OutcomeGatherer.unknownBytes)
        }
    }
}
