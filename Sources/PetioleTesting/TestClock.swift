import Petiole
import Synchronization

/// The clocks of a store that a test moves: see ``withTestStore(at:clock:faults:jobs:closures:options:runner:_:)``.
///
/// There are two, as on any machine: the system's, which people and programs set, and one that only goes forward, by which
/// delays, retries and other whiles end. Time limits of attempts go by the machine's own, as the jobs do.
public final class TestClock: Sendable {
    private struct State {
        /// How far the test has moved each, in microseconds.
        var wall: Int64 = 0
        var uptime: Int64 = 0
        var starts: UInt64 = 0
    }
    private let state = Mutex(State())
    /// Where both stand, if they stand still.
    private let frozenAt: (wall: Int64, uptime: Int64)?
    /// Rings for the runners of the stores that are open with this clock.
    private let listeners = Mutex<(next: Int, list: [Int: @Sendable () -> Void])>((0, [:]))

    /// Makes clocks that begin at the time of the machine's.
    /// - Parameter isFrozen: whether they stand still but for what the test moves them; else they go on as the machine's do.
    public init(isFrozen: Bool = false) {
        let system = StoreClock()
        frozenAt = isFrozen ? (system.now, system.uptime) : nil
    }

    /// What the system's clock shows.
    public var now: WallTime { WallTime(microseconds: storeClock.now) }

    /// Lets time go by: moves both clocks, and lets the runners of the stores look who is due.
    /// - Parameter duration: zero or more.
    public func advance(_ duration: Duration) {
        precondition(duration >= .zero, "time goes forward: a clock that is set back is `set(by:)`")
        state.withLock { state in
            state.wall += Self.microseconds(duration)
            state.uptime += Self.microseconds(duration)
        }
        ring()
    }

    /// Sets the system's clock ahead, or back when the duration is negative, and lets the runners look: jobs that are due at an
    /// instant are due by this clock, whiles go on as if nothing had happened.
    public func set(by duration: Duration) {
        state.withLock { $0.wall += Self.microseconds(duration) }
        ring()
    }

    /// Starts the machine anew: the count of its time begins at zero, and the system's clock has gone on while it was off. For
    /// stores that are opened from now on; none is to be open.
    public func restartMachine(afterBeingOff off: Duration = .zero) {
        let uptime = storeClock.uptime
        state.withLock { state in
            state.wall += Self.microseconds(off)
            state.uptime -= uptime
            state.starts += 1
        }
    }

    /// Both, for a store.
    package var storeClock: StoreClock {
        var source = StoreClock.Source()
        let system = StoreClock()
        source.wall = { [self] in
            (frozenAt?.wall ?? system.now) + state.withLock { $0.wall }
        }
        source.uptime = { [self] in
            (frozenAt?.uptime ?? system.uptime) + state.withLock { $0.uptime }
        }
        source.bootMark = { [self] in system.bootMark &+ state.withLock { $0.starts } }
        return StoreClock(source)
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }

    private func ring() { for ring in listeners.withLock({ Array($0.list.values) }) { ring() } }

    /// Calls a closure whenever a clock was moved, until it is removed.
    package func listen(_ ring: @escaping @Sendable () -> Void) -> Int {
        listeners.withLock { listeners in
            listeners.next += 1
            listeners.list[listeners.next] = ring
            return listeners.next
        }
    }

    package func remove(_ listener: Int) { listeners.withLock { $0.list[listener] = nil } }
}
