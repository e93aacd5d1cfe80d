import CYardsticks
import Petiole

/// From the first enqueue to the last durable outcome, enqueue and run overlapping.
extension Family {
    static let endToEnd = Family(name: "end-to-end") { setup in
        let jobs = setup.count(10_000_000, quick: 500_000)
        var records: [Yardsticks.Loop] = []
        var bytes: [Yardsticks.Loop] = []
        var ours: [Yardsticks.Loop] = []
        for _ in 0..<setup.rounds {
            for _ in 0..<setup.successive {
                records.append(
                    try Yardsticks.recordLoop(
                        setup, jobs: jobs, payload: Noop.payloadBytes, result: Noop.resultBytes))
            }
            for _ in 0..<setup.successive {
                ours.append(try await noops(setup, jobs))
            }
            for _ in 0..<setup.successive {
                bytes.append(
                    try Yardsticks.byteLoop(
                        setup, jobs: jobs, bytesPerJob: Noop.payloadBytes + Noop.resultBytes))
            }
        }
        let record = Yardstick("record loop in C", records.fastest.jobsPerSecond)
        let byte = Yardstick("byte loop in C", bytes.fastest.jobsPerSecond)
        return [
            Row(
                name: "end to end, durable, no-op raw job", figure: ours.fastest.jobsPerSecond,
                yardstick: record, target: .timesYardstickAtLeast(1)),
            Row(
                name: "the same, beside the disk alone", figure: ours.fastest.jobsPerSecond,
                yardstick: byte),
            Row(
                name: "the same, CPU a job over all threads", figure: ours.fastest.cpuPerJob,
                yardstick: Yardstick("record loop in C", records.fastest.cpuPerJob),
                target: .atMost(Figure(500, .nanoseconds))),
        ]
    }

    private static func noops(_ setup: Setup, _ jobs: Int) async throws -> Yardsticks.Loop {
        try await setup.withPath("end-to-end") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let runner = try JobRunner(store, jobs: [Noop.self])
            let (loop, batches) = try await Yardsticks.Loop.measure(jobs: jobs) {
                try await runner.run { try await Noop.enqueue(jobs, in: store) }
            }
            try Noop.check(batches, in: store)
            return loop
        }
    }
}

extension Yardsticks.Loop {
    /// Times `body` to its end, and counts the processor time of all threads meanwhile.
    static func measure<Value: Sendable>(
        jobs: Int, _ body: () async throws -> Value
    ) async throws -> (Yardsticks.Loop, Value) {
        let cpu = cpu_seconds()
        let start = now_nanoseconds()
        let value = try await body()
        let seconds = Double(now_nanoseconds() - start) * 1e-9
        let loop = Yardsticks.Loop(
            seconds: seconds, cpuSeconds: cpu_seconds() - cpu, jobs: jobs)
        return (loop, value)
    }
}

extension [Yardsticks.Loop] {
    /// The round with the highest rate.
    var fastest: Yardsticks.Loop {
        self.max { $0.jobsPerSecond.value < $1.jobsPerSecond.value }!
    }
}
