import CPetiole
import Synchronization

// The rest of a ticket
//
// | word     | meaning                                                         | written by                        |
// |----------|-----------------------------------------------------------------|-----------------------------------|
// | `span`   | {next: low half, end: high half}, offsets not begun; next = end: nothing | owner (take, load), thieves (steal) |
// | `first`  | the ticket's first id                                           | owner, only while `span` is empty |
// | `label`  | {tag: low half, the offset of `first`: high half}               | owner, only while `span` is empty |
// | `guests` | thieves between their read of `span` and their swap             | thieves                           |
//
// The owner takes from the front and a thief from the back, both by a compare-and-swap of the whole
// `span`, so an offset goes to exactly one of them.
//
// What must not happen: a thief reads `span`, the owner finishes the ticket and loads another, and
// the thief's swap succeeds with a first id that belongs to the other ticket. Why it cannot:
//
// 1. Offsets run on from ticket to ticket: the next ticket begins at the offset where the last one
//    ended when it was loaded. So `span` never has the same value for two tickets until the offsets
//    have gone once around their 32 bits, and a swap that succeeds found the very ticket whose
//    `span` was read.
// 2. If the swap succeeds, the first id and label read before it were that ticket's: they are
//    stored with release after the swap that emptied `span`, and loaded with acquire. A thief that
//    had read a newer one would also see the emptied `span` (or a later one), and its swap would
//    fail. An older one cannot be read, since the acquiring load of `span` came first.
// 3. The offsets do not go around while a thief holds a value of `span`: whenever a load begins in
//    another half of the offsets than the one before, once in 2^31 ids, the owner first waits until
//    `guests` is zero. At that time `span` is empty. A thief counts itself as a guest and *then*
//    reads `span` (both sequentially consistent, as are the owner's emptying swap and its look at
//    `guests`): either the owner sees the guest and waits until it has gone, or the thief sees the
//    empty `span` and leaves. A thief therefore lives through at most one such change. Between two
//    changes the beginnings of tickets differ by less than 2^31, and a ticket is shorter than 2^31,
//    so two values of `next` within it differ by less than 2^32: never equal. Thieves look without
//    being guests first, so that an empty rest has none and the owner's wait ends: it is for the
//    few instructions of a thief that was there before, or until that thread, put off its
//    processor, comes back.

