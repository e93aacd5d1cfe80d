import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Parking
//
// A worker is *busy* (it has a ticket, or is between two and has just looked), *searching* (it
// found nothing and is about to look again, or was woken to look), or *parked* (it waits, or is
// just about to). How many search and how many are parked stands in one word, `crowd`, moved by
// sequentially consistent operations:
//
// | from      | to        | operation  | by                                                      |
// |-----------|-----------|------------|---------------------------------------------------------|
// | busy      | searching | `search`   | the worker                                              |
// | searching | parked    | `announce` | the worker, under the lock                              |
// | parked    | searching | `wakeOne`  | another thread, under the lock: the worker is *picked*  |
// | parked    | searching | `leave`    | the worker, under the lock, if nobody has picked it     |
// | searching | busy      | `settle`   | the worker, its ticket loaded into its rest             |
//
// One of the parked is the sentinel and waits on the bell's word: one hop from a commit to a job's
// start. The others wait each on a word of its own. Who announces while there is no sentinel
// becomes it. The lock guards who is parked and how; no one holds it while waiting, or calls out of
// it.
//
// Who brings work makes it visible, puts a fence, then looks at `crowd` (`workArrived`). Who parks
// changes `crowd`, puts a fence, then looks for work once more. In the one order of those, either
// the bringer sees the worker parked, or the worker sees the work:
//
//     worker                                   bringer
//     finds the ring empty
//                                              pushes 7, sees nobody parked
//     announces that it will park
//     looks once more, finds 7                 ← without this second look, 7 waits for ever
//
// A bringer wakes nobody while someone is searching, for one of two things follows. The searcher
// announces, and looks again: it finds the work. Or it finds other work and settles; the last
// searcher to settle comes after the bringer in `crowd`'s order, sees that the ring is not empty,
// and wakes the next. So a burst of a thousand tickets costs one wake-up, which starts a chain that
// ends when there is no more work or nobody is left to wake.
//
// The sentinel's role. It reads the bell *after* it announced and *before* it looks, so a ring
// during its look ends the wait at once. A sentinel that is picked, or that the bell wakes, has
// left the role under the lock. If it finds nothing it announces again. If it finds work it
// settles; when it was the last to search, `settle` sees that there is no sentinel and wakes a
// parked worker, who looks (so it sees all that came before) and announces as the sentinel. If
// others still search, the first of them to park is the sentinel, or the last of them to settle
// sees that there is none. So whenever nobody searches and somebody is parked, one of the parked is
// the sentinel or a wake-up for one is being sent.
//
// The sentinel must be wakeable by events of this process: it is nudged (see `Bell`), which wakes
// no other process.
//
// A private word is a token: set by who picks, under the lock, and reset under the lock by the
// worker that leaves. A picked worker that found work in its last look thus never waits, and never
// leaves a token behind. The wake-up itself is sent after the lock is given back and may come late:
// then it ends some other wait for no reason, and that worker waits again.

/// Where one thread waits: a word that is 1 once it was picked.
// Unchecked: the pointer never changes, and the word is only touched atomically.
@safe
final class Sleeper: @unchecked Sendable {
    private let token: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        unsafe token = .allocate(capacity: 1)
        unsafe token.initialize(to: Atomic(0))
    }

    deinit {
        unsafe token.deinitialize(count: 1)
        unsafe token.deallocate()
    }

    /// Gives the token. To be called under the lock that guards who is picked.
    func pick() {
        // Release: pairs with the acquiring load in `wait`.
        unsafe token.pointee.store(1, ordering: .releasing)
    }

    /// Sends the wake-up; after ``pick()``, outside the lock.
    func wake() {
        unsafe petiole_wake(word, 0, 1)
    }

    /// Sends the wake-up to all who wait here, where several do.
    func wakeAll() {
        unsafe petiole_wake(word, 0, CInt.max)
    }

    /// Whether the token was given.
    var isPicked: Bool {
        // Acquire: pairs with the release in `pick`.
        unsafe token.pointee.load(ordering: .acquiring) != 0
    }

    /// Waits until the token was given. Leaves it.
    func wait() {
        while !isPicked {
            // Woken, not asleep at all, interrupted: the loop looks again.
            _ = unsafe petiole_wait(word, 0, 0, -1)
        }
    }

    /// Takes the token back, under the lock that guards who is picked.
    func reset() {
        // Relaxed: the next `pick` is ordered after it by the lock.
        unsafe token.pointee.store(0, ordering: .relaxed)
    }

    /// An `Atomic<UInt32>` is laid out as its `UInt32`.
    private var word: UnsafeMutablePointer<UInt32> {
        unsafe UnsafeMutableRawPointer(token).assumingMemoryBound(to: UInt32.self)
    }
}

/// Who is parked and how to wake them. The steps are separate functions, so that tests can act out
/// any schedule of them.
final class Parking: Sendable {
    enum Role {
        /// Waits on the bell's word.
        case sentinel
        /// Waits on its own word.
        case idle
    }

    /// How many search and how many are parked.
    struct Crowd: Equatable {
        var searching: UInt32
        var parked: UInt32

        init(searching: UInt32, parked: UInt32) {
            self.searching = searching
            self.parked = parked
        }

        fileprivate init(_ word: UInt64) {
            searching = UInt32(truncatingIfNeeded: word >> 32)
            parked = UInt32(truncatingIfNeeded: word)
        }
    }

