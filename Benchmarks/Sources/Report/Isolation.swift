import CYardsticks
import Petiole

/// Jobs that do nothing, in child processes: what the way there and back costs, and what a child does.
extension Family {
    static let isolation = Family(name: "isolation") { setup in
        let count = setup.count(20_000, quick: 2_000)
        let starts = setup.count(200, quick: 20)
        var warm: [UInt64] = []
        var fresh: [UInt64] = []
        var socket: [Latencies] = []
        var program: [Latencies] = []
        for _ in 0..<setup.rounds {
            socket.append(try Yardsticks.processRoundTrip(count: count))
            warm.append(try await nanosecondsPerJob(IsolatedNoop.self, count, setup))
            program.append(
                Latencies(
                    nanoseconds: try (0..<starts).map { _ in try Yardsticks.run("/usr/bin/true") }))
            fresh.append(try await nanosecondsPerJob(IsolatedOnce.self, starts, setup))
        }
        return [
            Row(
                name: "isolated job that does nothing, warm, one after the other",
                figure: Figure(Double(warm.min()!) / 1_000, .microseconds),
                yardstick: Yardstick("socket to a process and back, p50", socket.least(50)),
                target: .yardstickPlus(20)),
            Row(
                name: "isolated job that does nothing, each in a child of its own",
                figure: Figure(Double(fresh.min()!) / 1_000_000, .milliseconds),
                yardstick: Yardstick(
                    "/usr/bin/true, p50",
                    Figure(program.least(50).value / 1_000, .milliseconds))),
        ]
    }

    /// From the first start to the last end, on one thread with one child at a time.
    private static func nanosecondsPerJob(
        _ type: (some RawJob).Type, _ count: Int, _ setup: Setup
    ) async throws -> UInt64 {
        try await setup.withPath("isolation") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            var options = JobRunner.Options()
            options.workers = 1
            let runner = try JobRunner(store, jobs: [type], options: options)
            return try await runner.run {
                // The first child is started, and the type is measured.
                let first = try await store.enqueue(
                    type, payloads: Array(repeating: [1], count: count / 10))
                for job in first { _ = try await job.result }
                let jobs = try await store.enqueue(
                    type, payloads: Array(repeating: [1], count: count))
                let start = now_nanoseconds()
                let result = try await jobs[count - 1].result
                let nanoseconds = now_nanoseconds() - start
                guard result.count == 8 else { throw WrongResult(job: UInt64(count)) }
                return nanoseconds / UInt64(count)
            }
        }
    }
}

/// Gives its id.
enum IsolatedNoop: RawJob {
    static let isolation = Isolation.process

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: context.id.rawValue)
    }
}

/// The same, in a child that serves no other.
enum IsolatedOnce: RawJob {
    static let isolation = Isolation.process(maxJobs: 1)

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: context.id.rawValue)
    }
}
