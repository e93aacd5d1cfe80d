extension JobStore {
    /// A number that is another one after each commit, of any process, that changed how many jobs are where. To be read before
    /// looking.
    package var changeCount: UInt32 { open.signals.counted.value }

    /// Blocks the thread until that number is another one, so much time is over, or for no reason. Starts of jobs change
    /// nothing: nothing is written of them.
    package func waitForChange(since count: UInt32, atMost time: Duration) {
        let (seconds, attoseconds) = time.components
        let nanoseconds = min(seconds, 1_000_000) * 1_000_000_000 + attoseconds / 1_000_000_000
        open.signals.counted.wait(whileAt: count, for: nanoseconds)
    }

    /// Of the queues whose names are wanted the one that was used for the first time last.
    package func newestQueue(where isWanted: (String) -> Bool) throws(StoreError) -> String? {
        try queueRows().filter { isWanted($0.name) }.max { $0.record.id < $1.record.id }?.name
    }
}
