import CPetiole

/// Leaves others their turn at the one write at a time, and at the processors: while somebody else accepts or runs jobs,
/// whoever deletes a great many rests after each part half as long again as it took.
struct DeletionPace {
    private let store: JobStore
    private var begun: Int64
    private var seen: Int

    init(_ store: JobStore) {
        self.store = store
        begun = petiole_steady_time()
        seen = Self.activity(store)
    }

    /// A part is done.
    mutating func rest() async {
        let now = petiole_steady_time()
        let activity = Self.activity(store)
        if activity != seen {
            // A task that is cancelled goes on without a rest: nobody waits for what it deletes.
            try? await Task.sleep(for: .nanoseconds(min((now - begun) / 2 * 3, Self.longest)))
        }
        seen = Self.activity(store)
        begun = petiole_steady_time()
    }

    /// What deleting does not change: jobs accepted, and attempts that came to something. Commits would not tell, since what
    /// is deleted goes with those of others.
    private static func activity(_ store: JobStore) -> Int {
        // Where counts cannot be read there is no rest, and the deletion says what is wrong.
        guard let counts = try? store.counts() else { return 0 }
        return counts.accepted &+ counts.succeeded &+ counts.failed &+ counts.retries
    }

    /// A second: a part that had to wait that long for its turn needs no more.
    private static let longest: Int64 = 1_000_000_000
}
