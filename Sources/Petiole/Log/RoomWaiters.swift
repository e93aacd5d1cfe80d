import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

// Waiting for room
//
// An enqueue that finds no room and is to wait takes a ticket and lies here, until there is room for it by the counters; then
// it is submitted again, and its transaction decides as the first one did. Who comes second to another process comes back
// with the same ticket, before all that came later. Room is made by commits that record outcomes, prune, or change a
// capacity: all of them ring `recorded`.
//
//     who enqueues                              the thread that watches
//     is refused by its transaction
//                                               reads the word: 7, looks: no room for those that wait
//     adds itself                               a commit makes room, and 8 of the word
//     looks itself: finds it                    waits while it is 7: returns at once, looks
//
// Either its own look comes behind the commit and finds the room, or the commit comes behind it, and the word has moved.
//
// Turns. Those of one queue are let go in the order of their tickets, as many as there is room for, what was let go and has
// not come back yet taken off; one that does not fit holds up all behind it, so that a large one is not starved by small ones.
// An enqueue that would wait, and comes when others do, goes behind them. Between processes no order is kept.
//
// The thread is there as long as somebody waits.

/// Enqueues of this process that wait for room.
final class RoomWaiters: Sendable {
    enum Wake: Sendable { case room, tooLate, cancelled }

    /// One that waits.
    struct Waiter: Sendable {
        let ticket: UInt64
        let target: JobTarget
        let load: JobLoad
        let whenFull: CapacityRecord.WhenFull?
        /// How long it waits in all, in microseconds; 0: as long as it takes.
        let limit: UInt64
        /// Nanoseconds of the steady clock; nil: none.
        let deadline: Int64?
        /// What it needs room for in the file, when it waits for that and not for a capacity.
        let fileBytes: Int?
        let resume: @Sendable (Wake) -> Void
    }

    private struct State {
        /// By ticket.
        var waiting: [Waiter] = []
        /// Let go, and not settled yet.
        var inFlight: [Waiter] = []
        /// Tickets that were cancelled while nobody waited with them.
        var cancelled: Set<UInt64> = []
        var nextTicket: UInt64 = 1
        var isWatching = false
        /// Until when the thread sleeps, nanoseconds of the steady clock.
        var sleepsUntil: Int64 = .max
    }

    private let state = Mutex(State())
    private let count = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let endedWord = SharedWord(1)
    private let signals: StoreSignals
    /// Ten seconds: a process may have died between its commit and its ring.
    private static let tick: Int64 = 10_000_000_000

    init(_ signals: StoreSignals) { self.signals = signals }

    func takeTicket() -> UInt64 {
        state.withLock { state in
            defer { state.nextTicket += 1 }
            return state.nextTicket
        }
    }

    /// How long an enqueue that comes now is to wait behind others before it is submitted at all; nil: it need not.
    func limitBehindOthers(
        _ target: JobTarget, _ whenFull: CapacityRecord.WhenFull?
    ) -> UInt64? {
        // Relaxed: who comes at the same time as another came first or second.
        guard count.load(ordering: .relaxed) > 0 else { return nil }
        return state.withLock { state in
            let others = (state.waiting + state.inFlight).filter {
                $0.target.queueName == target.queueName && $0.fileBytes == nil
            }
            if others.isEmpty { return nil }
            switch whenFull {
            case .wait(let limit): return limit
            case .refuse, .dropOldest: return nil
            // What the capacity says is known from those who wait because it says so.
            case nil: return others.first { $0.whenFull == nil }?.limit
            }
        }
    }

    /// Lets an enqueue wait, with its ticket. It must look, or let somebody look, behind this.
    func add(_ waiter: Waiter, _ store: OpenStore) {
        let (wake, begins) = state.withLock { state -> (Wake?, Bool) in
            if state.cancelled.remove(waiter.ticket) != nil { return (.cancelled, false) }
            // Sequentially consistent: pairs with `stop`, which wakes whom it finds.
            if isStopping.load(ordering: .sequentiallyConsistent) { return (.room, false) }
            state.inFlight.removeAll { $0.ticket == waiter.ticket }
            let place = state.waiting.firstIndex { $0.ticket > waiter.ticket }
            state.waiting.insert(waiter, at: place ?? state.waiting.count)
            updateCount(state)
            let begins = !state.isWatching
            state.isWatching = true
            if begins { endedWord.store(0) }
            return (nil, begins)
        }
        if let wake { return waiter.resume(wake) }
        if begins { OSThread.start(named: "petiole-room") { [self] in watch(store) } }
        look(store)
        // It sleeps until later than this one waits.
        let isLate = state.withLock { state in
            waiter.deadline.map { $0 < state.sleepsUntil } ?? false
        }
        if isLate { signals.recorded.ring() }
    }

    /// The enqueue with a ticket was accepted or refused for good.
    func settle(_ ticket: UInt64, _ store: OpenStore) {
        let hasOthers = state.withLock { state in
            state.inFlight.removeAll { $0.ticket == ticket }
            state.cancelled.remove(ticket)
            updateCount(state)
            return !state.waiting.isEmpty
        }
        // What was set aside for it may be another's.
        if hasOthers { look(store) }
    }

