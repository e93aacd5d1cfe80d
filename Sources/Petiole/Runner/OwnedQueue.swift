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

    /// Outcomes of an older epoch are refused.
    func noteFenced() { onFailure(.fenced(queue: name)) }

    /// Outcomes could not be recorded: nothing more may be run.
    func failed(_ error: StorageError) { onFailure(.store(StoreError(error, path: path))) }
}
