import Testing

@testable import Petiole

@Suite("Unknown names", .timeLimit(.minutes(10))) struct UnknownNameTests {
    private let known = JobClosure("known") { (number: Int, _) in number }
    private let unknown = JobClosure("unknown") { (number: Int, _) in number * 10 }

    @Test("a job whose name the runner does not know is parked, and its neighbours run")
    func parked() async throws {
        try await withStore { store in
            let parked = try await store.numbers("unknown", [1])[0]
            let other = try await store.numbers("known", [2])[0]
            try await makeRunner(store, [known]).run {
                try await expectEqual(other.result, 2)
            }
            #expect(try parked.state == .parked(name: "unknown"))
            #expect(try store.counts().parked == 1)
            #expect(try store.counts().ready == 0)
            // A runner that knows it runs it, as its first attempt.
            try await makeRunner(store, [known, unknown]).run {
                try await expectEqual(parked.result, 10)
            }
            #expect(try store.counts().parked == 0)
            #expect(try store.outcome(of: parked.id)?.attempt == 1)
        }
    }

    @Test("a drain ends though the last job was parked")
    func drain() async throws {
        for _ in 0..<10 {
            try await withStore { store in
                let gate = Gate()
                let slow = JobClosure("slow") { (number: Int, _) -> Int in
                    gate.block()
                    return number
                }
                try await store.numbers("slow", [1])
                try await store.numbers("unknown", [1, 2, 3])
                try await makeRunner(store, [slow]).run { gate.open() }
                #expect(try store.counts().parked == 3)
            }
        }
    }

    @Test("a job that was parked past its deadline is a dead letter")
    func deadline() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let job = try await store.numbers("unknown", [1])[0]
            try await makeRunner(store, [known]).run {}
            #expect(try job.state == .parked(name: "unknown"))
            clock.advance(.seconds(6 * 86_400))
            try await makeRunner(store, [known]).run {
                try await expectEqual(store.numbers("known", [1])[0].result, 1)
            }
            #expect(try job.state == .parked(name: "unknown"))
            clock.advance(.seconds(2 * 86_400))
            _ = try await makeRunner(store, [known]).run {
                await #expect(throws: JobError.self) { try await job.result }
            }
            let outcome = try #require(try store.outcome(of: job.id))
            #expect(outcome.kind == .deadLetter)
            #expect(outcome.attempt == 0)
            #expect(outcome.failure?.type == "UnknownName")
            #expect(try store.counts().parked == 0)
        }
    }

    @Test("a parked job is cancelled, and nothing of it is left behind")
    func cancelled() async throws {
        try await withStore { store in
            let job = try await store.numbers("unknown", [1])[0]
            try await makeRunner(store, [known]).run {}
            #expect(try await store.cancel(job.id) == .cancelled)
            #expect(try store.counts().parked == 0)
            try await makeRunner(store, [unknown]).run {}
            #expect(try store.counts().cancelled == 1)
        }
    }

    @Test("20,000 parked jobs all run when a runner knows them")
    func many() async throws {
        try await withStore { store in
            struct Unknown: Job {
                static let jobName = "unknown"
                var number: Int
                func run(_ context: JobContext) throws -> Int { number }
            }
            let count = 20_000
            try await store.enqueue(contentsOf: (0..<count).map { Unknown(number: $0) })
            try await makeRunner(store, [known], workers: 2).run {}
            #expect(try store.counts().parked == count)
            try await makeRunner(store, jobs: [Unknown.self], workers: 2).run {}
            #expect(try store.counts().succeeded == count)
        }
    }
}
