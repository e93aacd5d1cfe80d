import PetioleStorage
import Testing

@testable import Petiole

/// Waits on its thread for the job that its payload names.
private struct Waiter: Job {
    var id: UInt64
    func run(_ context: JobContext) throws -> Int {
        let job = context.store.handle(of: JobID(rawValue: id), output: Int.self)
        return try context.result(of: job) + (context.slot.isWaiting ? 0 : 1)
    }
}

private struct AsyncWaiter: AsyncJob {
    var id: UInt64
    func run(_ context: JobContext) async throws -> Int {
        let result = try await context.store.handle(of: JobID(rawValue: id), output: Int.self)
            .result
        return result + (context.slot.isWaiting ? 0 : 1)
    }
}

/// One at a time, and one for each key.
private struct LimitedWaiter: Job {
    static let limits: JobLimits? = JobLimits(concurrency: 1, concurrencyPerKey: 1)
    var id: UInt64
    var limitKey: String? { "k" }
    func run(_ context: JobContext) throws -> Int {
        try Waiter(id: id).run(context)
    }
}

private struct Plain: AsyncJob {
    static let queue = "later"
    func run(_ context: JobContext) async throws -> Int { 1 }
}

private struct Held: AsyncJob {
    static let (begun, gate) = (Gate(), Gate())
    func run(_ context: JobContext) async throws -> Int {
        Self.begun.open()
        await Self.gate.wait()
        return 1
    }
}

extension JobStore {
    /// Leaves slots as a runner does that was killed.
    fileprivate func leaveRunning(_ jobs: [(id: JobID, flags: UInt32)], seat: Int = 7) throws {
        let slots = open.slots
        slots.setBoot(BootMark.current())
        slots.use(seat: seat, upTo: jobs.count)
        for (index, job) in jobs.enumerated() {
            let queue = try open.read { (reader) throws(StorageError) in
                try Lookup.block(job.id.rawValue, reader, open.tables)!.queue
            }
            let slot = slots.slot(seat: seat, index)
            slot.prepare(queue: queue, epoch: 1, attempt: 1, flags: job.flags)
            slot.publish(job.id.rawValue, startedAt: 1)
        }
    }
}

@Suite("Suspects", .timeLimit(.minutes(10))) struct SuspectTests {
    private static let echo = JobClosure("echo") { (number: Int, _) in number }

    @Test("a suspect that waits for another job lets it run", arguments: [false, true])
    func waits(isAsync: Bool) async throws {
        try await withStore { store in
            let child = try await store.numbers("echo", [1])[0]
            let parent =
                isAsync
                ? try await store.enqueue(AsyncWaiter(id: child.id.rawValue)).id
                : try await store.enqueue(Waiter(id: child.id.rawValue)).id
            try store.leaveRunning([(parent, 0)])
            let runner = try makeRunner(
                store, [Self.echo], jobs: [Waiter.self, AsyncWaiter.self])
            try await runner.run {
                try await expectEqual(store.handle(of: parent, output: Int.self).result, 2)
            }
            #expect(try store.outcome(of: parent)?.attempt == 2)
        }
    }

    @Test("an asynchronous suspect that found no place runs when there is one")
    func noPlace() async throws {
        try await withStore { store in
            let suspect = try await store.enqueue(Plain())
            try store.leaveRunning([(suspect.id, 0)])
            try await store.pause(queue: "later")
            let runner = try makeRunner(store, jobs: [Plain.self, Held.self]) { $0.asyncLimit = 1 }
            try await runner.run {
                let held = try await store.enqueue(Held())
                await Held.begun.wait()
                try await store.resume(queue: "later")
                while !runner.core.claims.state.withLock({ state in
                    state.loneJob != nil && state.deferred.contains { $0.first == state.loneJob }
                }) { try await turn() }
                Held.gate.open()
                try await expectEqual(suspect.result, 1)
                try await expectEqual(held.result, 1)
            }
        }
    }

    @Test("a suspect that waits for another job holds its place at a limit meanwhile")
    func limits() async throws {
        try await withStore { store in
            let gate = Gate()
            let child = JobClosure("child") { (number: Int, _) in
                gate.block()
                return number
            }
            let waited = try await store.numbers("child", [1])[0]
            let jobs = try await store.enqueue(
                contentsOf: (0..<2).map { _ in LimitedWaiter(id: waited.id.rawValue) })
            try store.leaveRunning([(jobs[0].id, 0)])
            let runner = try makeRunner(
                store, [child, Self.echo], jobs: [LimitedWaiter.self], workers: 2)
            try await runner.run {
                // The other one was met before this one.
                try await expectEqual(store.numbers("echo", [7])[0].result, 7)
                #expect(try jobs[0].state.isRunning)
                #expect(try jobs[1].state == .ready)
                gate.open()
                for job in jobs { try await expectEqual(job.result, 2) }
            }
            #expect(runner.core.claims.state.withLock { $0.besideOthers.isEmpty })
        }
    }

    @Test("a crash is a lone one when nobody else was at work")
    func loneCrashes() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("echo", [1, 2, 3, 4]).map { $0.id }
            let (alone, waiting) = (AttemptSlot.alone, AttemptSlot.alone | AttemptSlot.waiting)
            func loneOnes(_ left: [(id: JobID, flags: UInt32)]) throws -> [UInt64] {
                try store.leaveRunning(left)
                let cut = try Takeover.collect(store.open).cut
                store.open.slots.clearAll()
                return cut.filter { $0.wasAlone }.map { $0.job }
            }
            #expect(try loneOnes([(jobs[0], alone)]) == [1])
            #expect(try loneOnes([(jobs[0], 0)]) == [])
            // Its queue went on while others were at work.
            #expect(try loneOnes([(jobs[0], alone), (jobs[1], 0)]) == [])
            // Beside a command, and those that wait for it.
            #expect(
                try loneOnes([
                    (jobs[0], waiting), (jobs[1], alone), (jobs[2], AttemptSlot.waiting),
                    (jobs[3], AttemptSlot.command),
                ]) == [2])
        }
    }

    @Test("a job's slot says that it waits as long as it does", arguments: [false, true])
    func saysSo(isAsync: Bool) async throws {
        try await withStore { store in
            let gate = Gate()
            let child = JobClosure("child") { (number: Int, _) in
                gate.block()
                return number
            }
            let runner = try makeRunner(
                store, [child], jobs: [Waiter.self, AsyncWaiter.self], workers: 2)
            try await runner.run {
                let waited = try await store.numbers("child", [1])[0]
                let parent =
                    isAsync
                    ? try await store.enqueue(AsyncWaiter(id: waited.id.rawValue)).id
                    : try await store.enqueue(Waiter(id: waited.id.rawValue)).id
                while store.open.slots.slot(of: parent.rawValue)?.isWaiting != true {
                    try await turn()
                }
                gate.open()
                // One more when it finds that it does not wait.
                try await expectEqual(store.handle(of: parent, output: Int.self).result, 2)
            }
        }
    }
}
