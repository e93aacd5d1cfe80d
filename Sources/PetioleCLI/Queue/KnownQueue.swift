import Petiole

/// A queue that is named, and is to be there: what is typed otherwise is a slip.
enum KnownQueue {
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
