import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The words of the store's file `bell`, each on a line of its own, by which processes wake each other.
struct StoreSignals: Sendable {
    /// Rung after a commit that made jobs ready or set a timer. Runners wait on it.
    let work: Bell
    /// Moved after a commit that changes what claims in memory may do: a cancel, a pause. Looked at before each job.
    let control: Bell
    /// Rung after a commit that recorded outcomes. Who awaits jobs of other processes waits on it.
    let recorded: Bell
    /// Rung after a commit that changed a counter. Who watches the counts waits on it.
    let counted: Bell
    /// The control word itself, for the look before each job.
    nonisolated(unsafe) let controlWord: UnsafeMutablePointer<UInt32>
    // What guards it: the pointer never changes, and the word is only touched atomically.

    /// When something was last committed, microseconds since 1970 by the store's clock; 0: nobody knows.
    nonisolated(unsafe) private let commitWord: UnsafeMutableRawPointer
    // What guards it: as above.
    var lastCommit: Int64 { Int64(bitPattern: petiole_load_u64(commitWord)) }
    func noteCommit(_ now: Int64) { petiole_store_u64(commitWord, UInt64(bitPattern: now)) }

    /// Not 0 while somebody follows events, or wants them kept: see `Following.swift`. Looked at by each commit.
    nonisolated(unsafe) private let followedWord: UnsafeMutablePointer<UInt32>
    // What guards it: as above.
    var followed: UInt32 { petiole_load_sequential_u32(followedWord) }
    /// Sets some of its bits, or takes them away.
    func setFollowed(_ bits: UInt32, _ isSet: Bool) {
        while true {
            let old = followed
            let new = isSet ? old | bits : old & ~bits
            if petiole_swap_u32(followedWord, old, new) != 0 { return }
        }
    }

    static let fileSize = 4_096

    init(_ file: MappedFile) {
        func word(_ line: Int) -> UnsafeMutablePointer<UInt32> {
            (file.base + line * 128).assumingMemoryBound(to: UInt32.self)
        }
        work = Bell(shared: word(0))
        control = Bell(shared: word(1))
        recorded = Bell(shared: word(2))
        counted = Bell(shared: word(3))
        controlWord = word(1)
        commitWord = UnsafeMutableRawPointer(word(4))
        followedWord = word(5)
    }
}

/// A 32-bit word of this process that threads wait on.
final class SharedWord: @unchecked Sendable {
    // What guards it: the word is only touched atomically, and lives as long as this object.
    private let word: UnsafeMutablePointer<UInt32>

    init(_ value: UInt32 = 0) {
        word = .allocate(capacity: 1)
        word.initialize(to: value)
    }

    deinit { word.deallocate() }

    var value: UInt32 { petiole_load_sequential_u32(word) }
    func store(_ value: UInt32) { petiole_store_u32(word, value) }
    func publish(_ value: UInt32) {
        petiole_store_u32(word, value)
        petiole_fence()
    }
    func add(_ value: UInt32) { _ = petiole_add_u32(word, value) }
    func swap(from old: UInt32, to new: UInt32) -> Bool {
        petiole_swap_u32(word, old, new) != 0
    }
    func wakeAll() { petiole_wake(word, 0, Int32.max) }
    /// Waits while the word is what it was; may return for no reason. False at the deadline, nanoseconds of real time.
    @discardableResult
    func wait(while value: UInt32, until deadline: Int64 = -1) -> Bool {
        petiole_wait(word, value, 0, deadline) != ETIMEDOUT
    }
    /// The same for at most so many nanoseconds by the steady clock: in time also when the system's clock is set meanwhile.
    @discardableResult
    func wait(while value: UInt32, for nanoseconds: Int64) -> Bool {
        petiole_wait_for(word, value, 0, nanoseconds, .max) != ETIMEDOUT
    }
}

/// A value that threads wait for and another one gives, once.
final class Promise<Value: Sendable>: Sendable {
    private let word = SharedWord()
    private let value = Mutex<Value?>(nil)

    func give(_ value: Value) {
        self.value.withLock { $0 = value }
        word.publish(1)
        word.wakeAll()
    }

    /// Blocks the thread.
    func wait() -> Value {
        while word.value == 0 { word.wait(while: 0) }
        return value.withLock { $0! }
    }
}