    private struct Lot {
        var idle: [Sleeper] = []
        var sentinel: Sleeper?
    }

    /// {searching: high half, parked: low half}.
    private let crowdWord = Atomic<UInt64>(0)
    private static let oneSearching: UInt64 = 1 << 32
    private static let oneParked: UInt64 = 1

    private let lot = Guarded(Lot())
    private let bell: Bell
    /// The group in which this pool's sentinel waits on the bell; see `Bell`. Pools of other
    /// processes may share it, which costs them a look.
    private let mask: UInt32

    private static let pools = Atomic<UInt32>(0)

    init(bell: Bell) {
        self.bell = bell
        // Relaxed: only the number matters, not who sees what.
        let number = Parking.pools.wrappingAdd(1, ordering: .relaxed).oldValue
        mask = 1 << ((UInt32(truncatingIfNeeded: getpid()) &+ number) % 31)
    }

    var crowd: Crowd {
        // Sequentially consistent: for the callers' second looks; see the note.
        Crowd(crowdWord.load(ordering: .sequentiallyConsistent))
    }

    // MARK: What a worker does, in this order

    /// Busy → searching. True for the first one, who may spin for a while on behalf of all.
    func search() -> Bool {
        // Sequentially consistent: the order of `crowd`; see the note.
        let old = crowdWord.wrappingAdd(Parking.oneSearching, ordering: .sequentiallyConsistent)
            .oldValue
        return Crowd(old).searching == 0
    }

    /// Searching → parked. The caller then reads the bell, looks once more, and only then waits.
    func announce(_ sleeper: Sleeper) -> Role {
        let role = lot.withLock { lot -> Role in
            // Sequentially consistent: the order of `crowd`; see the note.
            crowdWord.wrappingAdd(
                Parking.oneParked &- Parking.oneSearching, ordering: .sequentiallyConsistent)
            if lot.sentinel == nil {
                lot.sentinel = sleeper
                return .sentinel
            }
            lot.idle.append(sleeper)
            return .idle
        }
        // Sequentially consistent: between the announcement and the second look, whose loads are
        // weaker.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return role
    }

    /// Waits until picked; the sentinel also until the bell moves or the deadline comes.
    func wait(_ sleeper: Sleeper, as role: Role, whileBellAt seen: UInt32, until deadline: Int64?) {
        switch role {
        case .sentinel: _ = bell.wait(whileAt: seen, until: deadline, mask: mask)
        case .idle: sleeper.wait()
        }
    }

    /// Parked → searching, unless whoever picked it has counted it so already.
    func leave(_ sleeper: Sleeper) {
        lot.withLock { lot in
            sleeper.reset()
            if lot.sentinel === sleeper {
                lot.sentinel = nil
            } else if let index = lot.idle.lastIndex(where: { $0 === sleeper }) {
                lot.idle.remove(at: index)
            } else {
                return
            }
            // Sequentially consistent: the order of `crowd`; see the note.
            crowdWord.wrappingAdd(
                Parking.oneSearching &- Parking.oneParked, ordering: .sequentiallyConsistent)
        }
    }

    /// Searching → busy. The last to do so wakes the next, if there is more to do or nobody listens
    /// to the bell.
    /// - Parameter more: asked only when it matters: whether more work is in sight.
    func settle(more: () -> Bool) {
        // Sequentially consistent: the order of `crowd`; see the note.
        let old = Crowd(
            crowdWord.wrappingSubtract(Parking.oneSearching, ordering: .sequentiallyConsistent)
                .oldValue)
        guard old.searching == 1 else { return }
        // Sequentially consistent: between the step and the look at the work, whose loads are
        // weaker.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        // `parked` is read anew: somebody may have announced since.
        guard crowd.parked > 0 else { return }
        wakeOne(ifSentinelWaits: more())
    }

    // MARK: What a bringer does

    /// After work was made visible: wakes one, if nobody is searching and somebody is parked.
    func workArrived() {
        // Sequentially consistent: between the work and the look at `crowd`; see the note.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let crowd = Crowd(crowdWord.load(ordering: .relaxed))  // Relaxed: the fence orders it.
        if crowd.searching == 0 && crowd.parked > 0 { wakeOne() }
    }

    /// Parked → searching for one worker: private ones first, so that the sentinel stays at the
    /// bell.
    /// - Returns: false when nobody was parked.
    @discardableResult
    func wakeOne(ifSentinelWaits: Bool = true) -> Bool {
        enum Picked { case nobody, sentinel, idle(Sleeper) }
        let picked = lot.withLock { lot -> Picked in
            if !ifSentinelWaits && lot.sentinel != nil { return .nobody }
            let picked: Picked
            if let sleeper = lot.idle.popLast() {
                sleeper.pick()
                picked = .idle(sleeper)
            } else if lot.sentinel != nil {
                lot.sentinel = nil
                picked = .sentinel
            } else {
                return .nobody
            }
            // Sequentially consistent: the order of `crowd`; see the note.
            crowdWord.wrappingAdd(
                Parking.oneSearching &- Parking.oneParked, ordering: .sequentiallyConsistent)
            return picked
        }
        switch picked {
        case .nobody: return false
        case .sentinel: bell.nudge(mask: mask)
        case .idle(let sleeper): sleeper.wake()
        }
        return true
    }

    /// Wakes everybody: the pool is stopping.
    func wakeAll() {
        while wakeOne() {}
    }
}
