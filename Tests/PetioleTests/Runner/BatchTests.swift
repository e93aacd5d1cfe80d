import Synchronization
import Testing

@testable import Petiole

@Suite("Batches", .timeLimit(.minutes(10))) struct BatchTests {
    private struct Oops: Error {}

    /// Where batches leave a trace: the ids of each, in their order.
    private static let trace = Mutex<[String: [[UInt64]]]>([:])
    private static let gates = Mutex<[String: (begun: Gate, goOn: Gate)]>([:])

    private static func batches(_ test: String) -> [[UInt64]] {
        trace.withLock { $0[test] ?? [] }
    }

    /// Jobs of one test after another: what each does is in its payload.
    private struct Insert: BatchJob {
        static let batchLimit = 3
        static let batchWait = Duration.seconds(3_600)
        static let retryPolicy = RetryPolicy(
            maxAttempts: 2, backoff: .constant(.milliseconds(1)))
        var test: String
        var value: Int
        var does = "succeed"

        static func run(_ batch: [BatchItem<Insert>]) throws -> [Result<Int, any Error>] {
            let test = batch[0].job.test
            BatchTests.trace.withLock {
                $0[test, default: []].append(batch.map { $0.context.id.rawValue })
            }
            if let gate = BatchTests.gates.withLock({ $0[test] }) {
                gate.begun.open()
                gate.goOn.block()
            }
            if batch.contains(where: { $0.job.does == "throw" }) { throw Oops() }
            if batch.contains(where: { $0.job.does == "miscount" }) { return [] }
            return batch.map { item in
                Result {
                    try item.context.enqueue(name: "child", payload: item.job.value)
                    if item.context.isCancelled { throw CancellationError() }
                    switch item.job.does {
                    case "fail": throw Oops()
                    case "fail once" where item.context.attempt == 1: throw Oops()
                    case "discard": throw JobControl.discard("no")
                    default: return item.job.value * 10 + item.context.attempt
                    }
                }
            }
        }
    }

    private static let child = JobClosure("child") { (number: Int, _) in number }

    private static func runner(
        _ store: JobStore, workers: Int = 1,
        configure: (inout JobRunner.Options) -> Void = { _ in }
    ) throws -> JobRunner {
        try makeRunner(store, [child], jobs: [Insert.self], workers: workers) {
            configure(&$0)
        }
    }

    /// Waits until so many jobs are held and no worker is at one of them.
    private static func untilHeld(
        _ count: Int, _ runner: JobRunner, _ ids: [JobID]
    ) async throws {
        while runner.core.batches.count < count
            || ids.contains(where: { runner.core.store.slots.slot(of: $0.rawValue) != nil })
        {
            try await turn()
        }
    }

    @Test("as many as fit run together, each with a result and effects of its own")
    func full() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<6).map { Insert(test: "full", value: $0) })
            try await Self.runner(store).run {
                for (index, job) in jobs.enumerated() {
                    try await expectEqual(job.result, index * 10 + 1)
                }
            }
            #expect(Self.batches("full") == [[1, 2, 3], [4, 5, 6]])
            #expect(try store.counts().succeeded == 12)
        }
    }

    @Test("jobs that come one by one are held until there are enough")
    func gathered() async throws {
        try await withStore { store in
            let runner = try Self.runner(store, workers: 2)
            try await runner.run {
                var jobs: [JobHandle<Int>] = []
                for value in 0..<3 {
                    jobs.append(try await store.enqueue(Insert(test: "gathered", value: value)))
                    if value < 2 {
                        try await Self.untilHeld(value + 1, runner, jobs.map(\.id))
                        #expect(try jobs[value].state == .ready)
                    }
                }
                for job in jobs { _ = try await job.result }
            }
            #expect(Self.batches("gathered") == [[1, 2, 3]])
        }
    }

    @Test("when the wait of the first is over, those that are there run")
    func waitOver() async throws {
        // It stands still: a second of a busy machine would end the wait early.
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<2).map { Insert(test: "waitOver", value: $0) })
            let runner = try Self.runner(store)
            try await runner.run {
                try await Self.untilHeld(2, runner, jobs.map(\.id))
                clock.advance(.seconds(3_599), store)
                #expect(Self.batches("waitOver") == [])
                clock.advance(.seconds(1), store)
                for job in jobs { _ = try await job.result }
            }
            #expect(Self.batches("waitOver") == [[1, 2]])
        }
    }

    @Test("an item that fails is that item's failure, and only its attempt follows")
    func outcomes() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let good = try await store.enqueue(Insert(test: "outcomes", value: 1))
            let flaky = try await store.enqueue(
                Insert(test: "outcomes", value: 2, does: "fail once"))
            let discarded = try await store.enqueue(
                Insert(test: "outcomes", value: 3, does: "discard"))
            let runner = try Self.runner(store)
            try await runner.run {
                try await expectEqual(good.result, 11)
                while try store.outcome(of: discarded.id) == nil { try await turn() }
                try await Self.untilHeld(1, runner, [flaky.id])
                clock.advance(.seconds(3_600), store)
                try await expectEqual(flaky.result, 22)
            }
            #expect(try store.outcome(of: discarded.id)?.kind == .discarded)
            #expect(Self.batches("outcomes") == [[1, 2, 3], [2]])
            #expect(try store.history(of: flaky.id).map(\.attempt) == [1])
            // Of the failures nothing was enqueued.
            #expect(try store.counts().succeeded == 4)
        }
    }

    @Test(
        "a batch that throws, or gives too few results, is a failed attempt of each",
        arguments: [
            "throw", "miscount",
        ])
    func throwing(how: String) async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<3).map { Insert(test: how, value: $0, does: how) })
            try await Self.runner(store).run {}
            for job in jobs {
                let outcome = try #require(try store.outcome(of: job.id))
                #expect(outcome.kind == .deadLetter && outcome.attempt == 2)
                #expect(
                    outcome.failure?.type == (how == "throw" ? "Oops" : "BatchResultCount"))
            }
            #expect(Self.batches(how).count == 2)
        }
    }

    @Test("a payload that cannot be read is a dead letter, and the others run")
    func undecodable() async throws {
        try await withStore { store in
            let first = try await store.enqueue(Insert(test: "undecodable", value: 1))
            let bad = try await store.enqueue(name: "Insert", json: "[]")
            let last = try await store.enqueue(Insert(test: "undecodable", value: 2))
            try await Self.runner(store).run {
                _ = try await first.result
                _ = try await last.result
            }
            #expect(try store.outcome(of: bad)?.kind == .deadLetter)
            #expect(Self.batches("undecodable") == [[1, 3]])
        }
    }

    @Test("every item of a batch that runs is seen as running, and a cancel asks that item alone")
    func running() async throws {
        let gate = (begun: Gate(), goOn: Gate())
        Self.gates.withLock { $0["running"] = gate }
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<3).map { Insert(test: "running", value: $0) })
            try await Self.runner(store).run {
                await gate.begun.wait()
                for job in jobs {
                    guard case .running(1, _, _) = try job.state else {
                        Issue.record("job \(job.id) is \(try job.state)")
                        continue
                    }
                }
                try await expectEqual(store.cancel(jobs[1].id), .stopping)
                let slot = try #require(store.open.slots.slot(of: jobs[1].id.rawValue))
                while slot.stopping != jobs[1].id.rawValue { try await turn() }
                gate.goOn.open()
                try await expectEqual(jobs[0].result, 1)
                try await expectEqual(jobs[2].result, 21)
                await #expect(throws: JobError.cancelled(jobs[1].id)) {
                    try await jobs[1].result
                }
            }
            #expect(store.open.slots.jobs() == [])
        }
    }

    // worker                                canceller
    // holds 1
    //                                       cancels 1: in no slot, it will not start
    // holds 2, 3, 4: the batch is full
    // publishes all, opens a view: 1 has ended
    @Test("a job that is cancelled while it is held does not start")
    func cancelledWhileHeld() async throws {
        try await withStore { store in
            let runner = try Self.runner(store)
            try await runner.run {
                let first = try await store.enqueue(Insert(test: "cancelled", value: 0))
                try await Self.untilHeld(1, runner, [first.id])
                try await expectEqual(store.cancel(first.id), .cancelled)
                let rest = try await store.enqueue(
                    contentsOf: (1...2).map { Insert(test: "cancelled", value: $0) })
                for job in rest { _ = try await job.result }
                #expect(try store.outcome(of: first.id)?.kind == .cancelled)
            }
            #expect(Self.batches("cancelled") == [[2, 3]])
        }
    }

    @Test("a job whose expiry passes while it is held does not start")
    func expiredWhileHeld() async throws {
        let time = TestClock()
        try await withStore(clock: time) { store in
            let runner = try Self.runner(store)
            try await runner.run {
                let first = try await store.enqueue(
                    Insert(test: "expired", value: 0),
                    options: EnqueueOptions(expiry: .after(.seconds(60))))
                try await Self.untilHeld(1, runner, [first.id])
                time.advance(.seconds(61), store)
                await #expect(throws: JobError.expired(first.id)) { try await first.result }
                let rest = try await store.enqueue(
                    contentsOf: (1...2).map { Insert(test: "expired", value: $0) })
                for job in rest { _ = try await job.result }
            }
            #expect(Self.batches("expired") == [[2, 3]])
        }
    }

    @Test("what is held when its queue is paused does not start until it goes on")
    func pausedWhileHeld() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let runner = try Self.runner(store)
            try await runner.run {
                let job = try await store.enqueue(Insert(test: "paused", value: 1))
                try await Self.untilHeld(1, runner, [job.id])
                try await store.pause(queue: "default")
                clock.advance(.seconds(3_600), store)
                while runner.core.batches.count > 0 { try await turn() }
                #expect(Self.batches("paused") == [])
                try await store.resume(queue: "default")
                try await Self.untilHeld(1, runner, [job.id])
                clock.advance(.seconds(3_600), store)
                try await expectEqual(job.result, 11)
            }
            #expect(Self.batches("paused") == [[1]])
        }
    }

    @Test("what is held when the runner stops is left for the next one")
    func stoppedWhileHeld() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<2).map { Insert(test: "stopped", value: $0) })
            let first = try Self.runner(store)
            async let ended: Void = first.run()
            try await Self.untilHeld(2, first, jobs.map(\.id))
            first.stop()
            try await ended
            #expect(try jobs[0].state == .ready && jobs[1].state == .ready)
            let third = try await store.enqueue(Insert(test: "stopped", value: 2))
            try await Self.runner(store).run { _ = try await third.result }
            #expect(Self.batches("stopped") == [[1, 2, 3]])
        }
    }

    @Test("without slots for all, a batch is smaller")
    func fewSlots() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<3).map { Insert(test: "fewSlots", value: $0) })
            let runner = try Self.runner(store)
            try await runner.run {
                let taken = runner.core.places.takeSlots(upTo: 2_000)
                // Whatever ran before had them: each later one is alone or with those that found a slot.
                for job in jobs { _ = try await job.result }
                runner.core.places.giveSlots(taken)
            }
            #expect(Self.batches("fewSlots").flatMap { $0 } == [1, 2, 3])
        }
    }

    @Test("bounds of a batch are refused with what is allowed")
    func bounds() async throws {
        struct Wide: BatchJob {
            static let batchLimit = 257
            static func run(_ batch: [BatchItem<Wide>]) throws -> [Result<Int, any Error>] { [] }
        }
        struct Late: BatchJob {
            static let batchWait = Duration.seconds(3_601)
            static func run(_ batch: [BatchItem<Late>]) throws -> [Result<Int, any Error>] { [] }
        }
        try await withStore { store in
            let wide = #expect(throws: RunnerError.self) {
                _ = try makeRunner(store, jobs: [Wide.self])
            }
            #expect("\(wide!)".contains("1 to 256 are allowed"))
            let late = #expect(throws: RunnerError.self) {
                _ = try makeRunner(store, jobs: [Late.self])
            }
            #expect("\(late!)".contains("zero to an hour are allowed"))
        }
    }

    @Test("middleware runs around each item, and one that decides about an item leaves the others")
    func middleware() async throws {
        struct Picky: RunMiddleware {
            let trace: Trace<String>
            func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) throws {
                if attempt.id.rawValue == 2 { throw JobControl.discard("not this one") }
                trace.add("\(attempt.id) before")
                if case .succeeded = next() { trace.add("\(attempt.id) succeeded") }
            }
        }
        let trace = Trace<String>()
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<3).map { Insert(test: "middleware", value: $0) })
            try await Self.runner(store) { $0.middleware = [Picky(trace: trace)] }.run {
                try await expectEqual(jobs[0].result, 1)
                try await expectEqual(jobs[2].result, 21)
                while try store.outcome(of: jobs[1].id) == nil { try await turn() }
            }
            #expect(try store.outcome(of: jobs[1].id)?.kind == .discarded)
            #expect(Self.batches("middleware") == [[1, 3]])
            let ofBatch = trace.items.filter { !$0.hasPrefix("4") && !$0.hasPrefix("5") }
            #expect(ofBatch == ["1 before", "3 before", "3 succeeded", "1 succeeded"])
        }
    }
}
