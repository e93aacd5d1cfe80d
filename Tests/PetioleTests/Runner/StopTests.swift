import Testing

@testable import Petiole

@Suite("Stopping and draining", .timeLimit(.minutes(10))) struct StopTests {
    @Test("a drain waits for retries that are to come")
    func drainsRetries() async throws {
        try await withStore { store in
            let attempts = Trace<Int>()
            let policy = RetryPolicy(maxAttempts: 3, backoff: .exponential(.milliseconds(1)))
            let flaky = JobClosure("flaky", retryPolicy: policy) { (_: Int, context) -> Int in
                attempts.add(context.attempt)
                if context.attempt < 3 { throw Refusal() }
                return 0
            }
            try await store.numbers("flaky", [1])
            try await makeRunner(store, [flaky]).run {}
            #expect(attempts.items == [1, 2, 3])
            #expect(try store.counts().succeeded == 1)
        }
    }

    @Test("a drain waits for what jobs enqueue")
    func drainsSpawned() async throws {
        try await withStore { store in
            struct Spawner: AsyncJob {
                var depth: Int
                func run(_ context: JobContext) async throws -> NoResult {
                    if depth > 0 {
                        try await context.store.enqueue(Spawner(depth: depth - 1))
                        try await context.store.enqueue(Spawner(depth: depth - 1))
                    }
                    return NoResult()
                }
            }
            try await store.enqueue(Spawner(depth: 6))
            try await makeRunner(store, jobs: [Spawner.self], workers: 2).run {}
            #expect(try store.counts().succeeded == 127)
        }
    }

    @Test("what the body throws ends the run, and running jobs end first")
    func bodyThrows() async throws {
        try await withStore { store in
            let started = Gate()
            let goOn = Gate()
            let slow = JobClosure("slow") { (number: Int, _) -> Int in
                started.open()
                goOn.block()
                return number
            }
            let jobs = try await store.numbers("slow", [1, 2])
            await #expect(throws: Refusal.self) {
                try await makeRunner(store, [slow]).run {
                    await started.wait()
                    goOn.open()
                    throw Refusal()
                }
            }
            #expect(try store.outcome(of: jobs[0].id)?.kind == .succeeded)
        }
    }

    @Test("a runner that is stopped ends what runs, and leaves the rest for the next")
    func graceful() async throws {
        try await withStore { store in
            let started = Gate()
            let goOn = Gate()
            let ran = Trace<Int>()
            let slow = JobClosure("slow") { (number: Int, _) -> Int in
                ran.add(number)
                started.open()
                goOn.block()
                return number
            }
            let jobs = try await store.numbers("slow", Array(0..<10))
            let runner = try makeRunner(store, [slow])
            async let run: Void = runner.run()
            await started.wait()
            runner.stop()
            goOn.open()
            try await run
            let first = ran.items.count
            #expect(first < 10)
            #expect(try store.counts().succeeded == first)
            #expect(try store.counts().ready == 10 - first)
            try await makeRunner(store, [slow]).run {
                for (number, job) in jobs.enumerated() { try await expectEqual(job.result, number) }
            }
            // Each once: none was running when it was left.
            #expect(ran.items.sorted() == Array(0..<10))
        }
    }

    @Test("a second stop asks running jobs to stop, and they run again with the next runner")
    func stopNow() async throws {
        try await withStore { store in
            let started = Gate()
            let attempts = Trace<Int>()
            let slow = JobClosure("slow") { (number: Int, context) -> Int in
                attempts.add(context.attempt)
                if attempts.items.count == 1 {
                    started.open()
                    while !context.isCancelled {}
                    throw CancellationError()
                }
                return number
            }
            let job = try await store.numbers("slow", [3])[0]
            let runner = try makeRunner(store, [slow])
            async let run: Void = runner.run()
            await started.wait()
            runner.stop()
            runner.stop()
            try await run
            #expect(try job.state == .ready)
            try await makeRunner(store, [slow]).run { try await expectEqual(job.result, 3) }
            // Nobody is to blame: it counts as the same attempt.
            #expect(attempts.items == [1, 1])
        }
    }

    @Test("a runner whose task is cancelled stops")
    func cancelledTask() async throws {
        try await withStore { store in
            let started = Gate()
            let echo = JobClosure("echo") { (number: Int, _) -> Int in
                started.open()
                return number
            }
            try await store.numbers("echo", [1])
            let runner = try makeRunner(store, [echo])
            let run = Task { try await runner.run() }
            await started.wait()
            run.cancel()
            try await run.value
            #expect(try store.queues().allSatisfy { $0.ownerPID == nil })
        }
    }
}
