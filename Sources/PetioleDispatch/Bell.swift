import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// The bell
//
// One 32-bit word in memory that several processes map. It only counts up, and its value means
// nothing but "something has happened since you read another one".
//
//     sleeper                                  ringer
//     reads 7
//     looks at the store, finds nothing
//                                              commits
//                                              makes it 8, wakes all
//     waits while it is 7: returns at once     ← else it would sleep until the next ring
//
// `ring` adds with release and `value` loads with acquire: who reads the new value sees what was
// written before the ring. That the commit itself is seen is the store's matter (its own root page
// and locks).
//
// A *nudge* is for one sleeper of this process: it also adds one, so that the sleeper cannot miss
// it, but wakes only who waits with the same mask. Nobody else has lost anything: who sleeps at 7
// while a nudge makes it 8 is woken by the next ring, and who is about to sleep returns at once and
// looks again.
//
// Exactly 2^32 rings between a read and the wait would go unseen; whoever sleeps for long also has
// a deadline.

/// The word that wakes sleepers of all processes when something was committed. Whoever makes one
/// keeps its memory mapped.
// Unchecked: the pointer never changes, and the word is only touched atomically.
@safe
package struct Bell: @unchecked Sendable {
    private let word: UnsafeMutablePointer<Atomic<UInt32>>
    private let isShared: Bool

    /// The sleepers that only a ring wakes are in this group; the others are for nudges.
    static let ringOnly: UInt32 = 1 << 31

    /// - Parameter word: 4 bytes, aligned, in a mapping shared by the processes.
    package init(shared word: UnsafeMutablePointer<UInt32>) {
        // An `Atomic<UInt32>` is laid out as its `UInt32`.
        unsafe self.word = UnsafeMutableRawPointer(word).assumingMemoryBound(
            to: Atomic<UInt32>.self)
        isShared = true
    }

    private init(ownedBy word: UnsafeMutablePointer<Atomic<UInt32>>) {
        unsafe self.word = unsafe word
        isShared = false
    }

    /// A bell in memory of this process alone; give it back with ``deallocate()``.
    package static func allocate(startingAt value: UInt32 = 0) -> Bell {
        let word = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(value))
        return unsafe Bell(ownedBy: word)
    }

    /// Frees a bell made by ``allocate(startingAt:)``, when nobody uses it any more.
    package func deallocate() {
        precondition(!isShared, "a shared bell belongs to who mapped it")
        unsafe word.deinitialize(count: 1)
        unsafe word.deallocate()
    }

    /// To be read *before* looking for what a ring would tell of.
    package var value: UInt32 {
        // Acquire: pairs with the release in `ring`.
        unsafe word.pointee.load(ordering: .acquiring)
    }

    /// Tells everybody that something was committed.
    package func ring() {
        // Release: pairs with the acquiring load in `value`.
        unsafe word.pointee.wrappingAdd(1, ordering: .releasing)
        unsafe petiole_wake(raw, isShared ? 1 : 0, CInt.max)
    }

    /// Waits while the bell stands at `seen`. Returns when it moved, at the deadline, or for no
    /// reason: the caller looks again.
    /// - Parameter deadline: nanoseconds on the real-time clock; nil: none.
    /// - Returns: false when the deadline was reached.
    @discardableResult
    package func wait(whileAt seen: UInt32, until deadline: Int64? = nil) -> Bool {
        wait(whileAt: seen, until: deadline, mask: Bell.ringOnly)
    }

    /// The same for at most so many nanoseconds by a clock that only goes forward: in time also when the real-time clock is
    /// set meanwhile.
    @discardableResult
    package func wait(whileAt seen: UInt32, for nanoseconds: Int64) -> Bool {
        let result = unsafe petiole_wait_for(
            raw, seen, isShared ? 1 : 0, nanoseconds, Bell.ringOnly)
        return result != ETIMEDOUT
    }

    func wait(whileAt seen: UInt32, until deadline: Int64?, mask: UInt32) -> Bool {
        let result = unsafe petiole_wait_in(
            raw, seen, isShared ? 1 : 0, deadline.map { max($0, 0) } ?? -1, mask)
        return result != ETIMEDOUT
    }

    /// Wakes the sleepers whose mask has a bit of this one.
    func nudge(mask: UInt32) {
        // Release: as in `ring`.
        unsafe word.pointee.wrappingAdd(1, ordering: .releasing)
        unsafe petiole_wake_in(raw, isShared ? 1 : 0, CInt.max, mask)
    }

    private var raw: UnsafeMutablePointer<UInt32> {
        unsafe UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt32.self)
    }
}
