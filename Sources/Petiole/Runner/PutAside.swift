import PetioleStorage

/// Puts jobs aside that a worker meets and that are not to run here: nobody knows their name, or their type is paused. Belongs
/// to the worker's thread.
final class PutAside {
    private let core: RunnerCore
    private let gatherer: OutcomeGatherer
    private var pausedNames: Set<UInt32> = []
    /// Jobs that were put aside since this thread last waited for the writer.
    private var count = 0
    /// A worker puts jobs aside faster than the writer writes it down: it waits after so many, so that millions of them do not
    /// lie between the two.
    private static let limit = 1_000

    init(_ core: RunnerCore, _ gatherer: OutcomeGatherer) {
        self.core = core
        self.gatherer = gatherer
    }

    /// Looks which job types are paused in a queue.
    /// - Returns: what the runner knows without those; nil when nothing has changed.
    func look(
        at queue: UInt32, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> JobRegistry? {
        let names = try PausedTypes.names(queue: queue, reader, tables)
        if names == pausedNames { return nil }
        pausedNames = names
        return core.registry.without(names)
    }

    /// - Returns: whether the writer is to be waited for before the next, by ``waitForWriter()``.
    func put(_ id: UInt64, name: UInt32, in queue: OwnedQueue) -> Bool {
        if pausedNames.contains(name) {
            gatherer.transition(id, .pause(name: name))
        } else {
            let limit = min(max(0, core.parkLimit.components.seconds), StoreOptions.longest)
            let deadline = StoreTime(core.store.clock.reading, after: limit * 1_000_000)
            gatherer.transition(id, .park(name: name, deadline: deadline))
            core.unserved.noteUnknown(name, queue)
        }
        count += 1
        return count >= Self.limit
    }

    /// Blocks the thread until what was put aside is recorded. The writer waits for nobody. No view may be open.
    func waitForWriter() {
        count = 0
        gatherer.flush()
        do throws(StoreError) {
            try core.store.performBlocking { (_, _) throws(StorageError) in }
        } catch {
            core.fail(.store(error))
        }
    }
}
