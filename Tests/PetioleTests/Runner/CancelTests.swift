import Foundation
import Testing

@testable import Petiole

private struct Patient: AsyncJob {
    var number: Int
    static let started = Gate()
    func run(_ context: JobContext) async throws -> Int {
        Self.started.open()
        // Ends by the task's cancellation alone.
        try await withTaskCancellationHandler {
            let gate = Gate()
            Self.ends.add(gate)
            if Task.isCancelled { gate.open() }
            await gate.wait()
            try Task.checkCancellation()
        } onCancel: {
            for gate in Self.ends.items { gate.open() }
        }
        return number
    }
    static let ends = Trace<Gate>()
}

@Suite("Cancel") struct CancelTests {
    @Test("a job that nobody runs is cancelled, and never starts")
    func waitingJob() async throws {
        try await withStore { store in
            let ran = Trace<Int>()
            let closure = JobClosure("run") { (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            let jobs = try await store.numbers("run", [0, 1, 2])
            #expect(try await store.cancel(jobs[1].id) == .cancelled)
            #expect(try await store.cancel(jobs[1].id) == .alreadyEnded)
            #expect(try store.counts().cancelled == 1)
            #expect(try store.counts().ready == 2)
            await #expect(throws: JobError.cancelled(jobs[1].id)) { try await jobs[1].result }
            try await makeRunner(store, [closure]).run {}
            #expect(ran.items == [0, 2])
        }
    }

    @Test("of many jobs accepted together, those that were cancelled do not run")
    func outOfABlock() async throws {
        try await withStore { store in
            let ran = Trace<UInt64>()
            let closure = JobClosure("Count") { (_: [String: Int], context) -> Int in
                ran.add(context.id.rawValue)
                return 0
            }
            struct Count: Job {
                var number: Int
                func run(_ context: JobContext) throws -> Int { number }
            }
            let jobs = try await store.enqueue(contentsOf: (0..<1_000).map { Count(number: $0) })
            for job in jobs where job.id.rawValue % 7 == 0 {
                #expect(try await store.cancel(job.id) == .cancelled)
            }
            try await makeRunner(store, [closure], workers: 2).run {}
            #expect(ran.items.sorted() == (1...1_000).filter { $0 % 7 != 0 })
            #expect(try store.counts().cancelled == 142)
        }
    }

    @Test("a claimed job that has not started is cancelled, and never starts")
    func claimedJob() async throws {
        try await withStore { store in
            let ran = Trace<Int>()
            let started = Gate()
            let goOn = Gate()
            let closure = JobClosure("run") { (number: Int, _) -> Int in
                ran.add(number)
                if number == 0 {
                    started.open()
                    goOn.block()
                }
                return number
            }
            // The one worker holds the first; the next ones are claimed already, as tickets in the ring.
            let jobs = try await store.numbers("run", [0, 1, 2, 3])
            try await makeRunner(store, [closure]).run {
                await started.wait()
                try await expectEqual(store.cancel(jobs[1].id), .cancelled)
                try await expectEqual(store.cancel(jobs[2].id), .cancelled)
                goOn.open()
                try await expectEqual(jobs[3].result, 3)
            }
            #expect(ran.items == [0, 3])
        }
    }

    @Test("a running job is asked to stop, and is cancelled when it does")
    func runningJob() async throws {
        try await withStore { store in
            let started = Gate()
            let stop = Gate()
            let closure = JobClosure("run") { (number: Int, context) -> Int in
                started.open()
                stop.block()
                while !context.isCancelled {}
                try context.checkCancellation()
                return number
            }
            let job = try await store.numbers("run", [1])[0]
            try await makeRunner(store, [closure]).run {
                await started.wait()
                if case .running(1, _, let pid) = try job.state {
                    #expect(pid == getpid())
                } else {
                    Issue.record("\(try job.state) is not running")
                }
                #expect(try await store.cancel(job.id) == .stopping)
                stop.open()
                await #expect(throws: JobError.cancelled(job.id)) { try await job.result }
            }
        }
    }

    @Test("a running job that does not heed the request ends as it does")
    func deafJob() async throws {
        try await withStore { store in
            let started = Gate()
            let goOn = Gate()
            let closure = JobClosure("run") { (number: Int, _) -> Int in
                started.open()
                goOn.block()
                return number
            }
            let job = try await store.numbers("run", [5])[0]
            try await makeRunner(store, [closure]).run {
                await started.wait()
                try await expectEqual(store.cancel(job.id), .stopping)
                goOn.open()
                try await expectEqual(job.result, 5)
            }
            #expect(try await store.cancel(job.id) == .alreadyEnded)
        }
    }

    @Test("an asynchronous job's task is cancelled with the job")
    func asyncJob() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Patient(number: 1))
            try await makeRunner(store, jobs: [Patient.self]).run {
                await Patient.started.wait()
                try await expectEqual(store.cancel(job.id), .stopping)
                await #expect(throws: JobError.cancelled(job.id)) { try await job.result }
            }
        }
    }

    @Test("a job that waits for its next attempt is cancelled, and its timer is gone")
    func retry() async throws {
        try await withStore { store in
            let policy = RetryPolicy(
                maxAttempts: 3, backoff: .exponential(.seconds(3_600)), maxDelay: .seconds(3_600))
            let fail = JobClosure("fail", retryPolicy: policy) { (_: Int, _) -> Int in
                throw Refusal()
            }
            let job = try await store.numbers("fail", [1])[0]
            try await makeRunner(store, [fail]).run {
                try await store.untilWaiting(job.id, attempts: 1)
                #expect(try await store.cancel(job.id) == .cancelled)
            }
            #expect(try store.counts().waiting == 0)
            #expect(try store.outcome(of: job.id)?.attempt == 1)
            #expect(try store.history(of: job.id).count == 1)
        }
    }

    @Test(
        "a job that has run is not called one that will never start, though its outcome is not recorded yet"
    )
    func finishedUnrecorded() async throws {
        for _ in 0..<20 {
            try await withStore { store in
                let started = Gate()
                let goOn = Gate()
                let ran = Trace<Int>()
                struct Number: Job {
                    var number: Int
                    func run(_ context: JobContext) throws -> Int { number }
                }
                let closure = JobClosure("Number") { (payload: [String: Int], _) -> Int in
                    let number = payload["number"]!
                    if number == 101 {
                        started.open()
                        goOn.block()
                    }
                    if number >= 100 { ran.add(number) }
                    return number
                }
                try await makeRunner(store, [closure]).run {
                    // Measured as fast, so that both lie in one ticket and the first's outcome waits for the second's.
                    let fast = try await store.enqueue(
                        contentsOf: (0..<50).map { Number(number: $0) })
                    _ = try await fast[49].result
                    let jobs = try await store.enqueue(
                        contentsOf: [100, 101].map { Number(number: $0) })
                    await started.wait()
                    #expect(try await store.cancel(jobs[0].id) == .alreadyEnded)
                    goOn.open()
                    #expect(try await jobs[0].result == 100)
                    #expect(try await jobs[1].result == 101)
                }
                #expect(ran.items == [100, 101])
            }
        }
    }
}
