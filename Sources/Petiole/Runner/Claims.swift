import CPetiole
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
    private struct Lane {
        /// The position of the row read last.
        var position: UInt64 = 0
        var current: Current?
        var hasCurrent: Bool { current.map { $0.next < $0.end } ?? false }

        struct Current {
            let tag: UInt32
            var next: UInt64
            let end: UInt64
        }
    }

    private struct Queue {
        let owned: OwnedQueue
        /// By priority.
        var lanes = [Lane](repeating: Lane(), count: Int(StoreFormat.lowestPriority) + 1)
        var isPaused = false
    }

    private struct State {
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
        var nextDue: Int64?
        var isFiring = false
        /// When the timers were looked at last, nanoseconds of the steady clock.
        var timersSeen: Int64 = 0
        /// After a firing that failed: not before this, microseconds since 1970.
        var firesFrom: Int64 = 0
    }

    private let state = Mutex(State())
    private let store: OpenStore
    /// 1,024 tickets of 16 bytes: so far may jobs that need no place overtake those that wait for one.
    private static let deferredLimit = 1_024

    init(_ store: OpenStore) { self.store = store }

    func begin(_ queues: [OwnedQueue], suspects: [LaneRow]) {
        state.withLock { state in
            state.queues = queues.map { Queue(owned: $0) }
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
                try lookAtPauses(&state, reader, control)
                result = .success(try claim(&state, reader, core, offer))
            } catch { result = .failure(error) }
        }
        return try result.get()
    }

    private func claim(
        _ state: inout State, _ reader: Reader, _ core: RunnerCore, _ offer: (Ticket) -> Bool
    ) throws(StorageError) -> Ticket? {
        if state.loneJob != nil { return nil }
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
        while core.pool.ticketsWaiting < core.pool.size * WorkerPool.ticketsAhead {
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
            guard !state.queues[index].isPaused,
                let priority = try advance(
                    &state.queues[index], &state.suspectPositions, reader)
            else { continue }
            state.turn = index + 1 == count ? 0 : index + 1
            return try cut(&state.queues[index].lanes[priority], reader, core)
        }
        return nil
    }

    /// Sees that the first lane of a queue which has something ready has a current range, and returns its priority. Nil when
    /// nothing is ready. Cost: one search where there are no rows, one more for each lane that has some.
    private func advance(
        _ queue: inout Queue, _ suspects: inout Set<UInt64>, _ reader: Reader
    ) throws(StorageError) -> Int? {
        let id = queue.owned.id
        var priority = 0
        var rows: Cursor?
        while true {
            if queue.lanes[priority].hasCurrent { return priority }
            if rows == nil { rows = try reader.cursor(store.tables.lanes) }
            let position = queue.lanes[priority].position
            let found = try rows!.ceiling(RecordKey.lane(id, UInt8(priority), position + 1))
            var row: LaneRow?
            if let found {
                row = try formatted { () throws(FormatError) in try LaneRow(found) }
            }
            guard let row, row.queue == id, Int(row.priority) < queue.lanes.count else {
                // No rows from here on: what is left is what was claimed before.
                return queue.lanes.indices.first { $0 > priority && queue.lanes[$0].hasCurrent }
            }
            if row.priority > priority {
                // None between; that lane may have been read beyond this row.
                let next = Int(row.priority)
                priority =
                    queue.lanes.indices.first {
                        $0 > priority && $0 < next && queue.lanes[$0].hasCurrent
                    } ?? next
                continue
            }
            queue.lanes[priority].position = row.position
            if suspects.isEmpty || suspects.remove(row.position) == nil {
                let tag = store.writer.progress.add(RangeProgress(row, after: position))
                queue.lanes[priority].current = Lane.Current(
                    tag: tag, next: row.first, end: row.end)
                return priority
            }
        }
    }

    /// Cuts a ticket off a lane's current range: a millisecond of work of the type that comes first, within its block.
    private func cut(
        _ lane: inout Lane, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) -> Ticket {
        let current = lane.current!
        var count: UInt64 = 1
        if current.end - current.next > 1,
            // A hint: a block that is damaged is the attempt's matter, job by job.
            let block = try? Lookup.block(current.next, reader, store.tables)
        {
            let size =
                core.registry.entry(block.nameHint(current.next))?
                .takeUnretainedValue().ticketSize ?? 1
            count = min(UInt64(size), block.end - current.next, current.end - current.next)
        }
        lane.current!.next += count
        return Ticket(first: current.next, count: UInt32(count), tag: current.tag)
    }

    // MARK: Pauses

    /// Reads the queues' rows when control has moved. A worker whose view is older than what was looked at changes nothing.
    private func lookAtPauses(
        _ state: inout State, _ reader: Reader, _ control: UInt32
    ) throws(StorageError) {
        if let seen = state.controlSeen, Int32(bitPattern: control &- seen) <= 0 { return }
        state.controlSeen = control
        for index in state.queues.indices {
            state.queues[index].isPaused = try state.queues[index].owned.isPaused(
                reader, store.tables)
        }
    }

    private func isPaused(_ queue: UInt32, _ state: borrowing State) -> Bool {
        state.queues.contains { $0.owned.id == queue && $0.isPaused }
    }

    private func isPaused(_ ticket: Ticket, _ state: borrowing State) -> Bool {
        guard let progress = store.writer.progress[ticket.tag] else { return false }
        return isPaused(progress.queue, state)
    }

    /// Keeps a ticket of a paused queue until it goes on. A job that was to run alone is still to do so then.
    func giveBack(_ ticket: Ticket) {
        state.withLock { state in
            guard state.loneJob == ticket.first else { return state.returned.append(ticket) }
            state.loneJob = nil
            guard let row = store.writer.progress[ticket.tag] else { return }
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
        state.withLock { $0.deferred.contains { $0.tag == tag && $0.first < id } }
    }

    /// Whether a job runs alone now, because it may have ended the process before.
    func isAlone(_ id: UInt64) -> Bool { state.withLock { $0.loneJob == id } }

    /// A job that ran alone has ended its attempt. Returns whether it was one.
    func ended(_ id: UInt64) -> Bool {
        state.withLock { state in
            guard state.loneJob == id else { return false }
            state.loneJob = nil
            return true
        }
    }

    // MARK: Timers

    /// When the next timer of our queues is due, microseconds since 1970.
    var nextDue: Int64? { state.withLock { $0.nextDue } }

    /// A tenth of a second: so much later than it is due a job may become ready while there is always something to run.
    private static let timerInterval: Int64 = 100_000_000

    /// Whether it is time to look at the timers although there is work: else what becomes due would wait until there is none.
    func isTimeForTimers() -> Bool {
        let now = petiole_steady_time()
        return state.withLock { state in
            guard now - state.timersSeen >= Self.timerInterval else { return false }
            state.timersSeen = now
            return true
        }
    }

    /// Looks for timers; fires those that are due. Called by a worker that found nothing ready, and by others now and then.
    func lookAtTimers(
        _ reader: Reader, now: Int64, _ core: RunnerCore
    ) throws(StorageError) {
        let queues = ownedQueues
        var earliest: Int64?
        for queue in queues {
            let cursor = try reader.cursor(store.tables.timers)
            guard let (key, _) = try cursor.ceiling(RecordKey.timer(queue.id, 0, 0)),
                key.count == 20, key.bigEndian(at: 0, as: UInt32.self) == queue.id
            else { continue }
            let due = Int64(clamping: key.bigEndian(at: 4, as: UInt64.self))
            earliest = min(earliest ?? due, due)
        }
        let fires = state.withLock { state -> Bool in
            guard let earliest else {
                state.nextDue = nil
                return false
            }
            if earliest > now || state.firesFrom > now {
                state.nextDue = max(earliest, state.firesFrom)
                return false
            }
            // While the firing is under way, its end makes somebody look again.
            state.nextDue = nil
            if state.isFiring { return false }
            state.isFiring = true
            return true
        }
        guard fires else { return }
        let tables = store.tables
        let marked = Expiry.Marked()
        store.writer.submit(
            OperationSubmission { (transaction, state) throws(StorageError) in
                var expired: [UInt64] = []
                for queue in queues {
                    expired += try Timers.fire(queue.id, tables, &transaction, &state)
                }
                marked.jobs.withLock { $0 = expired }
            } completion: { [self] error in
                if error == nil { Expiry.settle(marked, core) }
                state.withLock { state in
                    state.isFiring = false
                    // A second: a full disk is not asked again and again.
                    state.firesFrom = error == nil ? 0 : now + 1_000_000
                }
                switch error {
                case nil:
                    // Others may have become due; while this one was under way, nobody set a deadline for them.
                    core.pool.lookAgain()
                case .diskFull, .mapFull:
                    // The bell wakes the sentinel, who alone waits until a deadline; another one's look would set it and
                    // nobody keep it.
                    core.store.signals.work.ring()
                case let error?:
                    // What waits for its time would wait for ever.
                    core.fail(.store(core.store.storeError(error)))
                }
            })
    }
}
