import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

// A cancel against a claim in memory
//
// Claims write nothing, so a job that somebody cancels may lie in a worker's rest already. The promise is that a cancel that
// says "will not start" is true.
//
//     worker                                    canceller (any process)
//     reads control: 7
//     opens a view
//     …                                         commits the request
//                                               makes control 8, fences
//     publishes the job in its slot, fences     reads the slots
//     reads control
//
// Both have a sequentially consistent operation between their write and their read. So either the canceller finds the job in
// the slot, and says "asked to stop"; or the worker finds control at 8, opens a new view, which shows the request, and
// records that the job was cancelled instead of starting it. If control moved before the first line, the view shows it.
//
// Who writes what: the slot, its worker; control, whoever commits a request; the request, the canceller's writer.

/// Runs a worker's tickets: finds each job in the map, performs an attempt, and gathers what they came to. Belongs to one
/// thread, but for its gatherer, which whoever is idle may flush.
final class AttemptLoop: @unchecked Sendable {
    // What guards it: everything but `gatherer` is touched on the worker's thread alone.
    let core: RunnerCore
    let reader: Reader
    let worker: Worker
    let slot: AttemptSlot
    let store: OpenStore
    private let pool: WorkerPool
    /// What the runner knows, without the job types that are paused in the queue at hand.
    @exclusivity(unchecked) private var registry: JobRegistry
    private let aside: PutAside
    /// Whether something is done around attempts.
    private let isHooked: Bool
    private let controlWord: UnsafeMutablePointer<UInt32>
    // One thread touches these, a job runs between: checking each access for another one at the same time is waste.
    @exclusivity(unchecked) private var controlSeen: UInt32 = 0
    @exclusivity(unchecked) private var block: JobBlockView?
    @exclusivity(unchecked) var result = ByteWriter(capacity: 1_024)
    /// What attempts on this thread are told of themselves, made once.
    @exclusivity(unchecked) var context: JobContext
    /// The queue of the ticket, where it lies, and below which id nothing needs to be looked up.
    @exclusivity(unchecked) private(set) var queue: OwnedQueue?
    @exclusivity(unchecked) private(set) var position: UInt64 = 0
    @exclusivity(unchecked) private(set) var priority: UInt8 = 0
    @exclusivity(unchecked) var tag: UInt32 = 0
    /// What the ticket holds at gates; nil: nothing.
    @exclusivity(unchecked) var hold: TicketHold?
    @exclusivity(unchecked) private var plainEnd: UInt64 = 0
    /// When the job that runs was accepted, on the steady line; its block may be lent no more when it ends.
    @exclusivity(unchecked) var acceptedAt: Int64 = 0
    /// Bytes of the job that runs, as a capacity counts them.
    @exclusivity(unchecked) var contentBytes = 0
    /// The time limit of the job that runs, in place of its type's.
    @exclusivity(unchecked) var ownLimit: TimeLimit?
    /// Its limit key, and the number of its name.
    @exclusivity(unchecked) var ownKey: (key: String, name: UInt32)?
    @exclusivity(unchecked) private var lastOptions = LastOptions()
    /// Whether the job that ran last had options.
    @exclusivity(unchecked) var hadOptions = false
    /// What frees the unique key of the job that runs.
    @exclusivity(unchecked) var unique: UniqueRelease?
    /// For how long its result is kept, when that is not as long as the store keeps what has ended; and how large it may be, in
    /// place of what its type says.
    @exclusivity(unchecked) var retention: Int64 = 0
    @exclusivity(unchecked) var ownResultLimit: Int?
    /// Whether the node of the workflow that a job is a part of was stopped, when that was looked at last.
    @exclusivity(unchecked) private var stopSeen: (control: UInt32, of: WorkflowMember, Bool)?
    /// Nanoseconds of the steady clock, read at the end of the last attempt.
    @exclusivity(unchecked) var now: Int64 = 0
    /// How far the system's clock was ahead of it when the ticket was begun, in microseconds.
    @exclusivity(unchecked) var shift: Int64 = 0

    let gatherer: OutcomeGatherer
    let effects: EffectsBox

    init(core: RunnerCore, worker: Worker, reader: Reader, slot: AttemptSlot) {
        self.core = core
        self.worker = worker
        self.reader = reader
        self.slot = slot
        store = core.store
        gatherer = OutcomeGatherer(core.store.writer)
        aside = PutAside(core, gatherer)
        pool = core.pool
        registry = core.registry
        isHooked = core.hooks != nil
        let place = AttemptPlace(slot, core)
        effects = place.effects
        context = JobContext(id: JobID(rawValue: 0), attempt: 0, place: place)
        controlWord = core.store.signals.controlWord
        core.add(self, index: worker.index)
    }

