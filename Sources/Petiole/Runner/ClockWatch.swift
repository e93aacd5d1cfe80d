import PetioleStorage

/// Notices that the system's clock was set. Who sleeps until something is due sleeps by that clock, and would come late when it
/// is set back.
struct ClockWatch {
    private var lead: Int64
    /// A tenth of a second between two looks: it was set, and not only slewed.
    private static let tolerance: Int64 = 100_000

    init(_ store: OpenStore) { lead = store.clock.reading.lead }

    /// Looks whether the clock was set since the last look. Then the pools' sentinels ask anew how long to sleep, and a commit
    /// notes where the clocks stand.
    mutating func look(_ store: OpenStore) {
        let now = store.clock.reading.lead
        defer { lead = now }
        guard abs(now - lead) > Self.tolerance else { return }
        store.signals.work.ring()
        // Whatever becomes of it: the next commit notes it as well.
        store.writer.submit(
            OperationSubmission { (_, _) throws(StorageError) in
            } completion: { _ in
            })
    }
}
