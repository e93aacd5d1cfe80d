import CPetiole
import PetioleStorage

/// Ends the jobs of a runner's queues that are marked to be dropped and have not started: see `Dropping` for the handshake.
/// The steward's, whom control wakes when jobs were marked.
enum DropSettling {
    /// So many at a time; the rest is done in the next turn.
    private static let limit = 10_000

    static func settle(_ core: RunnerCore) {
        do throws(StoreError) {
            while true {
                let marked = try marked(core)
                // What runs goes on, and its mark goes with its end.
                guard !notStarted(marked, core).isEmpty else { return }
                // The mark is committed, but whoever did it may not have moved control yet, and never will if he died.
                core.store.signals.control.ring()
                petiole_fence()
                let dropped = notStarted(marked, core)
                // What has left its slot a moment ago is recorded first: an operation behind it finds no mark.
                core.flushAll()
                try record(dropped, core)
                if marked.count < limit { return }
            }
        } catch {
            switch error {
            // Whoever meets them records them.
            case .full, .diskFull: return
            default: core.fail(.store(error))
            }
        }
    }

    private static func notStarted(_ marked: [UInt64], _ core: RunnerCore) -> [UInt64] {
        if marked.isEmpty { return [] }
        let running = core.store.slots.jobs()
        return marked.filter { !running.contains($0) }
    }

    private static func marked(_ core: RunnerCore) throws(StoreError) -> [UInt64] {
        let queues = core.claims.ownedQueues
        let tables = core.store.tables
        return try core.store.read { (reader) throws(StorageError) in
            var ids: [UInt64] = []
            for queue in queues {
                let cursor = try reader.cursor(tables.parked)
                var entry = try cursor.ceiling(RecordKey.dropping(queue.id, 0))
                while ids.count < limit, let (key, value) = entry, key.count == 13,
                    key[4] == UInt8(ascii: "d"),
                    key.bigEndian(at: 0, as: UInt32.self) == queue.id
                {
                    ids.append(value.littleEndian(at: 0))
                    entry = try cursor.next()
                }
            }
            return ids
        }
    }

    private static func record(_ ids: [UInt64], _ core: RunnerCore) throws(StoreError) {
        guard !ids.isEmpty else { return }
        let tables = core.store.tables
        try core.store.performBlocking { (transaction, state) throws(StorageError) in
            for id in ids {
                // Without its mark it has ended meanwhile.
                guard let active = try Lookup.active(id, transaction, tables), active.isDropped
                else { continue }
                let bytes = try ContentBytes.of(id, id + 1, transaction, tables)
                try Dropping.end(
                    DropSearch.Found(id: id, active: active, bytes: bytes), &transaction, &state)
            }
        }
    }
}
