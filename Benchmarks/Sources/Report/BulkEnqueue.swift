import Petiole

/// Enqueue by itself, in bulk, nothing running.
extension Family {
    static let bulkEnqueue = Family(name: "bulk-enqueue") { setup in
        let jobs = setup.count(10_000_000, quick: 500_000)
        var bytes: [Yardsticks.Loop] = []
        var ours: [Yardsticks.Loop] = []
        for _ in 0..<setup.rounds {
            for _ in 0..<setup.successive {
                bytes.append(
                    try Yardsticks.byteLoop(
                        setup, jobs: jobs, bytesPerJob: Noop.payloadBytes + Noop.resultBytes))
            }
            for _ in 0..<setup.successive {
                ours.append(try await enqueue(jobs, setup))
            }
        }
        return [
            Row(
                name: "bulk enqueue, durable", figure: ours.fastest.jobsPerSecond,
                yardstick: Yardstick("byte loop in C", bytes.fastest.jobsPerSecond),
                target: .timesYardstickAtLeast(0.4)),
            Row(
                name: "bulk enqueue, CPU a job over all threads",
                figure: ours.fastest.cpuPerJob),
        ]
    }

    private static func enqueue(_ jobs: Int, _ setup: Setup) async throws -> Yardsticks.Loop {
        try await setup.withPath("bulk") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            return try await Yardsticks.Loop.measure(jobs: jobs) {
                try await Noop.enqueue(jobs, in: store)
            }.0
        }
    }
}
