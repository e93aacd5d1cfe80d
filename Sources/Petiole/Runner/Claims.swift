import PetioleDispatch
import PetioleStorage
import Synchronization

// Claims
//
// Claiming is done in memory by whichever worker finds the ring empty, and writes nothing. The state is where each lane
// has been read to, under one lock that is held for a few reads of the map.
//
// What is claimed is followed by a ``RangeProgress`` under the ticket's tag, until the writer has committed that it is
// settled. After a crash all of it is forgotten, and the rows in the lanes say what is left.
//
// A row is claimed once: its position is passed. Rows come at the end of a lane only (positions are given in the
// transaction that makes them), but for those split off a range that was claimed, which lie before it, where reading has
// passed already.

/// What a runner has claimed, and from where it goes on.
final class Claims: Sendable {
    /// What is left of the row that was read last.
    struct Current {
        let tag: UInt32
        var next: UInt64
        let end: UInt64
        /// Whether some of it is done already.
        var hasDone = false
    }

    struct Lane {
        /// The position of the row read last.
        var position: UInt64 = 0
        var current: Current?
        var hasCurrent: Bool { current.map { $0.next < $0.end } ?? false }
        /// Since when something has been ready here and nothing was taken, as far as ageing has looked.
        var waitsSince: Int64?
        /// Whether what comes next is written to the lists of its keys.
        var isListed = false
    }

    struct Queue {
        let owned: OwnedQueue
        let options: JobRunner.QueueOptions
        /// By priority.
        var lanes = [Lane](repeating: Lane(), count: Int(StoreFormat.lowestPriority) + 1)
        var isPaused = false
        /// Tickets that it may still have before it is another queue's turn.
        var credit = 0
        /// When ageing looks again.
        var agesAt: Int64 = 0
        var gates: Gates
        /// The limits that hold here, by the number of the job's name.
        var rules: [UInt32: (type: GateRules, key: GateRules)] = [:]
        /// Where the search for what waits at gates since before our time goes on; nil: it has ended.
        var search: Key?

        /// Whether what is claimed has to be asked about.
        var isGated: Bool { !rules.isEmpty || !gates.isEmpty || search != nil }
        func hasWork(_ priority: Int) -> Bool {
            lanes[priority].hasCurrent || !gates.candidates[priority].isEmpty
        }
    }

    struct State {
        var queues: [Queue] = []
        /// The queue to begin with, so that none waits for the others.
        var turn = 0
        /// Tickets that the ring did not take: at most one.
        var held: [Ticket] = []
        /// Tickets of asynchronous jobs that wait for a place.
        var deferred: [Ticket] = []
        /// Tickets that workers gave back when they met a pause.
        var returned: [Ticket] = []
        /// Where control stood when the queues' rows were looked at.
        var controlSeen: UInt32?
        /// Jobs that may have ended the process before: they run alone, before anything else.
        var suspects: [LaneRow] = []
        var suspectPositions: Set<UInt64> = []
        var loneJob: UInt64?
        /// Jobs that began alone and go on beside others, with their queues: see `LoneJobs.swift`.
        var besideOthers: [UInt64: UInt32] = [:]
        /// The next timer on each line.
        var nextTimers: [StoreTime] = []
        var isFiring = false
        /// Moves to gates that are not durable, and how often something of ours was handed to the writer.
        var movesUnderWay = 0
        var writings = 0
        /// When the timers were looked at last, nanoseconds of the steady clock.
        var timersSeen: Int64 = 0
        /// After a firing that failed: not before this.
        var firesFrom: StoreTime = 0
        /// When the first schedule is due; what holds for timers holds for these.
        var nextSchedule: StoreTime?
        var isFiringSchedules = false
        var schedulesFireFrom: StoreTime = 0
        /// Queues that had no room for the job of a schedule: until then they are left alone.
        var fullQueues: [UInt32: StoreTime] = [:]
        /// How often in succession the store had no room for the jobs that were due.
        var firingsRefused = 0
        /// What came of firings and is not in the log yet: nothing is logged by who commits.
        var firingReports: [FiringReport] = []
        var firingProblems: [String] = []
        /// The commit of the newest view that was looked at. An older one lacks what was moved since, and shows what has gone.
        var newestView = 0
        /// What this claim may still move to gates.
        var budget = MoveBudget()
        /// A claim has come to the end of its budget, and there is more to look at.
        var isUnfinished = false
    }