    func end() {
        gatherer.flush()
        reader.end()
        slot.clear()
        core.removeLoop(index: worker.index)
    }

    func clearSlot() { if slot.job != 0 { slot.clear() } }

    /// Before the thread waits inside a job. The bytes that a raw job reads in place stay lent until it ends.
    func endViewUnlessLent() { if !isLending { endView() } }

    func endView() {
        reader.end()
        block = nil
        plainEnd = 0
    }

    // MARK: A ticket

    /// Runs what is in the worker's rest.
    func runTicket() {
        let label = worker.rest.tag
        let ticketTag = label & ~Ticket.wholeBit
        guard let progress = store.writer.progress[ticketTag],
            let queue = core.claims.queue(progress.queue)
        else {
            // Thieves took all of it before this thread came to it, and what they ran may be recorded already.
            precondition(worker.rest.isEmpty, "a ticket's range is followed until it is settled")
            return
        }
        self.queue = queue
        tag = ticketTag
        position = progress.position
        priority = progress.priority
        context.lanePriority = priority
        plainEnd = 0
        block = nil
        gatherer.begin(queue: queue, tag: ticketTag, priority: progress.priority)
        slot.prepare(queue: queue.id, epoch: queue.epoch, attempt: 1, flags: 0)
        if core.marksCrashes {
            petiole_set_crash_word(slot.flagsWord.assumingMemoryBound(to: UInt32.self))
        }
        now = petiole_steady_time()
        shift = store.clock.shift
        let begun = now
        var attempts = 0
        var entry: Unmanaged<JobEntry>?
        do throws(StorageError) {
            while !pool.isStopping, let (id, _) = worker.rest.take(upTo: 1) {
                if label != ticketTag, hold == nil { hold = TicketHold(first: id) }
                try openView(at: id)
                if isPaused {
                    giveBack(id)
                    break
                }
                let ran = try runOne(id)
                attempts += 1
                if ran?.toOpaque() != entry?.toOpaque() {
                    if attempts > 1 {
                        entry?.takeUnretainedValue().measured(now - begun, count: attempts - 1)
                    }
                    entry = ran
                }
                if pool.hasExecutorJobs { runExecutorJobs() }
            }
        } catch {
            core.fail(.store(store.storeError(error)))
        }
        entry?.takeUnretainedValue().measured(now - begun, count: attempts)
        gatherer.flush()
        petiole_set_crash_word(nil)
        slot.clear()
        if let hold {
            self.hold = nil
            if !hold.isHandedOn { core.endWhenRecorded(hold, queue) }
        }
    }

    /// Runs the Swift tasks that wait. The job that ended last is not to blame for what they do.
    private func runExecutorJobs() {
        gatherer.flush()
        slot.clear()
        petiole_set_crash_word(nil)
        endView()
        core.pool.runExecutorJobs()
        if core.marksCrashes {
            petiole_set_crash_word(slot.flagsWord.assumingMemoryBound(to: UInt32.self))
        }
        now = petiole_steady_time()
    }

    /// Opens a view if none is open, and looks whether anything is known of the jobs to come beside the log.
    func openView(at id: UInt64) throws(StorageError) {
        if reader.isOpen, id < plainEnd { return }
        controlSeen = petiole_load_sequential_u32(controlWord)
        reader.end()
        try reader.begin()
        block = nil
        if pauseSeen?.control != controlSeen || pauseSeen?.queue != queue!.id {
            isPaused = try queue!.isPaused(reader, store.tables)
            registry = try aside.look(at: queue!.id, reader, store.tables) ?? registry
            pauseSeen = (controlSeen, queue!.id)
        }
        if !isPaused { try lookAhead(from: id) }
    }

    /// The queue is paused: the job, and what is left of the ticket, wait with the claims.
    func giveBack(_ id: UInt64) {
        if let hold {
            // A whole ticket stays one, with what it holds.
            let left = worker.rest.take(upTo: .max)?.count ?? 0
            core.claims.rename(hold.first, to: id, queue: queue!.id)
            core.claims.giveBack(Ticket(first: id, count: 1 + left, tag: tag | Ticket.wholeBit))
            self.hold!.isHandedOn = true
            return pool.lookAgain()
        }
        core.claims.giveBack(Ticket(first: id, count: 1, tag: tag))
        if let (first, count) = worker.rest.take(upTo: .max) {
            core.claims.giveBack(Ticket(first: first, count: count, tag: tag))
        }
        // Other queues may have waited for one that was to run alone.
        pool.lookAgain()
    }

