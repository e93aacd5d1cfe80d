import PetioleStorage
import Synchronization
import Testing

@testable import Petiole

private struct Payment: Job {
    static let acknowledgement = Acknowledgement.beforeRun
    static let ran = Trace<Int>()
    var number: Int
    var fails = false

    func run(_ context: JobContext) throws -> Int {
        Self.ran.add(number)
        if fails, context.attempt == 1 { throw JobControl.retry(after: .zero) }
        return number
    }
}

private struct AsyncPayment: AsyncJob {
    static let acknowledgement = Acknowledgement.beforeRun
    var number: Int
    func run(_ context: JobContext) async -> Int {
        await Task.yield()
        return number
    }
}

@Suite("At most once", .serialized) struct AtMostOnceTests {
    @Test("jobs whose start is recorded first run like others, and retry what they throw")
    func runs() async throws {
        try await withStore { store in
            let runner = try makeRunner(
                store, jobs: [Payment.self, AsyncPayment.self], workers: 2)
            try await runner.run {
                let many = try await store.enqueue(
                    contentsOf: (0..<500).map { Payment(number: $0, fails: $0 == 77) })
                let others = try await store.enqueue(
                    contentsOf: (0..<100).map { AsyncPayment(number: $0) })
                for (index, job) in many.enumerated() { try await expectEqual(job.result, index) }
                for (index, job) in others.enumerated() { try await expectEqual(job.result, index) }
            }
            #expect(Payment.ran.items.count == 501)
        }
    }

    @Test("a job that began under an earlier owner is a dead letter, and never runs again")
    func interrupted() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: (0..<3).map { Payment(number: 1_000 + $0) })
            // As an owner leaves it that dies between the mark and the outcome.
            let tables = store.open.tables
            try await store.open.perform { (transaction, state) throws(StorageError) in
                let queue = try state.queue(named: "default", &transaction)
                var active = ActiveRecord(state: .ready, queue: queue.id, priority: 4)
                active.startEpoch = 7
                try active.put(&transaction, tables.active, 2)
            }
            try await makeRunner(store, jobs: [Payment.self]).run {}
            #expect(!Payment.ran.items.contains(1_001))
            let outcome = try #require(try store.outcome(of: jobs[1].id))
            #expect(outcome.kind == .deadLetter)
            #expect(outcome.failure?.type == "Interrupted")
            // Somebody who knows better may run it after all.
            try await store.requeue(jobs[1].id)
            try await makeRunner(store, jobs: [Payment.self]).run {}
            try await expectEqual(jobs[1].result, 1_001)
        }
    }

    @Test(
        "jobs that were recorded to start and did not, since the runner stopped, run with the next")
    func withdrawn() async throws {
        try await withStore { store in
            let begun = Gate()
            let goOn = Gate()
            let ran = Trace<String>()
            // Tickets of many need a type that is known to be fast.
            let first = try makeRunner(store, [], jobs: [Slow.self])
            Slow.hooks.withLock { $0 = (begun, goOn, ran) }
            let jobs = try await store.enqueue(contentsOf: (0..<2_000).map { Slow(number: $0) })
            async let running: Void = first.run()
            await begun.wait()
            first.stop()
            goOn.open()
            try await running
            let next = try makeRunner(store, [], jobs: [Slow.self])
            try await next.run { for job in jobs { _ = try await job.result } }
            #expect(ran.items.count == 2_000)
            #expect(try store.counts().deadLetters == 0)
        }
    }
}

private struct Slow: Job {
    static let acknowledgement = Acknowledgement.beforeRun
    static let hooks = Mutex<(begun: Gate, goOn: Gate, ran: Trace<String>)?>(nil)
    var number: Int

    func run(_ context: JobContext) -> Int {
        let hooks = Self.hooks.withLock { $0 }!
        hooks.ran.add("\(number)")
        if number == 1_000 {
            hooks.begun.open()
            hooks.goOn.block()
        }
        return number
    }
}