    let state = Mutex(State())
    let store: OpenStore
    /// 1,024 tickets of 16 bytes: so far may jobs that need no place overtake those that wait for one.
    private static let deferredLimit = 1_024

    init(_ store: OpenStore) { self.store = store }

    func begin(
        _ queues: [OwnedQueue], suspects: [LaneRow],
        options: [String: JobRunner.QueueOptions] = [:]
    ) {
        let now = store.clock.ticks
        state.withLock { state in
            state.controlSeen = nil
            state.nextSchedule = nil
            state.queues = queues.map { owned in
                Queue(
                    owned: owned, options: options[owned.name] ?? JobRunner.QueueOptions(),
                    gates: Gates(startedAt: now),
                    search: RecordKey.sublanes(owned.id))
            }
            state.suspects = suspects
            state.suspectPositions = Set(suspects.map { $0.position })
        }
    }

    func queue(_ id: UInt32) -> OwnedQueue? {
        state.withLock { state in
            for queue in state.queues where queue.owned.id == id { return queue.owned }
            return nil
        }
    }

    var ownedQueues: [OwnedQueue] { state.withLock { $0.queues.map { $0.owned } } }

    // MARK: Claiming

    /// The next ticket, and more for the ring; nil when nothing is ready.
    /// - Parameters:
    ///   - reader: the worker's own, with a view open.
    ///   - control: where control stood before the view was opened.
    func claim(
        _ reader: Reader, control: UInt32, _ core: RunnerCore, offer: (Ticket) -> Bool
    ) throws(StorageError) -> Ticket? {
        var result: Result<Ticket?, StorageError> = .success(nil)
        state.withLock { state in
            do throws(StorageError) {
                if reader.commit < state.newestView {
                    reader.end()
                    try reader.begin()
                }
                state.newestView = reader.commit
                try lookAtQueues(&state, reader, control, core)
                state.budget = MoveBudget()
                let ticket = try claim(&state, reader, core, offer)
                submitMoves(&state, core)
                result = .success(ticket)
            } catch { result = .failure(error) }
        }
        return try result.get()
    }

    /// Whether there is more to look at than the last claim did, although it found nothing.
    func isUnfinished() -> Bool {
        state.withLock { state in
            defer { state.isUnfinished = false }
            return state.isUnfinished
        }
    }

    private func claim(
        _ state: inout State, _ reader: Reader, _ core: RunnerCore, _ offer: (Ticket) -> Bool
    ) throws(StorageError) -> Ticket? {
        if let lone = state.loneJob {
            // It may wait for a place that others had when it was claimed.
            guard core.places.hasRoom,
                let index = state.deferred.firstIndex(where: { $0.first == lone })
            else { return nil }
            return state.deferred.remove(at: index)
        }
        if let index = state.suspects.lastIndex(where: { !isPaused($0.queue, state) }) {
            let suspect = state.suspects.remove(at: index)
            state.loneJob = suspect.first
            let tag = store.writer.progress.add(
                RangeProgress(suspect, after: suspect.position - 1))
            return Ticket(first: suspect.first, count: 1, tag: tag)
        }
        if let index = state.returned.firstIndex(where: { !isPaused($0, state) }) {
            return state.returned.remove(at: index)
        }
        if !state.deferred.isEmpty {
            if core.places.hasRoom,
                let index = state.deferred.firstIndex(where: { !isPaused($0, state) })
            {
                return state.deferred.remove(at: index)
            }
            // Others go on meanwhile, up to what may be kept in memory.
            if state.deferred.count >= Self.deferredLimit { return nil }
        }
        if let held = state.held.popLast() { return held }
        guard let first = try next(&state, reader, core) else { return nil }
        // Read-ahead: what the ring takes.
        while core.stepper == nil,
            core.pool.ticketsWaiting < core.pool.size * WorkerPool.ticketsAhead
        {
            guard let ticket = try next(&state, reader, core) else { break }
            if !offer(ticket) {
                state.held.append(ticket)
                break
            }
        }
        return first
    }

