import CPetiole
import PetioleStorage
import Synchronization

/// Jobs that others have replaced and that may be claimed: marked as ones to be cancelled, and to be ended behind the commit of
/// the mark. Whoever meets one ends it too; in a paused queue nobody does. See `UniqueKeys`.
final class ReplacedJobs: Sendable {
    private let state = Mutex<(ids: [UInt64], isWorking: Bool)>(([], false))
    /// So many are ended in one transaction.
    private static let limit = 10_000

    /// Ends one soon, on a thread that is there as long as there are some. Never waits.
    func add(_ id: UInt64, _ open: OpenStore) {
        let begins = state.withLock { state in
            state.ids.append(id)
            defer { state.isWorking = true }
            return !state.isWorking
        }
        guard begins else { return }
        OSThread.start(named: "petiole-replaced") { [self] in
            while true {
                let ids = state.withLock { state in
                    defer { state.ids = [] }
                    state.isWorking = !state.ids.isEmpty
                    return state.ids
                }
                if ids.isEmpty { return }
                Self.end(ids, open)
            }
        }
    }

    /// Ends them, for a thread that waits: those that have not started.
    static func end(_ ids: [UInt64], _ open: OpenStore) {
        petiole_fence()
        let running = open.slots.jobs()
        let rest = ids.filter { !running.contains($0) }
        for start in stride(from: 0, to: rest.count, by: limit) {
            // Those of them that are left are ended by whoever meets them.
            try? end(rest[start..<min(rest.count, start + limit)], open)
        }
    }

    private static func end(_ ids: ArraySlice<UInt64>, _ open: OpenStore) throws(StoreError) {
        let tables = open.tables
        let queues = try open.performBlocking {
            (transaction, _) throws(StorageError) -> Set<UInt32> in
            var queues: Set<UInt32> = []
            for id in ids {
                if let active = try Lookup.active(id, transaction, tables) {
                    queues.insert(active.queue)
                }
            }
            return queues
        }
        // What has left its slot by now is recorded then.
        let answered = queues.filter { open.waitForWhatEnded(of: $0) }
        try open.performBlocking { (transaction, state) throws(StorageError) in
            for id in ids {
                guard let active = try Lookup.active(id, transaction, tables),
                    active.isCancelRequested, answered.contains(active.queue)
                else { continue }
                if active.state == .ready, active.position != 0 {
                    try transaction.delete(
                        tables.lanes,
                        RecordKey.lane(active.queue, active.priority, active.position))
                }
                try OutcomeRecording.cancel(id, active, tables, &transaction, &state)
            }
        }
    }
}
