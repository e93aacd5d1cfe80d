import CYardsticks
import Petiole

/// How long a caller waits until what it enqueued is on the disk: alone, one of 64, or not at all.
extension Family {
    static let enqueueLatency = Family(name: "enqueue-latency") { setup in
        try await lone(setup) + callers(setup) + [buffered(setup)]
    }

    /// One durable enqueue at a time, nothing else going on.
    static func loneEnqueues(_ count: Int, in store: JobStore) async throws -> Latencies {
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        let payload = Noop.payload(0)
        for _ in 0..<count {
            let start = now_nanoseconds()
            try await store.enqueue(Noop.self, payload: payload)
            samples.append(now_nanoseconds() - start)
        }
        return Latencies(nanoseconds: samples)
    }

    private static func lone(_ setup: Setup) async throws -> [Row] {
        let count = setup.count(3_000, quick: 500)
        var raw: [Latencies] = []
        var ours: [Latencies] = []
        for _ in 0..<setup.rounds {
            raw.append(
                try Yardsticks.commitLatency(setup, count: count, payload: Noop.payloadBytes))
            ours.append(
                try await setup.withPath("lone") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    return try await loneEnqueues(count, in: store)
                })
        }
        return [50.0, 99.0].map { percent in
            Row(
                name: "one durable enqueue, idle, p\(Int(percent))",
                figure: ours.least(percent),
                yardstick: Yardstick("one LMDB commit with fsync", raw.least(percent)),
                target: percent == 50 ? .timesYardstickAtMost(1.2) : nil)
        }
    }

    private static func callers(_ setup: Setup) async throws -> [Row] {
        let callers = 64
        let rounds = setup.count(2_000, quick: 200)
        var group: [(loop: Yardsticks.Loop, latencies: Latencies)] = []
        var ours: [(loop: Yardsticks.Loop, latencies: Latencies)] = []
        for _ in 0..<setup.rounds {
            group.append(
                try Yardsticks.groupCommit(
                    setup, callers: callers, rounds: rounds, payload: Noop.payloadBytes))
            ours.append(
                try await setup.withPath("callers") { path in
                    try await concurrently(callers, rounds, path)
                })
        }
        let name = "64 threads, group commit in C"
        return [
            Row(
                name: "64 concurrent callers of durable enqueue",
                figure: ours.map(\.loop).fastest.jobsPerSecond,
                yardstick: Yardstick(name, group.map(\.loop).fastest.jobsPerSecond),
                target: .timesYardstickAtLeast(0.9))
        ]
            + [50.0, 99.0].map { percent in
                Row(
                    name: "the same, p\(Int(percent))",
                    figure: ours.map(\.latencies).least(percent),
                    yardstick: Yardstick(name, group.map(\.latencies).least(percent)),
                    target: percent == 99 ? .timesYardstickAtMost(1.2) : nil)
            }
    }

    private static func concurrently(
        _ callers: Int, _ rounds: Int, _ path: String
    ) async throws -> (loop: Yardsticks.Loop, latencies: Latencies) {
        let store = try JobStore(at: path)
        defer { store.close() }
        let (loop, samples) = try await Yardsticks.Loop.measure(jobs: callers * rounds) {
            try await withThrowingTaskGroup(of: [UInt64].self) { group in
                for _ in 0..<callers {
                    group.addTask {
                        var samples: [UInt64] = []
                        samples.reserveCapacity(rounds)
                        let payload = Noop.payload(0)
                        for _ in 0..<rounds {
                            let start = now_nanoseconds()
                            try await store.enqueue(Noop.self, payload: payload)
                            samples.append(now_nanoseconds() - start)
                        }
                        return samples
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
        return (loop, Latencies(nanoseconds: samples))
    }

    /// Bursts that the buffer holds, so that the time is the hand-over's and not the disk's.
    private static func buffered(_ setup: Setup) async throws -> Row {
        let burst = 4_096
        var samples: [UInt64] = []
        try await setup.withPath("buffered") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let payload = Noop.payload(0)
            for _ in 0..<setup.count(40, quick: 10) {
                for _ in 0..<burst {
                    let start = now_nanoseconds()
                    try store.enqueue(Noop.self, payload: payload, durability: .buffered)
                    samples.append(now_nanoseconds() - start)
                }
                try await store.flush()
            }
        }
        return Row(
            name: "buffered enqueue, p50",
            figure: Latencies(nanoseconds: samples).percentile(50),
            target: .atMost(Figure(1, .microseconds)))
    }
}
