import PetioleStorage
import Testing

@testable import Petiole

@Suite("Clock") struct ClockTests {
    private struct Fails: Job {
        static var retryPolicy: RetryPolicy {
            RetryPolicy(maxAttempts: 3, backoff: .exponential(.seconds(60)), maxDelay: .seconds(60))
        }
        static let starts = Trace<(attempt: Int, job: JobID)>()
        func run(_ context: JobContext) throws -> NoResult {
            Self.starts.add((context.attempt, context.id))
            if context.attempt < 3 { throw Refusal() }
            return NoResult()
        }
    }

    @Test("a retry does not start before it is due, also when the clock is set back")
    func back() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let job = try await store.enqueue(Fails())
            // Looks at the timers by the clock as it stands; what became due is in the lane before the job behind which
            // we look, and there is one worker.
            @Sendable func settle() async throws {
                let queue = try #require(try store.queueRows().first).record.id
                let tables = store.open.tables
                try await store.open.perform { (transaction, state) throws(StorageError) in
                    _ = try Timers.fire(queue, tables, &transaction, &state)
                }
                try await expectEqual(store.numbers("echo", [1])[0].result, 1)
            }
            @Sendable func attempts() -> [Int] {
                Fails.starts.items.filter { $0.job == job.id }.map { $0.attempt }
            }
            let echo = JobClosure("echo") { (number: Int, _) in number }
            @Sendable func due() throws -> Duration {
                guard case .waiting(let due, _) = try job.state else { return .zero }
                return .microseconds(due.microseconds - clock.storeClock.now)
            }
            let runner = try makeRunner(store, [echo], jobs: [Fails.self])
            // Jobs of a lane start in order: behind the first echo the first attempt was made and recorded.
            try await runner.run {
                try await settle()
                expectEqual(attempts(), [1])
                let wait = try due()
                #expect(wait > .zero && wait <= .seconds(60))
                clock.advance(.seconds(-3_600), store)
                try await settle()
                expectEqual(try due(), wait + .seconds(3_600))
                clock.advance(.seconds(3_600) + wait - .microseconds(1), store)
                try await settle()
                expectEqual(attempts(), [1])
                clock.advance(.microseconds(1), store)
                try await settle()
                expectEqual(attempts(), [1, 2])
                clock.advance(.seconds(-86_400), store)
                try await settle()
                runner.stop()
            }
            // With another owner too.
            let wait = try due()
            #expect(wait > .seconds(86_400))
            let next = try makeRunner(store, [echo], jobs: [Fails.self])
            try await next.run {
                try await settle()
                expectEqual(attempts(), [1, 2])
                clock.advance(wait - .microseconds(1), store)
                try await settle()
                expectEqual(attempts(), [1, 2])
                clock.advance(.microseconds(1), store)
                _ = try await job.result
            }
            expectEqual(attempts(), [1, 2, 3])
        }
    }
}
