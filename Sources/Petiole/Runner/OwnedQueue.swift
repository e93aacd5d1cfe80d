import PetioleStorage
import Synchronization

/// A queue that this process runs, in one epoch.
final class OwnedQueue: Sendable {
    let name: String
    let id: UInt32
    let epoch: UInt64
    private let onFailure: @Sendable (RunnerError) -> Void
    private let path: String

    init(
        name: String, id: UInt32, epoch: UInt64, path: String,
        onFailure: @escaping @Sendable (RunnerError) -> Void
    ) {
        self.name = name
        self.id = id
        self.epoch = epoch
        self.path = path
        self.onFailure = onFailure
    }

    /// Whether it is paused, in a view.
    func isPaused(_ reader: Reader, _ tables: StoreTables) throws(StorageError) -> Bool {
        let row = try withBytes(RecordKey.bytes(name)) { (key) throws(StorageError) in
            try reader.value(tables.queues, key)
        }
        guard let row else { return false }
        return try formatted { () throws(FormatError) in try QueueRecord(row).isPaused }
    }

    /// Outcomes of an older epoch are refused.
    func noteFenced() { onFailure(.fenced(queue: name)) }

    /// Outcomes could not be recorded: nothing more may be run.
    func failed(_ error: StorageError) { onFailure(.store(StoreError(error, path: path))) }
}