    /// Finds out up to which id of the ticket the log alone tells everything: no row in `active`, no outcome.
    private func lookAhead(from id: UInt64) throws(StorageError) {
        let end = id + 1 + UInt64(worker.rest.count)
        plainEnd = end
        isPlain = true
        if try reader.count(store.tables.active) > 0 {
            let cursor = try reader.cursor(store.tables.active)
            if let (key, _) = try cursor.ceiling(Key(id)),
                key.bigEndian(at: 0, as: UInt64.self) < end
            {
                isPlain = false
                return
            }
        }
        // What pruning kept apart; mostly there is none.
        if try reader.count(store.tables.revised) > 0 {
            let cursor = try reader.cursor(store.tables.revised)
            if let (key, _) = try cursor.ceiling(Key(id)),
                key.bigEndian(at: 0, as: UInt64.self) < end
            {
                isPlain = false
            }
        }
        let cursor = try reader.cursor(store.tables.outcomes)
        if let (key, value) = try cursor.floor(Key(end - 1)) {
            let first: UInt64 = key.bigEndian(at: 0)
            let count = UInt64(value.littleEndian(at: 4, as: UInt32.self))
            if first + count > id { isPlain = false }
        }
    }
    @exclusivity(unchecked) private var isPlain = false
    /// Whether the ticket's queue was paused when it was looked at: at that value of control.
    @exclusivity(unchecked) private(set) var isPaused = false
    @exclusivity(unchecked) private var pauseSeen: (control: UInt32, queue: UInt32)?
    /// Whether the job that runs reads its payload in the view.
    @exclusivity(unchecked) var isLending = false

    /// What is to be done with a job of which more is known than the log tells.
    private enum Decision {
        case run(ActiveRecord?)
        /// It ended, or is elsewhere.
        case settle
        case cancel
        /// Its expiry has passed.
        case expire
        /// Somebody has asked for something else than to run it.
        case change
        /// Others have taken its room.
        case drop
    }

    private func decide(_ id: UInt64) throws(StorageError) -> Decision {
        if let active = try Lookup.active(id, reader, store.tables) {
            if active.state != .ready || (active.position != 0 && active.position != position) {
                return .settle
            }
            if active.isCancelRequested { return .cancel }
            if active.isDropped { return .drop }
            if active.isExpired { return .expire }
            return active.pending == nil ? .run(active) : .change
        }
        return try Lookup.outcomes(id, reader, store.tables) == nil ? .run(nil) : .settle
    }

    // MARK: A job

    /// Runs one job, or settles it when it is not to run. Returns its entry when an attempt was made on this thread.
    func runOne(_ id: UInt64) throws(StorageError) -> Unmanaged<JobEntry>? {
        slot.publish(id, startedAt: now / 1_000 + shift)
        if hadOptions { forgetOptions() }
        contentBytes = OutcomeGatherer.unknownBytes
        if petiole_load_sequential_u32(controlWord) != controlSeen {
            plainEnd = 0
            try openView(at: id)
            if isPaused {
                giveBack(id)
                return nil
            }
        }
        var earlier = EarlierAttempts()
        if !isPlain {
            switch try decide(id) {
            case .run(let found?): earlier = EarlierAttempts(found)
            case .run(nil): break
            case .settle:
                hold?.end = .passedOver
                gatherer.settle(id)
                passedOver(id)
                return nil
            case .cancel:
                gatherer.transition(id, .cancel)
                passedOver(id)
                return nil
            case .expire:
                gatherer.transition(id, .expire)
                passedOver(id)
                return nil
            case .change:
                gatherer.transition(id, .change(position: position))
                passedOver(id)
                return nil
            case .drop:
                gatherer.transition(id, .drop)
                passedOver(id)
                return nil
            }
        }
        if block?.contains(id) != true {
            do throws(StorageError) {
                block = try Lookup.block(id, reader, store.tables)
            } catch {
                guard case .damaged(let what) = error else { throw error }
                failUnreadable(id, what, earlier)
                passedOver(id)
                return nil
            }
        }
        guard let block else {
            // Purged: there is nothing left to run or to record.
            hold?.end = .passedOver
            gatherer.settle(id)
            passedOver(id)
            return nil
        }
        // A requeued job has its time anew.
        acceptedAt = earlier.isRequeued ? .max : block.acceptedSteady
        let job: JobBlockView.Entry
        do throws(FormatError) {
            job = try block.entry(id)
        } catch {
            // A record whose checksum fails is never handed to a job, and never dropped without a trace.
            failUnreadable(id, error.description, earlier)
            passedOver(id)
            return nil
        }
        contentBytes = job.content.count
        if job.meta.flags & JobBlock.hasOptions != 0, try isPutOff(id, job, earlier) { return nil }
        guard let entry = registry.entry(job.meta.name) else {
            let waits = aside.put(id, name: job.meta.name, in: queue!)
            passedOver(id)
            if waits {
                endView()
                aside.waitForWriter()
            }
            return nil
        }
        // The registry holds it; counting references to what all workers share would cost more than a small job does.
        if entry._withUnsafeGuaranteedRef({ $0.marksStart }) {
            return try makeMarked(entry.takeUnretainedValue(), id, job, earlier) ? entry : nil
        }
        let isOnThisThread = entry._withUnsafeGuaranteedRef { make($0, id, job, earlier) }
        return isOnThisThread ? entry : nil
    }

