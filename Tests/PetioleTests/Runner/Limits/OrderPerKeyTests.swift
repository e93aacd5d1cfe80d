import Synchronization
import Testing

@testable import Petiole

private struct Step: Job {
    static let retryPolicy = RetryPolicy(maxAttempts: 5, backoff: .constant(.milliseconds(1)))
    static let limits: JobLimits? = JobLimits(isOrderedPerKey: true)
    static let trace = Trace<[Int]>()
    var key: Int
    var number: Int
    var fails: Int
    var limitKey: String? { "\(key)" }

    func run(_ context: JobContext) throws -> Int {
        Self.trace.add([key, number, context.attempt])
        if context.attempt <= fails { throw Refusal() }
        return number
    }
}

@Suite("Order per key", .serialized) struct OrderPerKeyTests {
    @Test(
        "jobs of one key run one after another, with all their attempts, and keys side by side",
        arguments: [1, 4])
    func order(workers: Int) async throws {
        try await withStore { store in
            let before = Step.trace.items.count
            let jobs = (0..<300).map { Step(key: $0 % 7, number: $0, fails: $0 % 5 == 0 ? 2 : 0) }
            let runner = try makeRunner(store, jobs: [Step.self], workers: workers)
            let handles = try await store.enqueue(contentsOf: jobs)
            try await runner.run {
                for handle in handles { _ = try await handle.result }
            }
            let trace = Step.trace.items[before...]
            for key in 0..<7 {
                let expected = jobs.filter { $0.key == key }.flatMap { job in
                    (1...job.fails + 1).map { [key, job.number, $0] }
                }
                #expect(trace.filter { $0[0] == key } == expected)
            }
        }
    }

    @Test(
        "a job that waits for its next attempt keeps those behind it waiting with the next runner too"
    )
    func nextRunner() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let ran = Trace<String>()
            let closure = { (name: String) in
                JobClosure(
                    "step",
                    retryPolicy: RetryPolicy(maxAttempts: 3, backoff: .constant(.seconds(3_600))),
                    limits: JobLimits(isOrderedPerKey: true)
                ) { (number: Int, context) -> Int in
                    ran.add("\(name) \(number).\(context.attempt)")
                    if number == 1, context.attempt == 1 { throw Refusal() }
                    return number
                }
            }
            let keyed = EnqueueOptions(limitKey: "k")
            let jobs = try await store.numbers("step", [1, 2, 3], options: keyed)
            let other = try await store.numbers(
                "step", [9], options: EnqueueOptions(limitKey: "other"))[0]
            let first = try makeRunner(store, [closure("first")])
            async let running: Void = first.run()
            try await expectEqual(other.result, 9)
            first.stop()
            try await running
            #expect(ran.items == ["first 1.1", "first 9.1"])

            let second = try makeRunner(store, [closure("second")])
            try await second.run {
                let late = try await store.numbers(
                    "step", [8], options: EnqueueOptions(limitKey: "late"))[0]
                try await expectEqual(late.result, 8)
                #expect(try jobs[1].state == .ready)
                clock.advance(.seconds(3_601), store)
                for job in jobs { _ = try await job.result }
            }
            #expect(ran.items[2...] == ["second 8.1", "second 1.2", "second 2.1", "second 3.1"])
        }
    }

    @Test("when a job that others wait for is cancelled, they go on")
    func cancelled() async throws {
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let failed = Gate()
            let step = JobClosure(
                "step",
                retryPolicy: RetryPolicy(maxAttempts: 3, backoff: .constant(.seconds(3_600))),
                limits: JobLimits(isOrderedPerKey: true)
            ) { (number: Int, context) -> Int in
                if number == 1 {
                    failed.open()
                    throw Refusal()
                }
                return number
            }
            let jobs = try await store.numbers(
                "step", [1, 2], options: EnqueueOptions(limitKey: "k"))
            let runner = try makeRunner(store, [step])
            try await runner.run {
                await failed.wait()
                while try jobs[0].state == .ready || jobs[0].state.isRunning { try await turn() }
                #expect(try jobs[1].state == .ready)
                try await expectEqual(store.cancel(jobs[0].id), .cancelled)
                try await expectEqual(jobs[1].result, 2)
            }
        }
    }

    @Test("a job whose effects were refused runs again before those behind it")
    func effects() async throws {
        try await withStore { store in
            let ran = Trace<Int>()
            let hasRead = Gate()
            let written = Gate()
            let step = JobClosure("step", limits: JobLimits(isOrderedPerKey: true)) {
                (number: Int, context) -> Int in
                ran.add(number)
                let table = try context.table("sums")
                let before = try table.value(for: "sum", as: Int.self) ?? 0
                if number == 1 {
                    hasRead.open()
                    written.block()
                }
                try table.put(value: before + number, for: "sum")
                return before + number
            }
            let write = JobClosure("write") { (number: Int, context) -> Int in
                try context.table("sums").put(value: number, for: "sum")
                return number
            }
            let jobs = try await store.numbers(
                "step", [1, 2], options: EnqueueOptions(limitKey: "k"))
            try await makeRunner(store, [step, write], workers: 2).run {
                await hasRead.wait()
                try await expectEqual(store.numbers("write", [100])[0].result, 100)
                written.open()
                try await expectEqual(jobs[0].result, 101)
                try await expectEqual(jobs[1].result, 103)
            }
            #expect(ran.items == [1, 1, 2])
        }
    }

    /// Writes so many megabytes.
    private struct Filling: BatchJob {
        static let batchWait = Duration.zero
        static let retryPolicy = RetryPolicy.never
        var megabytes: Int

        static func run(_ batch: [BatchItem<Filling>]) -> [Result<Int, any Error>] {
            batch.map { item in
                Result {
                    try item.context.table("t").put(
                        [UInt8](repeating: 1, count: item.job.megabytes << 20),
                        for: "\(item.context.id)")
                    return item.job.megabytes
                }
            }
        }
    }

    @Test(
        "when the effects of a job of a batch type are refused, those behind it at its key go on",
        .timeLimit(.minutes(10)))
    func refusedOfBatch() async throws {
        try await withStore(configure: { $0.byteLimit = 64 << 20 }) { store in
            try await store.setLimits(JobLimits(isOrderedPerKey: true), ofJob: "Filling")
            let keyed = EnqueueOptions(limitKey: "k")
            var jobs: [JobID] = []
            for megabytes in [30, 40, 0] {
                jobs.append(
                    try await store.enqueue(Filling(megabytes: megabytes), options: keyed).id)
            }
            try await makeRunner(store, jobs: [Filling.self]).run {}
            let kinds = try jobs.map { try store.outcome(of: $0)?.kind }
            #expect(kinds == [.succeeded, .failed, .succeeded])
        }
    }
}

extension JobState {
    var isRunning: Bool {
        if case .running = self { return true }
        return false
    }
}
