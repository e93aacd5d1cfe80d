import Testing

@testable import Petiole

@Suite("Retry policy") struct RetryPolicyTests {
    /// The wait in milliseconds, or what else follows.
    private func step(
        _ policy: RetryPolicy, after error: (any Error)? = Refusal(), attempt: Int = 1,
        elapsed: Duration = .zero, random: Double = 0.5
    ) -> RetryPolicy.Step {
        policy.step(
            after: error, attempt: attempt,
            elapsed: elapsed == .zero
                ? 0 : RetryPolicy.microseconds(elapsed), random: random)
    }

    private func waits(_ policy: RetryPolicy, random: Double = 0.5) -> [Int64] {
        (1...5).compactMap { attempt in
            guard case .retry(let delay) = step(policy, attempt: attempt, random: random) else {
                return nil
            }
            return delay / 1_000
        }
    }

    @Test("waits grow as the backoff says, up to the cap")
    func backoff() {
        func policy(_ backoff: RetryPolicy.Backoff) -> RetryPolicy {
            RetryPolicy(
                maxAttempts: 9, backoff: backoff, jitter: .none, maxDelay: .milliseconds(1_000))
        }
        #expect(waits(policy(.constant(.milliseconds(300)))) == [300, 300, 300, 300, 300])
        #expect(waits(policy(.linear(.milliseconds(300)))) == [300, 600, 900, 1_000, 1_000])
        #expect(waits(policy(.exponential(.milliseconds(100)))) == [100, 200, 400, 800, 1_000])
        #expect(
            waits(policy(.custom { .milliseconds(7 * $0) })) == [7, 14, 21, 28, 35])
        // Nothing overflows, and no wait is zero.
        let longest = RetryPolicy(
            maxAttempts: 255, backoff: .linear(.seconds(Int64.max)), jitter: .none,
            maxDelay: .seconds(Int64.max))
        #expect(step(longest, attempt: 254) == .retry(delayMicroseconds: .max >> 1))
        #expect(waits(policy(.custom { _ in .seconds(-1) })) == [1, 1, 1, 1, 1])
    }

    @Test("jitter takes from the wait what chance gives, and leaves at least a millisecond")
    func jitter() {
        func waits(_ jitter: RetryPolicy.Jitter, _ random: Double) -> Int64 {
            let policy = RetryPolicy(
                maxAttempts: 9, backoff: .constant(.milliseconds(800)), jitter: jitter)
            return self.waits(policy, random: random)[0]
        }
        #expect([0, 0.25, 0.999].map { waits(.none, $0) } == [800, 800, 800])
        #expect([0, 0.25, 0.9999].map { waits(.full, $0) } == [1, 200, 799])
        #expect([0, 0.25, 0.9999].map { waits(.equal, $0) } == [400, 500, 799])
    }

    @Test("what follows a failure, for every kind of error and every place among the attempts")
    func decisions() {
        struct Hopeless: Error {}
        struct Boring: Error {}
        let policy = RetryPolicy(maxAttempts: 3, jitter: .none) { error in
            switch error {
            case is Hopeless: .deadLetter
            case is Boring: .discard
            default: .retry
            }
        }
        for attempt in 1...3 {
            expectEqual(step(policy, after: Hopeless(), attempt: attempt), .deadLetter)
            expectEqual(step(policy, after: Boring(), attempt: attempt), .discard)
            expectEqual(step(policy, after: JobControl.discard("done"), attempt: attempt), .discard)
            expectEqual(
                step(policy, after: JobControl.deadLetter("no"), attempt: attempt), .deadLetter)
        }
        for error in [Refusal(), nil] as [(any Error)?] {
            expectEqual(
                step(policy, after: error, attempt: 1), .retry(delayMicroseconds: 1_000_000))
            expectEqual(
                step(policy, after: error, attempt: 2), .retry(delayMicroseconds: 2_000_000))
            expectEqual(step(policy, after: error, attempt: 3), .deadLetter)
        }
        expectEqual(step(.never), .fail)
        let control = JobControl.retry(after: .seconds(9))
        expectEqual(step(policy, after: control, attempt: 2), .retry(delayMicroseconds: 9_000_000))
        expectEqual(step(policy, after: control, attempt: 3), .deadLetter)
        expectEqual(step(.never, after: control), .fail)
    }

    @Test("no attempt begins after the time limit")
    func timeLimit() {
        let policy = RetryPolicy(
            maxAttempts: 9, backoff: .constant(.seconds(10)), jitter: .none,
            timeLimit: .seconds(60))
        #expect(step(policy, elapsed: .seconds(50)) == .retry(delayMicroseconds: 10_000_000))
        #expect(step(policy, elapsed: .seconds(51)) == .deadLetter)
    }

    @Test(
        "a policy that is out of bounds is refused when its job type is registered, with what is allowed"
    )
    func bounds() async throws {
        let wrong = [
            RetryPolicy(maxAttempts: 0), RetryPolicy(maxAttempts: 256),
            RetryPolicy(maxAttempts: 2, backoff: .constant(.zero)),
            RetryPolicy(maxAttempts: 2, maxDelay: .seconds(-1)),
            RetryPolicy(maxAttempts: 2, timeLimit: .zero),
        ]
        try await withStore { store in
            for policy in wrong {
                let closure = JobClosure("wrong", retryPolicy: policy) { (_: Int, _) in 1 }
                let error = #expect(throws: RunnerError.self) {
                    _ = try makeRunner(store, [closure])
                }
                #expect("\(error!)".contains("allowed"))
            }
        }
    }

    @Test(
        "a job says itself what follows: another attempt, the same one again, or its end with a reason"
    )
    func control() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let snoozed = Trace<Int>()
            let control = JobClosure("control") { (what: Int, context) -> Int in
                switch what {
                case 0 where context.attempt == 1: throw JobControl.retry(after: .seconds(5))
                case 1 where snoozed.items.count < 3:
                    snoozed.add(context.attempt)
                    throw JobControl.snooze(for: .seconds(5))
                case 2: throw JobControl.discard("nobody wants it")
                case 3: throw JobControl.deadLetter("never will")
                default: return context.attempt
                }
            }
            let jobs = try await store.numbers("control", [0, 1, 2, 3])
            let runner = try makeRunner(store, [control])
            try await runner.run {
                await #expect(throws: JobError.self) { try await jobs[2].result }
                await #expect(throws: JobError.self) { try await jobs[3].result }
                // The jobs before them have had their turn.
                for _ in 0..<3 { clock.advance(.seconds(5), store) }
                try await expectEqual(jobs[0].result, 2)
                while snoozed.items.count < 3 {
                    clock.advance(.seconds(5), store)
                    try await turn()
                }
                clock.advance(.seconds(5), store)
                // Nothing was counted.
                try await expectEqual(jobs[1].result, 1)
            }
            #expect(snoozed.items == [1, 1, 1])
            let discarded = try #require(try store.outcome(of: jobs[2].id))
            #expect(discarded.kind == .discarded)
            #expect(discarded.failure?.message == "nobody wants it")
            let dead = try #require(try store.outcome(of: jobs[3].id))
            #expect(dead.kind == .deadLetter && dead.attempt == 1)
            #expect(dead.failure?.message == "never will")
            let counts = try store.counts()
            #expect(counts.discarded == 1 && counts.deadLetters == 1 && counts.succeeded == 2)
            #expect(counts.ended == 4 && counts.retries == 1)
        }
    }
}
