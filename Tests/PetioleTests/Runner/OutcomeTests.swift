import Testing

@testable import Petiole

private struct Shout: Job {
    var text: String
    func run(_ context: JobContext) throws -> String { text.uppercased() + "\(context.attempt)" }
}

private struct Later: AsyncJob {
    var number: Int
    func run(_ context: JobContext) async throws -> Int {
        await Task.yield()
        return number * 2
    }
}

private enum Reversed: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        for offset in (0..<payload.byteCount).reversed() {
            result.append(
                littleEndian: payload.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
        }
    }
}

private struct Silent: Job {
    static var keepsResult: Bool { false }
    func run(_ context: JobContext) throws -> Int { 1 }
}

private struct Strict: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int { number }
}

@Suite("Outcomes") struct OutcomeTests {
    @Test("the end of a job that keeps no result is awaited as well")
    func withoutResult() async throws {
        try await withStore { store in
            let echo = JobClosure("echo") { (number: Int, _) in number }
            let runner = try makeRunner(store, [echo])
            try await runner.run {
                let job = try await store.numbers(
                    "echo", [1], options: EnqueueOptions(keepsResult: false))[0]
                try await expectEqual(store.waitForEnd(of: job.id).kind, .succeeded)
                let none = JobID(rawValue: 99)
                await #expect(throws: JobError.noSuchJob(none)) {
                    try await store.waitForEnd(of: none)
                }
            }
        }
    }

    @Test("each kind of job gives its result, typed", arguments: [1, 3])
    func kinds(workers: Int) async throws {
        try await withStore { store in
            let closure = JobClosure("twice") { (number: Int, _) in number * 2 }
            let runner = try makeRunner(
                store, [closure], jobs: [Shout.self, Later.self, Reversed.self], workers: workers)
            try await runner.run {
                let shout = try await store.enqueue(Shout(text: "a"))
                let later = try await store.enqueue(Later(number: 4))
                let reversed = try await store.enqueue(Reversed.self, payload: [1, 2, 3])
                let twice = try await store.enqueue(name: "twice", payload: 21, output: Int.self)
                #expect(try await shout.result == "A1")
                #expect(try await later.result == 8)
                #expect(try await reversed.result == [3, 2, 1])
                #expect(try await twice.result == 42)
                // Read again, it is the same.
                #expect(try await shout.result == "A1")
            }
            #expect(try store.counts().succeeded == 4)
            #expect(try store.counts().unfinished == 0)
        }
    }

    @Test("a job allowed one attempt has failed after it, with its error")
    func failed() async throws {
        try await withStore { store in
            let fail = JobClosure("fail", retryPolicy: .never) { (_: Int, _) -> Int in
                throw Refusal()
            }
            let job = try await store.numbers("fail", [1])[0]
            try await makeRunner(store, [fail]).run {
                let failure = JobFailure(type: "Refusal", message: "it did not work")
                await #expect(
                    throws: JobError.failed(job.id, attempt: 1, failure, isDeadLetter: false)
                ) { try await job.result }
            }
            #expect(try store.outcome(of: job.id)?.kind == .failed)
            #expect(try store.counts().failed == 1)
            #expect(try store.history(of: job.id) == [])
        }
    }

    @Test(
        "a job that fails each time is tried again when it is due, then is a dead letter with its history"
    )
    func deadLetter() async throws {
        // Frozen: a short random wait would be over before the test has seen it.
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let attempts = Trace<Int>()
            let ran = (0..<3).map { _ in Gate() }
            let fail = JobClosure("fail", retryPolicy: RetryPolicy(maxAttempts: 3)) {
                (_: Int, context) -> Int in
                attempts.add(context.attempt)
                ran[context.attempt - 1].open()
                throw Refusal()
            }
            let job = try await store.numbers("fail", [1])[0]
            try await makeRunner(store, [fail]).run {
                for attempt in 1..<3 {
                    await ran[attempt - 1].wait()
                    try await store.untilWaiting(job.id, attempts: attempt)
                    #expect(try store.counts().waiting == 1)
                    #expect(try store.counts().ready == 0)
                    #expect(try store.counts().retries == attempt)
                    clock.advance(.seconds(3_600), store)
                }
                await #expect(throws: JobError.self) { try await job.result }
            }
            #expect(attempts.items == [1, 2, 3])
            let outcome = try #require(try store.outcome(of: job.id))
            #expect(outcome.kind == .deadLetter)
            #expect(outcome.attempt == 3)
            #expect(outcome.failure == JobFailure(type: "Refusal", message: "it did not work"))
            #expect(try store.history(of: job.id).map { $0.attempt } == [1, 2])
            #expect(try store.history(of: job.id).allSatisfy { $0.failure.type == "Refusal" })
            #expect(try store.counts().deadLetters == 1)
            #expect(try store.counts().waiting == 0)
        }
    }

    @Test("an attempt that is recorded is not running, though its worker has not left its slot yet")
    func staleSlot() async throws {
        try await withStore { store in
            let policy = RetryPolicy(
                maxAttempts: 3, backoff: .exponential(.seconds(3_600)), maxDelay: .seconds(3_600))
            let fail = JobClosure("fail", retryPolicy: policy) { (_: Int, _) -> Int in
                throw Refusal()
            }
            let job = try await store.numbers("fail", [1])[0]
            try await makeRunner(store, [fail]).run {
                try await store.untilWaiting(job.id, attempts: 1)
                let queue = try #require(try store.queueRows().first)
                store.open.slots.use(seat: 63, upTo: 1)
                let slot = store.open.slots.slot(seat: 63, 0)
                slot.prepare(
                    queue: queue.record.id, epoch: queue.record.epoch, attempt: 1, flags: 0)
                slot.publish(job.id.rawValue, startedAt: 1)
                let state = try store.state(of: job.id)
                if case .waiting(_, 1) = state {} else { Issue.record("\(state)") }
                slot.clear()
                #expect(try await store.cancel(job.id) == .cancelled)
            }
        }
    }

    @Test("a job that succeeds at a later attempt has succeeded, and keeps the errors before")
    func succeedsLater() async throws {
        try await withStore { store in
            let policy = RetryPolicy(maxAttempts: 9, backoff: .exponential(.milliseconds(1)))
            let flaky = JobClosure("flaky", retryPolicy: policy) { (number: Int, context) -> Int in
                if context.attempt <= number { throw Refusal() }
                return context.attempt
            }
            let jobs = try await store.numbers("flaky", Array(0..<8))
            try await makeRunner(store, [flaky], workers: 2).run {
                for (number, job) in jobs.enumerated() {
                    try await expectEqual(job.result, number + 1)
                }
            }
            for (number, job) in jobs.enumerated() {
                #expect(try store.history(of: job.id).map { $0.attempt } == Array(1..<(number + 1)))
            }
            #expect(try store.counts().retries == 28)
        }
    }

    @Test("the enqueue's own number of attempts goes before the job type's")
    func ownAttempts() async throws {
        try await withStore { store in
            let fail = JobClosure("fail") { (_: Int, _) -> Int in throw Refusal() }
            let once = try await store.numbers("fail", [1], options: EnqueueOptions(maxAttempts: 1))
            _ = try await makeRunner(store, [fail]).run {
                await #expect(throws: JobError.self) { try await once[0].result }
            }
            #expect(try store.outcome(of: once[0].id)?.kind == .failed)
        }
    }

    @Test("a payload that is not the job type's is a dead letter at once")
    func undecodable() async throws {
        try await withStore { store in
            let job = try await store.enqueue(
                name: "Strict", payload: ["number": "not a number"], output: Int.self)
            _ = try await makeRunner(store, jobs: [Strict.self]).run {
                await #expect(throws: JobError.self) { try await job.result }
            }
            let outcome = try #require(try store.outcome(of: job.id))
            #expect(outcome.kind == .deadLetter)
            #expect(outcome.attempt == 1)
            #expect(outcome.failure?.type == "UndecodablePayload")
        }
    }

    @Test("who awaits a job that keeps no result is told at once")
    func noResult() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Silent())
            await #expect(throws: JobError.keepsNoResult(job.id)) { try await job.result }
            try await makeRunner(store, jobs: [Silent.self]).run {}
            #expect(try store.outcome(of: job.id)?.kind == .succeeded)
            await #expect(throws: JobError.keepsNoResult(job.id)) { try await job.result }
        }
    }

    @Test("a job that never was has no state and no result")
    func noSuchJob() async throws {
        try await withStore { store in
            try await store.enqueue(Silent())
            for id in [JobID(rawValue: 0), JobID(rawValue: 2), JobID(rawValue: .max)] {
                #expect(throws: StoreError.noSuchJob(id)) { try store.state(of: id) }
                let handle = JobHandle<Int>(store: store, id: id, codec: .compact)
                await #expect(throws: JobError.noSuchJob(id)) { try await handle.result }
                await #expect(throws: StoreError.noSuchJob(id)) { try await store.cancel(id) }
            }
        }
    }

    @Test("a result read as another type is an error, and the job has succeeded")
    func otherType() async throws {
        try await withStore { store in
            let job = try await store.enqueue(
                name: "Shout", payload: ["text": "a"], output: Int.self)
            _ = try await makeRunner(store, jobs: [Shout.self]).run {
                await #expect(throws: JobError.self) { try await job.result }
            }
            #expect(try store.outcome(of: job.id)?.kind == .succeeded)
        }
    }

    @Test("who stops waiting for a job is let go, and the job goes on")
    func cancelledWait() async throws {
        try await withStore { store in
            let gate = Gate()
            let slow = JobClosure("slow") { (number: Int, _) -> Int in
                gate.block()
                return number
            }
            let job = try await store.numbers("slow", [7])[0]
            try await makeRunner(store, [slow]).run {
                let waiting = Task { try await job.result }
                waiting.cancel()
                await #expect(throws: CancellationError.self) { try await waiting.value }
                gate.open()
                try await expectEqual(job.result, 7)
            }
        }
    }

    @Test("a thousand tasks that await one job all get its result")
    func manyWaiters() async throws {
        try await withStore { store in
            let gate = Gate()
            let slow = JobClosure("slow") { (number: Int, _) -> Int in
                gate.block()
                return number
            }
            let job = try await store.numbers("slow", [7])[0]
            try await makeRunner(store, [slow]).run {
                let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<1_000 { group.addTask { try await job.result } }
                    gate.open()
                    return try await group.reduce(0, +)
                }
                #expect(sum == 7_000)
            }
        }
    }

    @Test("a failure's message is cut to its bound, and says so")
    func longMessage() async throws {
        struct Long: Error, CustomStringConvertible {
            var description: String { String(repeating: "ä", count: 100_000) }
        }
        try await withStore { store in
            let fail = JobClosure("fail", retryPolicy: .never) { (_: Int, _) -> Int in throw Long()
            }
            let job = try await store.numbers("fail", [1])[0]
            _ = try await makeRunner(store, [fail]).run {
                await #expect(throws: JobError.self) { try await job.result }
            }
            let message = try #require(try store.outcome(of: job.id)?.failure?.message)
            #expect(message.utf8.count < 8_300)
            #expect(message.hasSuffix("(191808 bytes more)"))
        }
    }
}

extension JobStore {
    /// Waits until a failed attempt is recorded: for the commit behind which it is.
    func untilWaiting(_ id: JobID, attempts: Int) async throws {
        while true {
            let seen = open.signals.work.value
            if case .waiting(_, attempts) = try state(of: id) { return }
            let bell = open.signals.work
            _ = try await onThread("test-wait") { bell.wait(whileAt: seen) }
        }
    }
}
