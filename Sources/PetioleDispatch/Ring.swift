import Synchronization

// The turns of a slot
//
// A position is {lap, index}: the index in the low bits, the lap above them, and it counts on from
// (lap, capacity - 1) to (lap + 1, 0), so any capacity does without a division. `lapLength` is a
// power of two greater than the capacity and so at least 2, which keeps "written in this lap"
// (position + 1) apart from "free for the next" (position + lapLength) even in a ring of one.
//
// | turn of slot i                  | means                                           | written by           |
// |---------------------------------|-------------------------------------------------|----------------------|
// | {lap, i}                        | free, for the push whose position is {lap, i}   | init, the pop before |
// | {lap, i} + 1                    | holds the element of {lap, i}, for its pop      | that push            |
// | {lap + 1, i}                    | free again, a lap later                         | that pop             |
//
// `tail` is the next position to push, `head` the next to pop; each is moved by a compare-and-swap
// of whoever then owns that position. Owning it gives the only right to touch the element, until
// the turn is moved on.
//
// What must not happen: an element is read before it is written, or overwritten before it is read.
// Why it cannot: both are bracketed by the slot's turn, stored with release after the element was
// touched and loaded with acquire before. `head` and `tail` publish nothing and are relaxed; a
// stale value only makes a compare-and-swap fail, or names a slot whose turn has passed, which is
// seen as a turn that is ahead.
//
// A push or pop that has its position and has not yet moved the turn makes the ring *look* full or
// empty to who comes behind; nobody waits for it. So `pop` may return nil while a later push is
// already complete. Whoever wakes poppers must therefore wake one after *every* push, as the pool
// does: the push that was in the way is followed by its own wake-up, and a worker that finds
// something wakes the next while the ring is not empty.
//
// Turns are compared by their wrapping difference, so wrapping past 2^64 is no event.
// Source: D. Vyukov, "Bounded MPMC queue"; the positions with laps are those of crossbeam's
// `ArrayQueue`.

/// One cell: whose turn it is, and what it carries.
@usableFromInline
package struct Slot<Element: BitwiseCopyable & Sendable>: ~Copyable {
    @usableFromInline package let turn: Atomic<UInt64>
    @usableFromInline package var element: Element?

    @inlinable
    package init(turn: UInt64) {
        self.turn = Atomic(turn)
        self.element = nil
    }
}

