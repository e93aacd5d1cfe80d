/// How long a caller waits until what it enqueued is on the disk: alone, and one of 64.
extension Family {
    static let enqueueLatency = Family(name: "enqueue-latency") { setup in
        let commits = try Yardsticks.commitLatency(
            setup, count: setup.count(5_000, quick: 500), payload: 100)
        let group = try Yardsticks.groupCommit(
            setup, callers: 64, rounds: setup.count(3_000, quick: 200), payload: 100)
        return [
            Row(name: "one LMDB commit with fsync, p50", figure: commits.percentile(50)),
            Row(name: "64 callers, group commit in C", figure: group.loop.jobsPerSecond),
            Row(name: "64 callers, group commit in C, p50", figure: group.latencies.percentile(50)),
            Row(name: "64 callers, group commit in C, p99", figure: group.latencies.percentile(99)),
        ]
    }
}