    /// Up to where the ticket's jobs behind one lie in its block and have its name.
    func endOfAlike(_ id: UInt64, name: UInt32) -> UInt64 {
        guard let block else { return id + 1 }
        let last = min(id + 1 + UInt64(worker.rest.count), block.end)
        var end = id + 1
        while end < last, block.nameHint(end) == name { end += 1 }
        return end
    }

    /// What the job before was told is not this one's.
    private func forgetOptions() {
        hadOptions = false
        context.root = 0
        context.told = nil
        context.member = nil
        unique = nil
        retention = 0
        ownResultLimit = nil
        ownLimit = nil
        ownKey = nil
    }

    /// Looks at a job's options. Returns whether it does not start now.
    private func isPutOff(
        _ id: UInt64, _ job: JobBlockView.Entry, _ earlier: EarlierAttempts
    ) throws(StorageError) -> Bool {
        let options: JobOptions
        do throws(FormatError) { options = try lastOptions.read(job.optionFields()) } catch {
            failUnreadable(id, error.description, earlier)
            passedOver(id)
            return true
        }
        hadOptions = true
        context.root = options.root
        context.told = ToldBox(options.metadata, options.planned)
        ownLimit = options.timeLimit
        ownKey = options.limitKey.map { ($0, job.meta.name) }
        unique = UniqueRelease(id: id, name: job.meta.name, options)
        retention = options.resultRetention
        ownResultLimit = options.resultLimit
        context.member = options.workflow
        if let member = options.workflow, try isStopped(member) {
            end(id, .cancelled, earlier)
            return true
        }
        let time = store.clock.reading
        if !options.expiry.isNone, options.expiry.hasPassed(time), !earlier.isRequeued {
            end(id, .expired, earlier)
            return true
        }
        if !options.due.hasPassed(time), !earlier.isRequeued, !earlier.isRescheduled {
            gatherer.transition(id, .postpone(due: options.due))
            passedOver(id)
            return true
        }
        return false
    }

    /// Whether the node of a job's workflow was stopped: what has not started there never will.
    private func isStopped(_ member: WorkflowMember) throws(StorageError) -> Bool {
        if let stopSeen, stopSeen.control == controlSeen, stopSeen.of == member {
            return stopSeen.2
        }
        let isStopped =
            try WorkflowRows.read(member.token, node: member.node, reader, store.tables)?.isStopped
            ?? false
        stopSeen = (controlSeen, member, isStopped)
        return isStopped
    }

    /// Records the end of a job that does not start.
    private func end(_ id: UInt64, _ state: OutcomeBlock.State, _ earlier: EarlierAttempts) {
        result.removeAll()
        record(
            id,
            OutcomeEntry(
                state: state, codec: 0, attempt: UInt16(clamping: earlier.count),
                startedAt: now / 1_000 + shift, runMicroseconds: 0),
            history: earlier.history)
        passedOver(id)
    }