    /// Takes a ticket off the first lane that has one: by priority, queues in turn.
    private func next(
        _ state: inout State, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) -> Ticket? {
        let count = state.queues.count
        for step in 0..<count {
            var index = state.turn + step
            if index >= count { index -= count }
            guard let ticket = try next(&state, index, reader, core) else {
                state.queues[index].credit = 0
                continue
            }
            if state.queues[index].credit == 0 {
                state.queues[index].credit = state.queues[index].options.weight
            }
            state.queues[index].credit -= 1
            let isOver = state.queues[index].credit == 0
            state.turn = isOver ? (index + 1 == count ? 0 : index + 1) : index
            return ticket
        }
        return nil
    }

    private func next(
        _ state: inout State, _ index: Int, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) -> Ticket? {
        if state.queues[index].isPaused { return nil }
        if state.queues[index].isGated {
            return try nextThroughGates(&state, index, reader, core)
        }
        if state.queues[index].options.ageing != nil,
            let priority = try aged(&state.queues[index], &state.suspectPositions, reader)
        {
            return try cut(&state.queues[index].lanes[priority], reader, core)
        }
        guard
            let priority = try advance(&state.queues[index], &state.suspectPositions, reader)
        else { return nil }
        state.queues[index].lanes[priority].waitsSince = nil
        return try cut(&state.queues[index].lanes[priority], reader, core)
    }

    /// Sees that the first lane of a queue which has something to look at has a current range or a candidate, and returns its
    /// priority. Nil when there is none. Cost: one search where there are no rows, one more for each lane that has some.
    /// - Parameter first: the priority to begin with.
    func advance(
        _ queue: inout Queue, _ suspects: inout Set<UInt64>, _ reader: Reader, from first: Int = 0
    ) throws(StorageError) -> Int? {
        let id = queue.owned.id
        var priority = first
        var rows: Cursor?
        while priority < queue.lanes.count {
            if queue.hasWork(priority) { return priority }
            if rows == nil { rows = try reader.cursor(store.tables.lanes) }
            let position = queue.lanes[priority].position
            let found = try rows!.ceiling(RecordKey.lane(id, UInt8(priority), position + 1))
            var row: LaneRow?
            if let found {
                row = try formatted { () throws(FormatError) in try LaneRow(found) }
            }
            guard let row, row.queue == id, Int(row.priority) < queue.lanes.count else {
                // No rows from here on: what is left is what was claimed before.
                return queue.lanes.indices.first { $0 > priority && queue.hasWork($0) }
            }
            if row.priority > priority {
                // None between; that lane may have been read beyond this row.
                let next = Int(row.priority)
                priority =
                    queue.lanes.indices.first {
                        $0 > priority && $0 < next && queue.hasWork($0)
                    } ?? next
                continue
            }
            queue.lanes[priority].position = row.position
            if suspects.isEmpty || suspects.remove(row.position) == nil {
                queue.lanes[priority].current = follow(row, after: position)
                return priority
            }
        }
        return nil
    }

    /// Begins to follow a row of a lane or a sublane.
    func follow(_ row: LaneRow, after position: UInt64) -> Current {
        let progress = RangeProgress(row, after: position)
        return Current(
            tag: store.writer.progress.add(progress), next: progress.low, end: row.end,
            hasDone: !row.done.isEmpty)
    }

