import Testing

@testable import Petiole

@Suite("Jobs kept apart") struct KeptJobsTests {
    private let fail = JobClosure(
        "fail",
        retryPolicy: RetryPolicy(
            maxAttempts: 2, backoff: .exponential(.milliseconds(1)), maxDelay: .milliseconds(1))
    ) { (_: Int, _) -> Int in throw Refusal() }
    private let echo = JobClosure("echo") { (number: Int, _) -> Int in number }

    @Test("a dead letter at the head of the log is kept apart, and no dam for what follows")
    func deadLetter() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let dead = try await store.numbers("fail", [1])
            let rest = try await store.numbers("echo", [2, 3])
            try await makeRunner(store, [fail, echo]).run {
                clock.advance(.seconds(1), store)
            }
            clock.advance(.seconds(100))
            #expect(try await store.prune(olderThan: .seconds(50)) == 2)
            #expect(throws: StoreError.noSuchJob(rest[0].id)) { try store.state(of: rest[0].id) }
            let outcome = try #require(try store.outcome(of: dead[0].id))
            #expect(outcome.kind == .deadLetter)
            #expect(outcome.failure?.type == "Refusal")
            #expect(try store.details(of: dead[0].id).failedAttempts.count == 1)
            #expect(try await store.prune(olderThan: .zero) == 0)
        }
    }

    @Test("a job that was kept apart and ended later is pruned in its turn")
    func kept() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let parked = try await store.numbers("echo", [1])
            try await makeRunner(store, [fail]).run {}
            // A runner of another name has the queue: the job is parked.
            #expect(try store.counts().parked == 1)
            clock.advance(.seconds(100))
            #expect(try await store.prune(olderThan: .seconds(50)) == 0)
            _ = try await store.numbers("echo", [2])
            #expect(try store.details(of: parked[0].id).summary.name == "echo")
            try await makeRunner(store, [echo]).run {
                try await expectEqual(parked[0].result, 1)
            }
            // Its end is younger than that, though its beginning is not.
            #expect(try await store.prune(olderThan: .seconds(150)) == 0)
            clock.advance(.seconds(100))
            #expect(try await store.prune(olderThan: .seconds(50)) == 2)
            #expect(throws: StoreError.noSuchJob(parked[0].id)) {
                try store.state(of: parked[0].id)
            }
        }
    }
}
