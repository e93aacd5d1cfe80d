import ArgumentParser
import Petiole

/// A queue that is named, and is to be there: what is typed otherwise is a slip.
enum KnownQueue {
    /// For shells that complete a word: the names of the store that is found from here. Nothing when there is none, or it cannot
    /// be read: the command itself says why.
    static let completion = CompletionKind.custom { _, _, _ in
        // Nothing is completed then, as said above.
        guard let path = try? StoreLocation.path(given: nil) else { return [] }
        var options = StoreOptions()
        options.createsStore = false
        // Likewise.
        let names = try? JobStore(at: path, options: options).queues().map(\.name)
        return names ?? []
    }

    static func check(_ name: String, _ store: JobStore) throws {
        guard try store.queues().contains(where: { $0.name == name }) else {
            throw Failure(
                """
                there is no queue "\(visible(name))"
                see which there are with: petiole status
                """, status: 66)
        }
    }
}