/// What is left of a worker's ticket: its owner takes runs from the front, and who has nothing to
/// do takes half from the back.
package struct Rest: ~Copyable, Sendable {
    private let span: Atomic<UInt64>
    private let first = Atomic<UInt64>(0)
    private let label = Atomic<UInt64>(0)
    private let guests = Atomic<UInt32>(0)
    /// Where the last ticket began and ended when it was loaded: {end, start} like `span`. Touched
    /// by the owner alone. The offsets run on from that end, not from where thieves have cut it to:
    /// else the same offsets came back.
    private let loaded: Atomic<UInt64>

    package init() {
        self.init(startOffset: 0)
    }

    /// Begins at some offset, for tests that cross the halves.
    init(startOffset: UInt32) {
        span = Atomic(Rest.packed(startOffset, startOffset))
        loaded = Atomic(Rest.packed(startOffset, startOffset))
    }

    /// Puts a ticket here. Only the owner may, and only while nothing is left.
    package func load(_ ticket: Ticket) {
        precondition(ticket.count <= Ticket.maximumCount, "a ticket of \(ticket.count) is too long")
        precondition(isEmpty, "a ticket is loaded when nothing is left")
        // Relaxed, both: atomic only so that a `let` can hold it; the owner alone reads and writes
        // it.
        let last = loaded.load(ordering: .relaxed)
        let start = Rest.end(last)
        let end = start &+ ticket.count
        if (start ^ Rest.next(last)) >> 31 != 0 { waitForGuests() }
        // Relaxed: as above.
        loaded.store(Rest.packed(start, end), ordering: .relaxed)
        // Release, both: pair with the acquiring loads in `steal`; point 2 of the note.
        first.store(ticket.first, ordering: .releasing)
        label.store(Rest.packed(ticket.tag, start), ordering: .releasing)
        // Sequentially consistent: publishes first and label, and stands in one order with
        // `guests`; point 3.
        span.store(Rest.packed(start, end), ordering: .sequentiallyConsistent)
    }

    /// Takes up to `limit` ids from the front. Only the owner may. Nil: nothing is left.
    package func take(upTo limit: UInt32) -> (first: UInt64, count: UInt32)? {
        // Relaxed: the owner sees its own load; what thieves took is found out by the
        // compare-and-swap.
        var old = span.load(ordering: .relaxed)
        while true {
            let next = Rest.next(old)
            let left = Rest.end(old) &- next
            if left == 0 || limit == 0 { return nil }
            let count = min(limit, left)
            // Sequentially consistent: the emptying one stands in one order with `guests`; point 3
            // of the note.
            let (won, current) = span.weakCompareExchange(
                expected: old, desired: Rest.packed(next &+ count, Rest.end(old)),
                ordering: .sequentiallyConsistent)
            if won {
                // Relaxed, both: the owner's own stores.
                let start = Rest.end(label.load(ordering: .relaxed))
                return (first.load(ordering: .relaxed) &+ UInt64(next &- start), count)
            }
            old = current
        }
    }

    /// Takes the later half, rounded up, so that the last one waiting can be taken too. Anybody may.
    /// Nil means that nothing is left, never that others were quicker: who gives up here parks, and
    /// nobody would tell it of what is still left.
    package func steal() -> Ticket? {
        if isEmpty { return nil }
        // Sequentially consistent, all but the last: point 3 of the note.
        guests.add(1, ordering: .sequentiallyConsistent)
        defer {
            // Release: pairs with the owner's load in `waitForGuests`; our reads are over.
            guests.subtract(1, ordering: .releasing)
        }
        while true {
            // Sequentially consistent: as above.
            let old = span.load(ordering: .sequentiallyConsistent)
            let (next, end) = (Rest.next(old), Rest.end(old))
            let left = end &- next
            if left == 0 { return nil }
            // Acquire, both: pair with the releasing stores in `load`; point 2.
            let first = first.load(ordering: .acquiring)
            let label = label.load(ordering: .acquiring)
            // Of a whole ticket nothing is for others: a thief that parks now has missed nothing. Should the label be that
            // of a ticket which came after `span` was read, that one is whole, and what `span` said is gone.
            if Rest.next(label) & Ticket.wholeBit != 0 { return nil }
            let middle = end &- (left - left / 2)
            // Sequentially consistent: succeeds only if first and label were this ticket's; point 2.
            let (won, _) = span.compareExchange(
                expected: old, desired: Rest.packed(next, middle),
                ordering: .sequentiallyConsistent)
            if won {
                return Ticket(
                    first: first &+ UInt64(middle &- Rest.end(label)), count: end &- middle,
                    tag: Rest.next(label))
            }
        }
    }

    /// How many ids are left, at some moment of the call.
    package var count: UInt32 {
        // Relaxed: the answer may be old when it is used; what is then taken is taken by a
        // compare-and-swap.
        let span = span.load(ordering: .relaxed)
        return Rest.end(span) &- Rest.next(span)
    }

    package var isEmpty: Bool { count == 0 }

    /// The tag of the ticket that was loaded last. For the owner.
    package var tag: UInt32 {
        // Relaxed: the owner's own store.
        Rest.next(label.load(ordering: .relaxed))
    }

    private func waitForGuests() {
        // Sequentially consistent: a thief may have emptied it, and its swap must come before our look
        // at `guests` in the one order; point 3.
        let span = span.load(ordering: .sequentiallyConsistent)
        assert(Rest.next(span) == Rest.end(span), "guests are waited for when nothing is left")
        // Sequentially consistent: point 3. It also acquires the guests' last reads.
        while guests.load(ordering: .sequentiallyConsistent) != 0 { petiole_yield() }
    }

    private static func packed(_ next: UInt32, _ end: UInt32) -> UInt64 {
        UInt64(end) << 32 | UInt64(next)
    }
    private static func next(_ span: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: span) }
    private static func end(_ span: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: span >> 32) }
}
