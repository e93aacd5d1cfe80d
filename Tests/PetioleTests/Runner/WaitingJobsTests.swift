import Foundation
import Testing

@testable import Petiole

private struct Sum: Job {
    var depth: Int
    func run(_ context: JobContext) throws -> Int {
        if depth == 0 { return 1 }
        let id = try context.store.enqueueBlocking(depth: depth - 1)
        return try 1
            + context.result(of: JobHandle<Int>(store: context.store, id: id, codec: .compact))
    }
}

private struct AsyncSum: AsyncJob {
    var depth: Int
    func run(_ context: JobContext) async throws -> Int {
        if depth == 0 { return 1 }
        return try await 1 + context.store.enqueue(AsyncSum(depth: depth - 1)).result
    }
}

/// Awaits several jobs from tasks of its own.
private struct Fan: AsyncJob {
    var width: Int
    func run(_ context: JobContext) async throws -> Int {
        let jobs = try await context.store.enqueue(
            contentsOf: (0..<width).map { _ in AsyncSum(depth: 0) })
        return try await withThrowingTaskGroup(of: Int.self) { group in
            for job in jobs { group.addTask { try await job.result } }
            return try await group.reduce(0, +)
        }
    }
}

/// Holds its place until a test opens the gate.
private struct Held: AsyncJob {
    static let gate = Gate()
    func run(_ context: JobContext) async throws -> Int {
        await Self.gate.wait()
        return 1
    }
}

private struct WhereAmI: AsyncJob {
    func run(_ context: JobContext) async throws -> [Bool] {
        var places: [Bool] = []
        for _ in 0..<20 {
            places.append(isOnPool())
            await Task.yield()
        }
        return places
    }
}

extension JobStore {
    /// From a job on a thread: hands a job over and waits for its acceptance.
    fileprivate func enqueueBlocking(depth: Int) throws -> JobID {
        let pending = try enqueue(Sum(depth: depth), durability: .buffered)
        let done = SharedWord()
        let accepted = Trace<JobID>()
        Task {
            do { accepted.add(try await pending.accepted.id) } catch { Issue.record(error) }
            done.publish(1)
            done.wakeAll()
        }
        while done.value == 0 { done.wait(while: 0) }
        return accepted.items[0]
    }
}

@Suite("Jobs that wait for jobs", .timeLimit(.minutes(10))) struct WaitingJobsTests {
    @Test("a job that waits on its thread for another gives its place up", arguments: [1, 2])
    func synchronous(workers: Int) async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: [Sum.self], workers: workers).run {
                try await expectEqual(store.enqueue(Sum(depth: 10)).result, 11)
            }
        }
    }

    @Test("an asynchronous job that awaits others gives its place up", arguments: [1, 3])
    func asynchronous(limit: Int) async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [AsyncSum.self]) { $0.asyncLimit = limit }
            try await runner.run {
                try await expectEqual(store.enqueue(AsyncSum(depth: 10)).result, 11)
            }
        }
    }

    @Test("a hundred asynchronous jobs all run with one place")
    func onePlace() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [AsyncSum.self]) { $0.asyncLimit = 1 }
            try await runner.run {
                let jobs = try await store.enqueue(
                    contentsOf: (0..<100).map { _ in AsyncSum(depth: 0) })
                for job in jobs { #expect(try await job.result == 1) }
            }
        }
    }

    @Test("more jobs than a runner has slots wait for others, and all come to their end")
    func moreThanSlots() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [AsyncSum.self]) { $0.asyncLimit = 8 }
            let parents = RunningSlots.slotsPerSeat + 200
            let jobs = try await store.enqueue(
                contentsOf: (0..<parents).map { _ in AsyncSum(depth: 1) })
            try await runner.run { for job in jobs { try await expectEqual(job.result, 2) } }
            #expect(try store.counts().retries == 0)
            #expect(try store.history(of: jobs[parents - 1].id).isEmpty)
            expectSound(store)
        }
    }

    @Test("several tasks of one job that wait give up one place, and take it back once")
    func waitsAtOnce() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Fan.self, AsyncSum.self]) {
                $0.asyncLimit = 2
            }
            try await runner.run {
                for _ in 0..<10 { try await expectEqual(store.enqueue(Fan(width: 20)).result, 20) }
            }
            #expect(runner.core.places.inFlight == 0)
            #expect(runner.core.places.begun == 0)
        }
    }

    @Test("jobs on threads go on while asynchronous ones hold all places")
    func placesHeld() async throws {
        try await withStore { store in
            let quick = JobClosure("quick") { (number: Int, _) in number }
            let runner = try makeRunner(store, [quick], jobs: [Held.self]) { $0.asyncLimit = 1 }
            try await runner.run {
                let held = try await store.enqueue(contentsOf: (0..<10).map { _ in Held() })
                for job in try await store.numbers("quick", [1, 2, 3]) { _ = try await job.result }
                Held.gate.open()
                for job in held { _ = try await job.result }
            }
        }
    }

    @Test("an asynchronous job runs on the pool's threads, before and after it has waited")
    func executor() async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: [WhereAmI.self]).run {
                let job = try await store.enqueue(WhereAmI())
                #expect(try await job.result == [Bool](repeating: true, count: 20))
            }
        }
    }
}

/// Whether the calling thread belongs to a pool: a worker, or the thread that takes tasks while all workers are in jobs.
private func isOnPool() -> Bool {
    #if canImport(Darwin)
        var bytes = [CChar](repeating: 0, count: 64)
        pthread_getname_np(pthread_self(), &bytes, bytes.count)
        let name = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
    #else
        // Empty where it cannot be read: not the pool's.
        let comm = (try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)) ?? ""
        let name = comm.trimmingCharacters(in: .newlines)
    #endif
    return name.wholeMatch(of: /petiole-([0-9]+|tasks)/) != nil
}