    /// Cuts a ticket off a lane's current range: a millisecond of work of the type that comes first, within its block.
    private func cut(
        _ lane: inout Lane, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) -> Ticket {
        var current = lane.current!
        var end = current.end
        if current.hasDone {
            // Where nothing is left behind what is done, the last one is looked at once more, and settled.
            let left = store.writer.progress[current.tag]?.undone(from: current.next)
            if let left, left.next < left.end { (current.next, end) = left }
        }
        var count: UInt64 = 1
        if current.end - current.next > 1, core.stepper == nil,
            // A hint: a block that is damaged is the attempt's matter, job by job.
            let block = try? Lookup.block(current.next, reader, store.tables)
        {
            let size =
                core.registry.entry(block.nameHint(current.next))?
                .takeUnretainedValue().ticketSize ?? 1
            count = min(UInt64(size), block.end - current.next, end - current.next)
        }
        lane.current!.next = current.next + count
        return Ticket(first: current.next, count: UInt32(count), tag: current.tag)
    }

    // MARK: Ageing

    /// The priority whose turn it is since nothing was taken of it for as long as the queue's ageing says.
    func aged(
        _ queue: inout Queue, _ suspects: inout Set<UInt64>, _ reader: Reader
    ) throws(StorageError) -> Int? {
        let now = store.clock.ticks
        guard let ageing = queue.options.ageing, now >= queue.agesAt else { return nil }
        let bound = TokenBucket.nanoseconds(ageing)
        var due: Int?
        queue.agesAt = now + bound
        var next = 0
        while next < queue.lanes.count {
            let found = try advance(&queue, &suspects, reader, from: next)
            // Nothing waits in those between.
            for priority in next..<(found ?? queue.lanes.count) {
                queue.lanes[priority].waitsSince = nil
            }
            guard let found else { break }
            let since = queue.lanes[found].waitsSince ?? now
            queue.lanes[found].waitsSince = since
            if since + bound > now {
                queue.agesAt = min(queue.agesAt, since + bound)
            } else if due == nil {
                due = found
            } else {
                // Another one: at the next claim.
                queue.agesAt = now
            }
            next = found + 1
        }
        if let due { queue.lanes[due].waitsSince = now }
        return due
    }

    // MARK: Pauses

    /// Reads the queues' rows when control has moved. A worker whose view is older than what was looked at changes nothing.
    private func lookAtQueues(
        _ state: inout State, _ reader: Reader, _ control: UInt32, _ core: RunnerCore
    ) throws(StorageError) {
        if let seen = state.controlSeen, Int32(bitPattern: control &- seen) <= 0 { return }
        state.controlSeen = control
        for index in state.queues.indices {
            state.queues[index].isPaused = try state.queues[index].owned.isPaused(
                reader, store.tables)
            try lookAtLimits(&state.queues[index], reader, core)
        }
    }

    private func isPaused(_ queue: UInt32, _ state: borrowing State) -> Bool {
        state.queues.contains { $0.owned.id == queue && $0.isPaused }
    }

    private func isPaused(_ ticket: Ticket, _ state: borrowing State) -> Bool {
        guard let progress = store.writer.progress[ticket.rangeTag] else { return false }
        return isPaused(progress.queue, state)
    }

    /// Keeps a ticket of a paused queue until it goes on. A job that was to run alone is still to do so then.
    func giveBack(_ ticket: Ticket) {
        state.withLock { state in
            guard state.loneJob == ticket.first else { return state.returned.append(ticket) }
            state.loneJob = nil
            guard let row = store.writer.progress[ticket.rangeTag] else { return }
            state.suspects.append(
                LaneRow(
                    queue: row.queue, priority: row.priority, position: row.position,
                    first: ticket.first, count: 1))
        }
    }

    // MARK: What comes back

    /// Keeps a ticket of asynchronous jobs until there is a place for them.
    func deferTicket(_ ticket: Ticket) { state.withLock { $0.deferred.append(ticket) } }

    /// Whether a job of the same range that comes before this one waits for a place: it goes first.
    func isDeferred(before id: UInt64, tag: UInt32) -> Bool {
        state.withLock { $0.deferred.contains { $0.rangeTag == tag && $0.first < id } }
    }
}