    /// Makes an attempt. Returns whether it was made on this thread.
    func make(
        _ entry: JobEntry, _ id: UInt64, _ job: JobBlockView.Entry, _ earlier: EarlierAttempts
    ) -> Bool {
        let attempt = earlier.count + 1
        if earlier.hasRow || entry.runsInChild {
            let flags =
                (entry.runsInChild ? AttemptSlot.command : 0)
                | (earlier.isSuspect ? AttemptSlot.alone : 0)
            slot.prepare(
                queue: queue!.id, epoch: queue!.epoch, attempt: UInt32(attempt), flags: flags)
        }
        // What is done is recorded while this one runs, however long that takes.
        if !entry.isFast { gatherer.flush() }
        if !entry.isApart {
            perform(id, job, entry, attempt: attempt, earlier)
            if earlier.isSuspect, core.claims.ended(id) { core.pool.lookAgain() }
        } else if entry.isAsync {
            start(id, job, entry, attempt: attempt, earlier)
        } else {
            guard let entry = entry as? BatchEntry else {
                preconditionFailure("what is of the kind of batches is a batch entry")
            }
            gather(id, entry, earlier)
        }
        if earlier.hasRow || entry.runsInChild {
            slot.prepare(queue: queue!.id, epoch: queue!.epoch, attempt: 1, flags: 0)
        }
        return !entry.isApart
    }

    /// A job is not run after all: when it was to run alone, the others may go on.
    func passedOver(_ id: UInt64) {
        if core.claims.ended(id) { core.pool.lookAgain() }
    }

    private func perform(
        _ id: UInt64, _ job: JobBlockView.Entry, _ entry: JobEntry, attempt: Int,
        _ earlier: EarlierAttempts
    ) {
        context.id = JobID(rawValue: id)
        context.attempt = attempt
        effects.begin(job: id)
        let keepsResult = job.meta.flags & JobBlock.discardsResult == 0
        let maxAttempts = job.meta.maxAttempts
        context.mostAttempts = maxAttempts
        let startedAt = now
        result.removeAll()
        isLending = entry.lendsPayload
        defer { isLending = false }
        // Most are told nothing, and pay for a look at two words.
        let isBound = hadOptions || isHooked || entry.isBound
        let performance: JobEntry.Performance
        do {
            performance =
                isBound
                ? try performBound(id, job, entry)
                : try entry.perform(
                    job.payload, codec: job.meta.codec, context, into: &result,
                    endView: { endView() })
        } catch {
            now = petiole_steady_time()
            return threw(error, id, entry, attempt, startedAt, earlier, maxAttempts)
        }
        now = petiole_steady_time()
        switch performance {
        case .succeeded(let codec):
            if !keepsResult { result.removeAll() }
            if isBound, let tooLarge = resultTooLarge(entry) {
                return threw(tooLarge, id, entry, attempt, startedAt, earlier, maxAttempts)
            }
            let outcome = OutcomeEntry(
                state: .succeeded, codec: keepsResult ? codec : OutcomeBlock.discardedFlag,
                attempt: UInt16(clamping: attempt), startedAt: startedAt / 1_000 + shift,
                runMicroseconds: (now - startedAt) / 1_000)
            if !effects.isEmpty, let effects = effects.take(job: id, attempt: attempt) {
                record(id, outcome, effects, entry, maxAttempts, history: earlier.history)
            } else {
                record(id, outcome, history: earlier.history)
            }
        case .failed(let codec, let failure):
            ended(
                id, entry,
                AttemptFollowUp.Failed(
                    failure, attempt: attempt, startedAt: startedAt / 1_000 + shift,
                    runMicroseconds: (now - startedAt) / 1_000, acceptedAt: acceptedAt),
                earlier, maxAttempts, resultCodec: codec)
        case .stopped:
            stopped(id, attempt, startedAt, earlier)
        }
    }

    /// The same for a job that has a time limit, or something that is done around it.
    @inline(never) private func performBound(
        _ id: UInt64, _ job: JobBlockView.Entry, _ entry: JobEntry
    ) throws -> JobEntry.Performance {
        let limit = ownLimit ?? entry.timeLimit
        if let limit { core.deadlines.begin(id, slot, limit, core.stoppables) }
        do {
            let performance =
                isHooked
                ? try performHooked(id, job, entry)
                : try entry.perform(
                    job.payload, codec: job.meta.codec, context, into: &result,
                    endView: { endView() })
            if limit != nil { _ = core.deadlines.end(id) }
            return performance
        } catch {
            let passed = limit == nil ? nil : core.deadlines.end(id)
            let isStop = error is CancellationError && context.isCancelled
            throw isStop ? passed ?? error : error
        }
    }

    @inline(never) private func resultTooLarge(_ entry: JobEntry) -> ResultTooLarge? {
        let limit = ownResultLimit ?? entry.resultLimit
        return result.count > limit ? ResultTooLarge(bytes: result.count, limit: limit) : nil
    }
}
