import CPetiole
import Synchronization

/// How far a store's clocks are from those that all processes of the machine read: as the system has them, or as a test has
/// moved them.
struct ClockShift: Equatable {
    /// Microseconds that the system's clock is ahead of the steady one.
    var wall: Int64
    /// Microseconds that the time since the machine's start is ahead of what it is; 0 but in tests.
    var uptime: Int64
    /// What is added to the mark of the machine's start; 0 but in tests.
    var boot: UInt64

    init(wall: Int64, uptime: Int64, boot: UInt64) {
        self.wall = wall
        self.uptime = uptime
        self.boot = boot
    }

    init(_ clock: StoreClock) {
        wall = clock.shift
        boot = clock.hasOwnStart ? clock.bootMark &- BootMark.current() : 0
        uptime = clock.hasOwnUptime ? clock.uptime - petiole_uptime() / 1_000 : 0
    }

    /// As it stands in a child's environment.
    var text: String { "\(wall):\(uptime):\(boot)" }

    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let wall = Int64(parts[0]), let uptime = Int64(parts[1]),
            let boot = UInt64(parts[2])
        else { return nil }
        self.init(wall: wall, uptime: uptime, boot: boot)
    }
}

/// The clock of a child's store: its runner's.
final class RunnersClock: Sendable {
    private let wall: Atomic<Int64>
    private let uptime: Atomic<Int64>
    private let boot: UInt64

    init(_ shift: ClockShift) {
        wall = Atomic(shift.wall)
        uptime = Atomic(shift.uptime)
        boot = shift.boot
    }

    /// As the runner's stand when it gives the child a job. The machine is not started anew meanwhile.
    func shift(to shift: ClockShift) {
        // Sequentially consistent: not worth an argument.
        wall.store(shift.wall, ordering: .sequentiallyConsistent)
        uptime.store(shift.uptime, ordering: .sequentiallyConsistent)
    }

    var storeClock: StoreClock {
        var source = StoreClock.Source()
        source.wall = { [self] in
            // Sequentially consistent: as above.
            petiole_steady_time() / 1_000 + wall.load(ordering: .sequentiallyConsistent)
        }
        source.uptime = { [self] in
            // Sequentially consistent: as above.
            petiole_uptime() / 1_000 + uptime.load(ordering: .sequentiallyConsistent)
        }
        source.bootMark = { [self] in BootMark.current() &+ boot }
        return StoreClock(source)
    }
}
