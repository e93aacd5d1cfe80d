import CYardsticks
import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What limits cost that are on and not reached, and what a full key costs the others.
extension Family {
    static let limits = Family(name: "limits") { setup in
        let jobs = setup.count(5_000_000, quick: 300_000)
        var plain: [Yardsticks.Loop] = []
        var limited: [Yardsticks.Loop] = []
        var keyed: [Yardsticks.Loop] = []
        for _ in 0..<setup.rounds {
            plain.append(try await noops(setup, PlainNoop.self, jobs))
            limited.append(try await noops(setup, LimitedNoop.self, jobs))
            keyed.append(try await noops(setup, KeyedNoop.self, jobs, key: "one of many"))
        }
        let without = Yardstick("without limits", plain.fastest.jobsPerSecond)
        let many = setup.count(10_000_000, quick: 500_000)
        let behind = try await behindFullKey(setup, many)
        return [
            Row(
                name: "end to end, concurrency and rate of the type on, not reached",
                figure: limited.fastest.jobsPerSecond, yardstick: without,
                target: .timesYardstickAtLeast(0.85)),
            Row(
                name: "the same, CPU a job over all threads", figure: limited.fastest.cpuPerJob,
                yardstick: Yardstick("without limits", plain.fastest.cpuPerJob)),
            Row(
                name: "end to end, concurrency for each key on, not reached",
                figure: keyed.fastest.jobsPerSecond, yardstick: without),
            Row(
                name: "one job behind \(many.formatted()) of a full key, from the runner's start",
                figure: behind),
        ]
    }

    private static func noops<J: CountedNoop>(
        _ setup: Setup, _ type: J.Type, _ jobs: Int, key: String? = nil
    ) async throws -> Yardsticks.Loop {
        try await setup.withPath("limits") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let runner = try JobRunner(store, jobs: [J.self])
            let (loop, _) = try await Yardsticks.Loop.measure(jobs: jobs) {
                try await runner.run {
                    _ = try await Enqueuers.run(jobs) { numbers in
                        try await store.enqueue(
                            J.self, count: numbers.count,
                            options: EnqueueOptions(limitKey: key)
                        ) { index, bytes in Noop.write(numbers.lowerBound + index, to: &bytes) }
                    }
                }
            }
            guard try store.counts().succeeded == jobs else { throw WrongResult(job: 0) }
            return loop
        }
    }

    private static func behindFullKey(_ setup: Setup, _ jobs: Int) async throws -> Figure {
        try await setup.withPath("limits") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            try await store.enqueue(
                HeldNoop.self, count: jobs, options: EnqueueOptions(limitKey: "full")
            ) { _, bytes in bytes.append(littleEndian: UInt8(1)) }
            let free = try await store.enqueue(
                HeldNoop.self, payload: [0], options: EnqueueOptions(limitKey: "free"))
            let runner = try JobRunner(store, jobs: [HeldNoop.self])
            let start = now_nanoseconds()
            async let running: Void = runner.run()
            _ = try await free.result
            let end = now_nanoseconds()
            runner.stop()
            HeldNoop.isFree.withLock { $0 = true }
            try await running
            return Figure(Double(end - start) * 1e-6, .milliseconds)
        }
    }
}

private protocol CountedNoop: RawJob {}

extension CountedNoop {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        try Noop.run(payload, result: &result, context: context)
    }
}

private enum PlainNoop: CountedNoop {}

private enum LimitedNoop: CountedNoop {
    static let limits: JobLimits? = JobLimits(
        concurrency: 1_000, rate: RateLimit(1_000_000_000, per: .seconds(1)))
}

private enum KeyedNoop: CountedNoop {
    static let limits: JobLimits? = JobLimits(concurrencyPerKey: 1_000)
}

/// Keeps its key full until the one job of the other key has run.
private enum HeldNoop: RawJob {
    static let jobName = "HeldByKey"
    static let limits: JobLimits? = JobLimits(concurrencyPerKey: 1)
    static let isFree = Mutex(false)

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        guard payload.unsafeLoad(as: UInt8.self) == 1 else { return }
        while !isFree.withLock({ $0 }) { sched_yield() }
    }
}
