import CYardsticks
import Petiole
import Synchronization

/// Jobs that do nothing, in a child process that is there already: what the way there and back costs.
extension Family {
    static let isolation = Family(name: "isolation") { setup in
        let count = setup.count(20_000, quick: 2_000)
        var isolated: [Double] = []
        var bare: [Latencies] = []
        for _ in 0..<setup.rounds {
            bare.append(try Yardsticks.processRoundTrip(count: count))
            isolated.append(try await perJob(setup, count))
        }
        return [
            Row(
                name: "isolated job that does nothing, warm, one after the other",
                figure: Figure(isolated.min()! / 1_000, .microseconds),
                yardstick: Yardstick("socket to a process and back, p50", bare.least(50)),
                target: .yardstickPlus(20))
        ]
    }

    /// Nanoseconds a job, from the first start to the last end, on one thread with one child.
    private static func perJob(_ setup: Setup, _ count: Int) async throws -> Double {
        try await setup.withPath("isolation") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            var options = JobRunner.Options()
            options.workers = 1
            let runner = try JobRunner(store, jobs: [IsolatedNoop.self], options: options)
            return try await runner.run {
                // The child is started, and the type is measured.
                let first = try await store.enqueue(
                    IsolatedNoop.self, payloads: Array(repeating: [1], count: 200))
                for job in first { _ = try await job.result }
                let jobs = try await store.enqueue(
                    IsolatedNoop.self, payloads: Array(repeating: [1], count: count))
                let start = now_nanoseconds()
                let ends = try await [jobs[count - 1].result, jobs[0].result]
                let nanoseconds = now_nanoseconds() - start
                guard ends.allSatisfy({ $0.count == 8 }) else { throw WrongResult(job: 1) }
                return Double(nanoseconds) / Double(count)
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
