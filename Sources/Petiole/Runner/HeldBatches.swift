import CPetiole
import PetioleDispatch
import Synchronization

// Batches
//
// A job of a batch type that a worker meets has not begun: it is held here, by its id and the tag of its range, until there are
// as many as its type takes at once, or the first has been held for as long as its type waits.
//
// | what happens | what becomes of what is held |
// |---|---|
// | there are enough | the worker that brought the last runs them, on its thread |
// | the wait is over | whoever looks for work runs them: the sentinel sleeps until then at most, and is woken when a wait begins |
// | a job is cancelled, expires, or is edited | seen when the batch begins: it is looked up anew, behind its slot |
// | the queue is paused | likewise: given back to the claims |
// | the runner stops, or its process dies | forgotten: it lies in its lane |
//
// A batch whose wait is over travels as a ticket of its own kind, so that it goes the way of all work: its tag is 0, which no
// range has, and its first id is the batch's number. It may be stolen like any other.

/// Jobs of batch types that are claimed and have not begun.
final class HeldBatches: Sendable {
    /// The tag of a ticket that names a batch. Tags of ranges begin with 1.
    static let tag: UInt32 = 0

    struct Item: Sendable, Equatable {
        let id: UInt64
        let tag: UInt32
    }

    struct Batch: Sendable {
        let entry: BatchEntry
        let queue: OwnedQueue
        var items: [Item] = []
        /// Nanoseconds of the steady clock.
        var dueAt: Int64
        /// A suspect, which runs by itself.
        var isAlone = false
    }

    private struct Key: Hashable {
        let entry: ObjectIdentifier
        let queue: UInt32
    }
    private struct State {
        var held: [Key: Batch] = [:]
        /// On their way as tickets, by number.
        var leaving: [UInt64: Batch] = [:]
        var next: UInt64 = 1
    }
    private let state = Mutex(State())
    private let isHolding = Atomic<Bool>(false)
    private let now: @Sendable () -> Int64

    /// - Parameter now: nanoseconds of a steady clock: a wait is a duration.
    init(now: @escaping @Sendable () -> Int64 = { petiole_steady_time() }) { self.now = now }

    enum Answer {
        /// It waits for more.
        case held
        /// It waits for more, the first of them: whoever sleeps longer than the wait is to be woken.
        case waitBegins
        /// There are enough: to be run by the caller.
        case full(Batch)
    }

    /// Holds a job.
    func add(_ item: Item, _ entry: BatchEntry, _ queue: OwnedQueue) -> Answer {
        let now = now()
        return state.withLock { state in
            let key = Key(entry: ObjectIdentifier(entry), queue: queue.id)
            var batch =
                state.held[key]
                ?? Batch(entry: entry, queue: queue, dueAt: now + entry.waitNanoseconds)
            batch.items.append(item)
            if batch.items.count >= entry.limit {
                // Of what was put back there may be more than fit; the rest is due already.
                let rest = takeRest(of: &batch, dueAt: now)
                state.held[key] = rest
                note(state)
                return .full(batch)
            }
            state.held[key] = batch
            note(state)
            return batch.items.count == 1 && entry.wait > .zero ? .waitBegins : .held
        }
    }

    /// Holds again what found no slot. It is due already.
    func putBack(_ items: ArraySlice<Item>, of batch: Batch) {
        if items.isEmpty { return }
        let now = now()
        state.withLock { state in
            let key = Key(entry: ObjectIdentifier(batch.entry), queue: batch.queue.id)
            var held = state.held[key] ?? batch
            if state.held[key] == nil { held.items = [] }
            held.items = items + held.items
            // A full one was not due.
            held.dueAt = now
            state.held[key] = held
            note(state)
        }
    }

    /// A ticket for a batch whose wait is over; nil when there is none.
    func ticketOfDue() -> Ticket? {
        // Relaxed: whoever holds the first of a batch looks here afterwards, or wakes somebody who does.
        if !isHolding.load(ordering: .relaxed) { return nil }
        let now = now()
        return state.withLock { state in
            guard let (key, batch) = state.held.first(where: { $0.value.dueAt <= now }) else {
                return nil
            }
            let number = state.next
            state.next += 1
            var leaving = batch
            // Of what was put back there may be more than fit.
            state.held[key] = takeRest(of: &leaving, dueAt: batch.dueAt)
            note(state)
            state.leaving[number] = leaving
            return Ticket(first: number, count: 1, tag: Self.tag)
        }
    }

    /// The batch that a ticket names.
    func take(_ number: UInt64) -> Batch? {
        state.withLock { $0.leaving.removeValue(forKey: number) }
    }

    /// How long until the next wait is over, in nanoseconds, 0 when one is; nil when nothing is held.
    var untilDue: Int64? {
        // Relaxed: as above.
        if !isHolding.load(ordering: .relaxed) { return nil }
        let now = now()
        return state.withLock { state in
            state.held.values.map { max(0, $0.dueAt - now) }.min()
        }
    }

    /// How many jobs are held.
    var count: Int { state.withLock { $0.held.values.reduce(0) { $0 + $1.items.count } } }

    /// Takes off what is more than fits; nil when all of it does.
    private func takeRest(of batch: inout Batch, dueAt: Int64) -> Batch? {
        let limit = batch.entry.limit
        guard batch.items.count > limit else { return nil }
        var rest = batch
        rest.items = Array(batch.items[limit...])
        rest.dueAt = dueAt
        batch.items = Array(batch.items[..<limit])
        return rest
    }

    private func note(_ state: borrowing State) {
        // Relaxed: as above.
        isHolding.store(!state.held.isEmpty, ordering: .relaxed)
    }
}
