import CPetiole
import Logging
import PetioleStorage

/// Names attempts that run far longer than others of their kind: in the log once, and for other processes in `running`, as
/// long as they do. Looks when the steward does, and at those alone that have run for a while. Belongs to the steward's thread.
final class Watchdog {
    private let core: RunnerCore
    /// Attempts that were named in the log.
    private var named: Set<Attempt> = []

    private struct Attempt: Hashable {
        let job: UInt64
        let startedAt: Int64
    }

    /// An attempt is looked at when it has run so long, and is far longer than others when it takes ten times their average.
    static let minimum: Int64 = 30_000_000_000
    static let factor: Int64 = 10

    init(_ core: RunnerCore) { self.core = core }

    /// Whether an attempt takes far longer than others of its kind. All in nanoseconds.
    /// - Parameter average: 0: nothing is known of its kind, so nothing is said.
    static func isOverdue(
        running: Int64, average: Int64, minimum: Int64 = Watchdog.minimum
    ) -> Bool {
        guard average > 0, running > minimum else { return false }
        let (bound, overflow) = average.multipliedReportingOverflow(by: factor)
        return !overflow && running > bound
    }

    /// - Parameter now: real time in nanoseconds, by which attempts are timed.
    func look(now: Int64 = petiole_real_time()) {
        var worst: RunningSlots.Overdue?
        var worstRunning: Int64 = 0
        var count = 0
        var seen: Set<Attempt> = []
        for slot in core.store.slots.occupied(seat: core.seat) {
            let attempt = Attempt(job: slot.job, startedAt: slot.startedAt)
            let running = now - attempt.startedAt * 1_000
            guard running > Self.minimum, let entry = entry(of: attempt.job),
                Self.isOverdue(running: running, average: entry.averageRun)
            else { continue }
            // The slot may have gone on to another while it was looked up.
            guard slot.job == attempt.job, slot.startedAt == attempt.startedAt else { continue }
            count += 1
            seen.insert(attempt)
            if running > worstRunning {
                worstRunning = running
                worst = RunningSlots.Overdue(
                    job: attempt.job, averageNanoseconds: entry.averageRun, count: 0)
            }
            if !named.contains(attempt) { name(attempt, entry, running) }
        }
        named = seen
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
