import Petiole
import Synchronization

/// The clock of a store that a test moves: see ``withTestStore(at:clock:faults:jobs:closures:options:runner:_:)``.
///
/// It tells when a job is due, when it expires, when another attempt follows and when a unique key is free. Time limits of
/// attempts go by the system's clock, as jobs do.
public final class TestClock: Sendable {
    private let ahead = Atomic<Int64>(0)
    private let frozenAt: Int64?
    /// Rings for the runners of the stores that are open with this clock.
    private let listeners = Mutex<(next: Int, list: [Int: @Sendable () -> Void])>((0, [:]))

    /// Makes a clock that begins at the time of the system's.
    /// - Parameter isFrozen: whether it stands still but for what the test moves it; else it goes on as the system's does.
    public init(isFrozen: Bool = false) { frozenAt = isFrozen ? StoreClock().now : nil }

    /// What it shows.
    public var now: WallTime { WallTime(microseconds: storeClock.now) }

    /// Moves it ahead, or back when the duration is negative, and lets the runners of its stores look who is due.
    public func advance(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        // Sequentially consistent: not worth an argument.
        ahead.add(microseconds, ordering: .sequentiallyConsistent)
        for ring in listeners.withLock({ Array($0.list.values) }) { ring() }
    }

    /// The store's own clock, moved.
    package var storeClock: StoreClock {
        StoreClock { [self] in
            // Sequentially consistent: as above.
            (frozenAt ?? StoreClock().now) + ahead.load(ordering: .sequentiallyConsistent)
        }
    }

    /// Calls a closure whenever the clock was moved, until it is removed.
    package func listen(_ ring: @escaping @Sendable () -> Void) -> Int {
        listeners.withLock { listeners in
            listeners.next += 1
            listeners.list[listeners.next] = ring
            return listeners.next
        }
    }

    package func remove(_ listener: Int) { listeners.withLock { $0.list[listener] = nil } }
}
