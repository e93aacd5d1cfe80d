import CYardsticks
import Foundation
import Petiole

/// How long a caller waits until what it enqueued is on the disk: alone, one of 64, or not at all.
extension Family {
    static let enqueueLatency = Family(name: "enqueue-latency") { setup in
        try await lone(setup) + callers(setup) + [buffered(setup)]
    }

    /// One durable enqueue at a time, nothing else going on.
    static func loneEnqueues(_ count: Int, in store: JobStore) async throws -> Latencies {
        Latencies(nanoseconds: try await durable(count, in: store))
    }

    private static func lone(_ setup: Setup) async throws -> [Row] {
        let count = setup.count(3_000, quick: 500)
        var raw: [Latencies] = []
        var fromTask: [Latencies] = []
        var fromThread: [Latencies] = []
        for _ in 0..<setup.rounds {
            raw.append(
                try Yardsticks.commitLatency(setup, count: count, payload: Noop.payloadBytes))
            fromTask.append(
                try await setup.withPath("lone") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    return try await loneEnqueues(count, in: store)
                })
            fromThread.append(
                try await setup.withPath("lone-thread") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    return Latencies(
                        nanoseconds: try await onThreads(1) { try blocking(count, in: store) })
                })
        }
        return [("", fromTask), (", from a thread", fromThread)].flatMap { place, ours in
            [50.0, 99.0].map { percent in
                Row(
                    name: "one durable enqueue, idle\(place), p\(Int(percent))",
                    figure: ours.least(percent),
                    yardstick: Yardstick("one LMDB commit with fsync", raw.least(percent)),
                    target: percent == 50 ? .timesYardstickAtMost(1.2) : nil)
            }
        }
    }

    private static func callers(_ setup: Setup) async throws -> [Row] {
        let callers = 64
        let rounds = setup.count(2_000, quick: 200)
        var group: [(loop: Yardsticks.Loop, latencies: Latencies)] = []
        var tasks: [(loop: Yardsticks.Loop, latencies: Latencies)] = []
        var threads: [(loop: Yardsticks.Loop, latencies: Latencies)] = []
        for _ in 0..<setup.rounds {
            group.append(
                try Yardsticks.groupCommit(
                    setup, callers: callers, rounds: rounds, payload: Noop.payloadBytes))
            tasks.append(
                try await setup.withPath("callers") { path in
                    try await concurrently(callers, rounds, path) { store in
                        try await inTasks(callers) { try await durable(rounds, in: store) }
                    }
                })
            threads.append(
                try await setup.withPath("caller-threads") { path in
                    try await concurrently(callers, rounds, path) { store in
                        try await onThreads(callers) { try blocking(rounds, in: store) }
                    }
                })
        }
        let name = "64 threads, group commit in C"
        return [("callers", tasks), ("threads", threads)].flatMap { callers, ours in
            [
                Row(
                    name: "64 concurrent \(callers) of durable enqueue",
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
    }

    private static func concurrently(
        _ callers: Int, _ rounds: Int, _ path: String,
        _ body: (JobStore) async throws -> [UInt64]
    ) async throws -> (loop: Yardsticks.Loop, latencies: Latencies) {
        let store = try JobStore(at: path)
        defer { store.close() }
        let (loop, samples) = try await Yardsticks.Loop.measure(jobs: callers * rounds) {
            try await body(store)
        }
        return (loop, Latencies(nanoseconds: samples))
    }

    private static func inTasks(
        _ count: Int, _ body: @escaping @Sendable () async throws -> [UInt64]
    ) async throws -> [UInt64] {
        try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<count { group.addTask(operation: body) }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// Runs the body on so many threads of their own.
    private static func onThreads(
        _ count: Int, _ body: @escaping @Sendable () throws -> [UInt64]
    ) async throws -> [UInt64] {
        try await inTasks(count) {
            try await withUnsafeThrowingContinuation { continuation in
                Thread.detachNewThread {
                    continuation.resume(with: Result { try body() })
                }
            }
        }
    }

    private static func durable(_ rounds: Int, in store: JobStore) async throws -> [UInt64] {
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

    private static func blocking(_ rounds: Int, in store: JobStore) throws -> [UInt64] {
        var samples: [UInt64] = []
        samples.reserveCapacity(rounds)
        let payload = Noop.payload(0)
        for _ in 0..<rounds {
            let start = now_nanoseconds()
            try store.enqueueBlocking(Noop.self, payload: payload)
            samples.append(now_nanoseconds() - start)
        }
        return samples
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
