import Synchronization

/// Who can be asked to stop, by job: Swift tasks and child processes. Jobs on threads look at their context.
final class Stoppables: Sendable {
    private struct Ways {
        /// When the attempt began, as its slot says.
        let startedAt: Int64
        let stop: @Sendable () -> Void
        let kill: (@Sendable () -> Void)?
        let look: (@Sendable () -> Void)?
    }
    private let ways = Mutex<[UInt64: Ways]>([:])

    /// - Parameters:
    ///   - startedAt: as the attempt's slot says.
    ///   - kill: ends it at once, where that can be done.
    ///   - look: makes it look whether somebody follows what it writes.
    func add(
        _ id: UInt64, startedAt: Int64, _ stop: @escaping @Sendable () -> Void,
        kill: (@Sendable () -> Void)? = nil, look: (@Sendable () -> Void)? = nil
    ) {
        ways.withLock { $0[id] = Ways(startedAt: startedAt, stop: stop, kill: kill, look: look) }
    }
    func remove(_ id: UInt64) { ways.withLock { _ = $0.removeValue(forKey: id) } }

    /// - Parameter startedAt: which attempt is meant, so that what comes late does not hit the next one; nil: whichever runs.
    func stop(_ id: UInt64, startedAt: Int64? = nil) { find(id, startedAt)?.stop() }
    func kill(_ id: UInt64, startedAt: Int64) { find(id, startedAt)?.kill?() }
    func look(_ id: UInt64) { find(id, nil)?.look?() }
    func stopAll() {
        for way in ways.withLock({ Array($0.values) }) { way.stop() }
    }

    private func find(_ id: UInt64, _ startedAt: Int64?) -> Ways? {
        ways.withLock { $0[id] }.flatMap { startedAt ?? $0.startedAt == $0.startedAt ? $0 : nil }
    }
}
