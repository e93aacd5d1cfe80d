import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Time limits", .timeLimit(.minutes(10))) struct TimeLimitTests {
    private static let soon = TimeLimit(soft: .milliseconds(20))

    /// Runs until it is asked to stop, in its first attempts; heeds that, or succeeds all the same.
    private struct Long: Job {
        static let retryPolicy = RetryPolicy(
            maxAttempts: 2, backoff: .constant(.milliseconds(1)))
        static let timeLimit: TimeLimit? = TimeLimitTests.soon
        var longAttempts: Int
        var heeds = true

        func run(_ context: JobContext) throws -> Int {
            if context.attempt <= longAttempts {
                while !context.isCancelled { sched_yield() }
                if heeds { try context.checkCancellation() }
            }
            return context.attempt
        }
    }

    private struct LongTask: AsyncJob {
        static let retryPolicy = RetryPolicy.never
        static let timeLimit: TimeLimit? = TimeLimitTests.soon

        func run(_ context: JobContext) async throws -> Int {
            // Ends with its task alone.
            try await Task.sleep(for: .seconds(3_600))
            return 1
        }
    }

    @Test("an attempt that is over its limit is asked to stop, has failed, and is tried again")
    func sync() async throws {
        try await withStore { store in
            let once = try await store.enqueue(Long(longAttempts: 1))
            let always = try await store.enqueue(Long(longAttempts: 9))
            let stubborn = try await store.enqueue(Long(longAttempts: 1, heeds: false))
            let task = try await store.enqueue(LongTask())
            let unlimited = try await store.numbers("echo", [1])[0]
            let echo = JobClosure("echo") { (number: Int, _) in number }
            try await makeRunner(store, [echo], jobs: [Long.self, LongTask.self]).run {}
            try await expectEqual(once.result, 2)
            let history = try store.history(of: once.id)
            #expect(history.map { $0.failure.type } == ["TimeLimitExceeded"])
            // One that has done its work all the same has done it.
            try await expectEqual(stubborn.result, 1)
            let dead = try #require(try store.outcome(of: always.id))
            #expect(dead.kind == .deadLetter && dead.attempt == 2)
            #expect(dead.failure?.message == "it ran for longer than 0.02 seconds and was stopped")
            #expect(try store.outcome(of: task.id)?.failure?.type == "TimeLimitExceeded")
            try await expectEqual(unlimited.result, 1)
        }
    }

    @Test("an enqueue has a limit of its own, and a cancel is a cancel with a limit as well")
    func perEnqueue() async throws {
        try await withStore { store in
            let begun = Gate()
            let wait = JobClosure("wait", retryPolicy: .never) { (_: Int, context) -> Int in
                begun.open()
                while !context.isCancelled { sched_yield() }
                try context.checkCancellation()
                return 1
            }
            let limited = try await store.numbers(
                "wait", [1], options: EnqueueOptions(timeLimit: Self.soon))[0]
            let runner = try makeRunner(store, [wait])
            try await runner.run {
                await #expect(throws: JobError.self) { try await limited.result }
                #expect(try store.outcome(of: limited.id)?.kind == .failed)
                let long = EnqueueOptions(timeLimit: TimeLimit(soft: .seconds(3_600)))
                let cancelled = try await store.numbers("wait", [2], options: long)[0]
                while case .ready = try cancelled.state { try await turn() }
                try await expectEqual(store.cancel(cancelled.id), .stopping)
                await #expect(throws: JobError.cancelled(cancelled.id)) {
                    try await cancelled.result
                }
                // In the slot that says that it was to stop, it runs once more.
                try await store.requeue(cancelled.id)
                while case .ready = try cancelled.state { try await turn() }
                guard case .running = try cancelled.state else {
                    Issue.record("it does not run")
                    return
                }
                try await store.cancel(cancelled.id)
            }
        }
    }

    @Test(
        "a command is asked to stop at its soft limit and ended at its hard one, and keeps its output"
    )
    func commands() async throws {
        try await withStore { store in
            func run(_ line: String, _ limit: TimeLimit) async throws -> UInt64 {
                var options = EnqueueOptions(timeLimit: limit)
                options.maxAttempts = 1
                return try await store.enqueue(
                    commands: [JobStore.CommandRequest(command: Command("sh", "-c", line))],
                    options: options)[0].lowerBound
            }
            // Longer than a shell on a busy machine needs to come to its trap.
            let polite = try await run(
                "trap 'echo asked; exit 3' TERM; echo begun; while :; do sleep 0.01; done",
                TimeLimit(soft: .seconds(5)))
            let deaf = try await run(
                "trap '' TERM; echo begun; while :; do sleep 0.01; done",
                TimeLimit(soft: .seconds(5), hard: .seconds(6)))
            let quick = try await run("echo done", TimeLimit(hard: .seconds(60)))
            let runner = try JobRunner(
                commandsOf: "default", in: store, retryPolicy: .never, options: JobRunner.Options())
            try await runner.run {}
            func outcome(_ id: UInt64) throws -> CommandOutcome {
                try #require(try store.commandOutcome(of: JobID(rawValue: id)))
            }
            #expect(try outcome(polite).kind == .failed)
            #expect(try outcome(polite).end?.output == .inline(Array("begun\nasked\n".utf8)))
            #expect(try outcome(deaf).kind == .failed)
            #expect(try outcome(deaf).end?.cause == .signalled(SIGKILL, coreDumped: false))
            #expect(try outcome(deaf).end?.output == .inline(Array("begun\n".utf8)))
            #expect(try outcome(quick).kind == .succeeded)
        }
    }

    @Test(
        "limits out of bounds, and hard ones for what runs on threads, are refused with the reason")
    func bounds() async throws {
        struct Hard: Job {
            static let timeLimit: TimeLimit? = TimeLimit(hard: .seconds(1))
            func run(_ context: JobContext) -> Int { 1 }
        }
        try await withStore { store in
            let error = #expect(throws: RunnerError.self) {
                _ = try makeRunner(store, jobs: [Hard.self])
            }
            #expect("\(error!)".contains("a thread cannot be ended from outside"))
            for limit in [
                TimeLimit(soft: .zero), TimeLimit(soft: .seconds(-1)), TimeLimit(hard: .seconds(1)),
            ] {
                await #expect(throws: EnqueueError.self) {
                    try await store.numbers("x", [1], options: EnqueueOptions(timeLimit: limit))
                }
            }
        }
    }
}