/// A bounded buffer for any number of producers and consumers. Nobody ever waits in it: a full ring
/// refuses, an empty one gives nil. Elements come out in the order in which they were given a
/// place.
// Unchecked: the pointers never change, the counters are atomic, and an element is touched only by
// the owner of its turn.
@safe
package final class Ring<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
    /// How many elements the ring holds; the next is refused.
    package let capacity: Int
    @usableFromInline package let slots: UnsafeMutablePointer<Slot<Element>>
    /// Producers and consumers each write their own line: 128 bytes, since processors fetch lines
    /// of 64 in pairs.
    @usableFromInline package let tail: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline package let head: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline package let lapLength: UInt64
    private let counters: UnsafeMutableRawPointer

    /// - Parameter capacity: one or more; a slot takes 32 bytes for a ``Ticket``.
    package convenience init(capacity: Int) {
        self.init(capacity: capacity, startLap: 0, startIndex: 0)
    }

    /// Begins in the middle of things, for tests that cross the edges of the counters.
    init(capacity: Int, startLap: UInt64, startIndex: Int) {
        precondition(capacity >= 1, "a ring has at least one slot, not \(capacity)")
        precondition((0..<capacity).contains(startIndex), "the first index lies in the ring")
        self.capacity = capacity
        lapLength = UInt64(1) << UInt64(UInt64.bitWidth - UInt64(capacity).leadingZeroBitCount)
        unsafe slots = .allocate(capacity: capacity)
        let first = startLap &* lapLength
        for index in 0..<capacity {
            let lap = index < startIndex ? first &+ lapLength : first
            unsafe (slots + index).initialize(to: Slot(turn: lap &+ UInt64(index)))
        }
        unsafe counters = .allocate(byteCount: 3 * 128, alignment: 128)
        let start = first &+ UInt64(startIndex)
        unsafe tail = counters.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe tail.initialize(to: Atomic(start))
        unsafe head = (counters + 128).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe head.initialize(to: Atomic(start))
    }

    deinit {
        unsafe tail.deinitialize(count: 1)
        unsafe head.deinitialize(count: 1)
        unsafe counters.deallocate()
        unsafe slots.deinitialize(count: capacity)
        unsafe slots.deallocate()
    }

    /// Gives the element a place. False means full (or as good as: the pop of the oldest is still
    /// under way).
    package func push(_ element: Element) -> Bool { put(element) }

    @inline(__always)
    private func put(_ element: Element) -> Bool {
        // Relaxed: a stale tail is found out by the slot's turn or by the compare-and-swap.
        var position = unsafe tail.pointee.load(ordering: .relaxed)
        while true {
            let index = Int(truncatingIfNeeded: position & (lapLength &- 1))
            let slot = unsafe slots + index
            // Acquire: pairs with the releasing store in `pop`, so the element was read before we
            // overwrite it.
            let turn = unsafe slot.pointee.turn.load(ordering: .acquiring)
            if turn == position {
                // Relaxed: owning the position publishes nothing; the turn does, below.
                let (won, current) = unsafe tail.pointee.weakCompareExchange(
                    expected: position, desired: next(after: position, index), ordering: .relaxed)
                guard won else {
                    position = current
                    continue
                }
                unsafe slot.pointee.element = element
                // Release: pairs with the acquiring load of `turn` in `pop`, so whoever reads this
                // value also sees the element written above.
                unsafe slot.pointee.turn.store(position &+ 1, ordering: .releasing)
                return true
            }
            if Int64(bitPattern: turn &- position) < 0 { return false }
            // Relaxed: as above; others went ahead.
            position = unsafe tail.pointee.load(ordering: .relaxed)
        }
    }

    /// Takes the oldest element. Nil means empty (or as good as: the push of the oldest is still
    /// under way).
    package func pop() -> Element? { take() }

    @inline(__always)
    private func take() -> Element? {
        // Relaxed: a stale head is found out by the slot's turn or by the compare-and-swap.
        var position = unsafe head.pointee.load(ordering: .relaxed)
        while true {
            let index = Int(truncatingIfNeeded: position & (lapLength &- 1))
            let slot = unsafe slots + index
            // Acquire: pairs with the releasing store in `push`, so the element is there.
            let turn = unsafe slot.pointee.turn.load(ordering: .acquiring)
            if turn == position &+ 1 {
                // Relaxed: owning the position publishes nothing; the turn does, below.
                let (won, current) = unsafe head.pointee.weakCompareExchange(
                    expected: position, desired: next(after: position, index), ordering: .relaxed)
                guard won else {
                    position = current
                    continue
                }
                let element = unsafe slot.pointee.element
                // Release: pairs with the acquiring load of `turn` in `push`, so the element is not
                // overwritten before it was read above.
                unsafe slot.pointee.turn.store(position &+ lapLength, ordering: .releasing)
                return element
            }
            if Int64(bitPattern: turn &- (position &+ 1)) < 0 { return nil }
            // Relaxed: as above; others went ahead.
            position = unsafe head.pointee.load(ordering: .relaxed)
        }
    }

    /// How many elements there are, at some moment of the call when nobody else is at work, else
    /// about that many. A push that has returned counts until its element is taken.
    package var count: Int {
        // Relaxed: the two are not one moment anyway. The head is read first, so the count errs
        // upward and is never negative.
        let head = unsafe head.pointee.load(ordering: .relaxed)
        let tail = unsafe tail.pointee.load(ordering: .relaxed)
        let mask = lapLength &- 1
        let laps = Int(truncatingIfNeeded: ((tail & ~mask) &- (head & ~mask)) / lapLength)
        let between = laps &* capacity &+ Int(tail & mask) &- Int(head & mask)
        return min(max(between, 0), capacity)
    }

    /// Whether there is nothing to take; see ``count``.
    @inlinable
    package var isEmpty: Bool {
        // Relaxed: whoever needs an order between this and something else puts a fence between
        // them.
        unsafe head.pointee.load(ordering: .relaxed) == tail.pointee.load(ordering: .relaxed)
    }

    @inlinable
    package func next(after position: UInt64, _ index: Int) -> UInt64 {
        index &+ 1 == capacity
            ? (position & ~(lapLength &- 1)) &+ lapLength
            : position &+ 1
    }
}

// The bodies of `package` functions do not reach other modules (Swift 6.3), and a generic one costs some 100 ns of
// metadata look-ups there. These are compiled here, for what other modules put into a ring.

extension Ring where Element == UInt {
    package func push(_ element: UInt) -> Bool { put(element) }
    package func pop() -> UInt? { take() }
}

extension Ring where Element == Ticket {
    package func push(_ element: Ticket) -> Bool { put(element) }
    package func pop() -> Ticket? { take() }
}
