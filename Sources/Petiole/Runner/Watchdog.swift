import CPetiole
import Logging
import PetioleStorage

/// Names attempts that run far longer than others of their kind: in the log once, and for other processes in `running`, as
/// long as they do. Looks when the steward does, and asks about those alone that have run for a while. Belongs to the steward's
/// thread.
final class Watchdog {
    private let core: RunnerCore
    /// What runs, and when it began by the clock that nobody sets: one that was not seen at the last look began after it.
    private var seen: [Attempt: Seen] = [:]
    private var lastLook: Int64

    private struct Attempt: Hashable {
        let job: UInt64
        /// As its slot says, by the system's clock.
        let startedAt: Int64
    }

    private struct Seen {
        var begin: Int64
        var isNamed = false
    }

    /// An attempt is asked about when it has run so long, and is far longer than others when it takes ten times their average.
    static let minimum: Int64 = 30_000_000_000
    static let factor: Int64 = 10

    init(_ core: RunnerCore) {
        self.core = core
        lastLook = core.store.clock.ticks
    }

    /// Whether an attempt takes far longer than others of its kind. All in nanoseconds.
    /// - Parameter average: 0: nothing is known of its kind, so nothing is said.
    static func isOverdue(
        running: Int64, average: Int64, minimum: Int64 = Watchdog.minimum
    ) -> Bool {
        guard average > 0, running > minimum else { return false }
        let (bound, overflow) = average.multipliedReportingOverflow(by: factor)
        return !overflow && running > bound
    }

    func look() {
        let now = core.store.clock.ticks
        let wall = core.store.clock.now
        var still: [Attempt: Seen] = [:]
        var worst: RunningSlots.Overdue?
        var worstRunning: Int64 = 0
        var count = 0
        for slot in core.store.slots.occupied(seat: core.seat) {
            let attempt = Attempt(job: slot.job, startedAt: slot.startedAt)
            // The system's clock may have been set since it began.
            let age = max(0, wall - attempt.startedAt)
            var found = seen[attempt] ?? Seen(begin: max(lastLook, now - age * 1_000))
            defer { still[attempt] = found }
            let running = now - found.begin
            guard running > Self.minimum, let entry = entry(of: attempt.job),
                Self.isOverdue(running: running, average: entry.averageRun),
                // The slot may have gone on to another while it was looked up.
                slot.job == attempt.job, slot.startedAt == attempt.startedAt
            else { continue }
            count += 1
            if running > worstRunning {
                worstRunning = running
                worst = RunningSlots.Overdue(
                    job: attempt.job, averageNanoseconds: entry.averageRun, count: 0)
            }
            if !found.isNamed { name(attempt, entry, running) }
            found.isNamed = true
        }
        seen = still
        lastLook = now
        worst?.count = count
        core.store.slots.setBeat(seat: core.seat, petiole_steady_time(), worst)
    }

    private func name(_ attempt: Attempt, _ entry: JobEntry, _ running: Int64) {
        core.logger.warning(
            "job runs far longer than others of its type",
            metadata: [
                "job": "\(attempt.job)", "type": "\(entry.name)",
                "seconds": "\(running / 1_000_000_000)",
                "average": "\(Double(entry.averageRun) / 1e9) s",
            ])
    }

    private func entry(of job: UInt64) -> JobEntry? {
        let store = core.store
        // What cannot be read is not judged: its attempt finds the damage.
        let number = try? store.read { (reader) throws(StorageError) in
            try Lookup.block(job, reader, store.tables)?.nameHint(job)
        }
        guard let number = number ?? nil else { return nil }
        return core.registry.entry(number)?.takeUnretainedValue()
    }
}
