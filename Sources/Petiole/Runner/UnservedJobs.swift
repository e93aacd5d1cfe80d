import Logging
import PetioleStorage
import Synchronization

/// Says in the log, once each, what jobs nobody will run as things are: queues without an owner, and names that the runner of their
/// queue does not know.
final class UnservedJobs: Sendable {
    private struct State {
        var queues: Set<String> = []
        var names: Set<[UInt32]> = []
    }
    private let store: JobStore
    private let logger: Logger
    private let state = Mutex(State())

    init(_ store: JobStore, _ logger: Logger) {
        self.store = store
        self.logger = logger
    }

    /// A job of this name is parked.
    func noteUnknown(_ name: UInt32, _ queue: OwnedQueue) {
        guard state.withLock({ $0.names.insert([queue.id, name]).inserted }) else { return }
        // What cannot be read is said without its name.
        let jobName = (try? store.jobName(name)) ?? "?"
        logger.warning(
            "this runner knows no job of a name in its queue; they are parked",
            metadata: ["job": "\(jobName)", "queue": "\(queue.name)"])
    }

    /// Looks for queues in which jobs are ready and that no process runs. A queue is named again when it was run meanwhile.
    /// Cost: O(queues), and a system call for each that has jobs to run.
    func look() {
        // What cannot be read now is looked at the next time.
        guard let unserved = try? store.unservedQueues() else { return }
        let new = state.withLock { state in
            defer { state.queues = Set(unserved) }
            return unserved.filter { !state.queues.contains($0) }
        }
        for queue in new {
            logger.warning(
                "jobs are ready in a queue that no process runs", metadata: ["queue": "\(queue)"])
        }
    }
}

extension JobStore {
    /// Queues in which jobs are ready, or waiting for their time, and that no process runs, by name.
    func unservedQueues() throws(StoreError) -> [String] {
        let open = open
        let rows = try queueRows()
        return try open.read { (reader) throws(StorageError) in
            var names: [String] = []
            for (name, record) in rows {
                guard
                    let bytes = try reader.value(open.tables.meta, RecordKey.counters(record.id))
                else { continue }
                let counters = try formatted { () throws(FormatError) in try QueueCounters(bytes) }
                guard counters.unfinished > counters.parked,
                    open.locks.holder(of: StoreFormat.queueLock(record.id)) == nil
                else { continue }
                names.append(name)
            }
            return names
        }
    }

    /// Names of jobs that are parked in a queue since no runner of it knows them, by number of the name. Cost: O(names).
    public func unknownNames(queue: String) throws(StoreError) -> [String] {
        let open = open
        let numbers = try open.read { (reader) throws(StorageError) -> [UInt32] in
            let row = try withBytes(RecordKey.bytes(queue)) { (key) throws(StorageError) in
                try reader.value(open.tables.queues, key)
            }
            guard let row else { return [] }
            let id = try formatted { () throws(FormatError) in try QueueRecord(row).id }
            var numbers: [UInt32] = []
            let cursor = try reader.cursor(open.tables.parked)
            var entry = try cursor.ceiling(RecordKey.parked(.unknownName, id, 0, 0))
            while let (key, _) = entry, key.count == 21,
                key.bigEndian(at: 0, as: UInt32.self) == id, key[4] == UInt8(ascii: "n")
            {
                let name = UInt32(truncatingIfNeeded: key.bigEndian(at: 5, as: UInt64.self))
                numbers.append(name)
                // On to the next name, whatever the number of jobs.
                entry = try cursor.ceiling(RecordKey.parked(.unknownName, id, name + 1, 0))
            }
            return numbers
        }
        var names: [String] = []
        for number in numbers { names.append(try jobName(number) ?? "?") }
        return names
    }
}
