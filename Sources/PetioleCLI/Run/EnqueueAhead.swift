import Petiole

/// Enqueues the commands of a run chunk by chunk: while one is written to the disk the next is made. They are accepted in
/// the order in which they are given.
struct EnqueueAhead {
    private let store: JobStore
    private let options: EnqueueOptions
    /// Told of the jobs of each chunk, in order.
    private let accepted: ([ClosedRange<UInt64>]) -> Void
    private var onItsWay: Task<[ClosedRange<UInt64>], any Error>?

    init(
        _ store: JobStore, _ options: EnqueueOptions,
        accepted: @escaping ([ClosedRange<UInt64>]) -> Void
    ) {
        self.store = store
        self.options = options
        self.accepted = accepted
    }

    /// Hands a chunk over when the one before it is accepted.
    mutating func add(_ requests: [JobStore.CommandRequest]) async throws {
        try await settle()
        if requests.isEmpty { return }
        let (store, options) = (store, options)
        onItsWay = Task { try await store.enqueue(commands: requests, options: options) }
    }

    /// Waits until all that was handed over is accepted.
    mutating func settle() async throws {
        guard let task = onItsWay else { return }
        onItsWay = nil
        accepted(
            try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            })
    }
}
