import CPetiole

/// Leaves others their turn at the one write at a time: while somebody else writes too, whoever deletes a great many rests
/// after each transaction as long as it took.
struct DeletionPace {
    private let open: OpenStore
    private var begun: Int64
    private var commit: Int

    init(_ open: OpenStore) {
        self.open = open
        begun = petiole_steady_time()
        commit = open.environment.usage.lastCommit
    }

    /// A part is done, in so many commits.
    mutating func rest(after commits: Int) async {
        let now = petiole_steady_time()
        if open.environment.usage.lastCommit > commit + commits {
            // A task that is cancelled goes on without a rest: nobody waits for what it deletes.
            try? await Task.sleep(for: .nanoseconds(min(now - begun, Self.longest)))
        }
        begun = petiole_steady_time()
        commit = open.environment.usage.lastCommit
    }

    /// A second: a transaction that had to wait that long for its turn needs no more.
    private static let longest: Int64 = 1_000_000_000
}