    /// Ends a wait that goes on, or that is about to begin.
    func cancel(_ ticket: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiting.firstIndex(where: { $0.ticket == ticket }) else {
                state.cancelled.insert(ticket)
                return nil
            }
            defer { updateCount(state) }
            return state.waiting.remove(at: index)
        }
        waiter?.resume(.cancelled)
    }

    /// How many wait, for tests.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    private func updateCount(_ state: borrowing State) {
        // Relaxed: see `limitBehindOthers`.
        count.store(state.waiting.count + state.inFlight.count, ordering: .relaxed)
    }

    // MARK: Looking

    /// Lets go whom there is room for, and those whose time is over.
    private func look(_ store: OpenStore) {
        let now = petiole_steady_time()
        var woken: [(Waiter, Wake)] = []
        state.withLock { state in
            for waiter in state.waiting where waiter.deadline.map({ $0 <= now }) ?? false {
                woken.append((waiter, .tooLate))
            }
            state.waiting.removeAll { waiter in
                woken.contains { $0.0.ticket == waiter.ticket }
            }
            let admitted: [Waiter]
            do throws(StoreError) {
                admitted = try Self.admitted(state.waiting, behind: state.inFlight, store)
            } catch {
                // Each is told by its own transaction.
                admitted = state.waiting
            }
            let tickets = Set(admitted.map { $0.ticket })
            state.waiting.removeAll { tickets.contains($0.ticket) }
            state.inFlight += admitted
            woken += admitted.map { ($0, .room) }
            updateCount(state)
        }
        for (waiter, wake) in woken { waiter.resume(wake) }
    }

    private static func admitted(
        _ waiting: [Waiter], behind inFlight: [Waiter], _ store: OpenStore
    ) throws(StoreError) -> [Waiter] {
        if waiting.isEmpty { return [] }
        return try store.read { (reader) throws(StorageError) in
            let total = try QueueCounters.read(0, reader, store.tables)
            var ofStore = total?.held ?? JobLoad()
            for other in inFlight { ofStore += other.load }
            var held: [String: JobLoad] = [:]
            var blocked: Set<String> = []
            var admitted: [Waiter] = []
            for waiter in waiting {
                let queue = waiter.target.queueName
                if let bytes = waiter.fileBytes {
                    if store.writer.hasFileRoom(bytes) { admitted.append(waiter) }
                    continue
                }
                if blocked.contains(queue) { continue }
                let counters = try counters(queue, reader, store.tables)
                let before =
                    held[queue]
                    ?? inFlight.filter { $0.target.queueName == queue }
                    .reduce(counters.held) { $0 + $1.load }
                let admission = Admission.of(
                    waiter.load, held: before, capacity: counters.capacity, whenFull: .refuse
                ).and(
                    Admission.of(
                        waiter.load, held: ofStore,
                        capacity: total?.capacity ?? CapacityRecord(), whenFull: .refuse))
                if case .refuse(let reached) = admission, reached.added <= reached.limit {
                    blocked.insert(queue)
                    held[queue] = before
                    continue
                }
                // What does not fit at all any more is told so by its transaction.
                admitted.append(waiter)
                held[queue] = before + waiter.load
                ofStore += waiter.load
            }
            return admitted
        }
    }

    /// A queue's counters by its name.
    static func counters(
        _ queue: String, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> QueueCounters {
        let row = try withBytes(RecordKey.bytes(queue)) { (key) throws(StorageError) in
            try reader.value(tables.queues, key)
        }
        guard let row else { return QueueCounters() }
        let id = try formatted { () throws(FormatError) in try QueueRecord(row) }.id
        return try QueueCounters.read(id, reader, tables) ?? QueueCounters()
    }

    // MARK: The thread

    private func watch(_ store: OpenStore) {
        while true {
            // Read before looking, also at the flag: a ring in between makes the wait return at once.
            let seen = signals.recorded.value
            look(store)
            let now = petiole_steady_time()
            let until = state.withLock { state -> Int64? in
                // Sequentially consistent: pairs with `stop`.
                if state.waiting.isEmpty || isStopping.load(ordering: .sequentiallyConsistent) {
                    state.isWatching = false
                    state.sleepsUntil = .max
                    // Under the lock: who adds itself next begins another thread.
                    endedWord.publish(1)
                    return nil
                }
                let first = state.waiting.compactMap { $0.deadline }.min() ?? .max
                state.sleepsUntil = min(first, now + Self.tick)
                return state.sleepsUntil
            }
            guard let until else { break }
            // Real time, by which the kernel wakes: set back, it is late by one tick at most.
            signals.recorded.wait(
                whileAt: seen, until: petiole_real_time() + max(0, until - now))
        }
        endedWord.wakeAll()
    }

    /// Ends the thread and waits for its end: it reads the store, which is closed next. Who waits is told by its own
    /// transaction that the store is closed.
    func stop() {
        // Sequentially consistent: seen by the thread, and by who adds itself.
        isStopping.store(true, ordering: .sequentiallyConsistent)
        let waiting = state.withLock { state -> [Waiter] in
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in waiting { waiter.resume(.room) }
        signals.recorded.ring()
        while endedWord.value == 0 { endedWord.wait(while: 0) }
    }
}
