import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Pruning", .timeLimit(.minutes(10))) struct PruningTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }
    private static let day = Duration.seconds(86_400)

    /// As the steward does, until nothing more is old enough.
    private func prune(_ store: JobStore) async throws {
        try await onThread("test-prune") {
            while Pruning.step(store.open).hasMore {}
            SpilledOutputs.sweep(store.open)
        }
    }

    @Test("jobs that ended longer ago than they are kept are gone, and the others are not")
    func basic() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            let old = try await store.numbers("echo", Array(0..<5))
            try await makeRunner(store, [echo]).run {}
            try await prune(store)
            #expect(try store.counts().succeeded == 5)
            _ = try store.state(of: old[0].id)
            clock.advance(Self.day * 2)
            let new = try await store.numbers("echo", Array(0..<5))
            try await prune(store)
            for job in old { #expect(throws: StoreError.noSuchJob(job.id)) { try job.state } }
            for job in new { #expect(try job.state == .ready) }
            // Counts go on; ids are not used again.
            #expect(try store.counts().accepted == 10)
            #expect(new[0].id > old[4].id)
            try await makeRunner(store, [echo]).run {
                for (number, job) in new.enumerated() { try await expectEqual(job.result, number) }
            }
        }
    }

    @Test(
        "a job that waits for its next attempt survives its block, runs, and is pruned in its turn")
    func survivor() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            struct Sometimes: Job {
                static var retryPolicy: RetryPolicy {
                    RetryPolicy(
                        maxAttempts: 2, backoff: .exponential(.seconds(40 * 86_400)),
                        maxDelay: .seconds(40 * 86_400))
                }
                var fails: Bool
                func run(_ context: JobContext) throws -> Int {
                    if fails && context.attempt == 1 { throw Refusal() }
                    return context.attempt
                }
            }
            let jobs = try await store.enqueue(
                contentsOf: (0..<9).map { Sometimes(fails: $0 == 4) })
            let survivor = jobs[4]
            let runner = try makeRunner(store, jobs: [Sometimes.self])
            async let run: Void = runner.run()
            try await store.untilWaiting(survivor.id, attempts: 1)
            for index in jobs.indices where index != 4 {
                #expect(try await jobs[index].result == 1)
            }
            runner.stop()
            try await run
            // Its wait is random, up to 40 days: this is before it is due, or it is due and has not run.
            clock.advance(Self.day * 2)
            try await prune(store)
            #expect(throws: StoreError.noSuchJob(jobs[0].id)) { try jobs[0].state }
            guard case .waiting(_, attempts: 1) = try survivor.state else {
                Issue.record("\(try survivor.state) is not waiting")
                return
            }
            expectSound(store)
            clock.advance(Self.day * 40)
            try await makeRunner(store, jobs: [Sometimes.self]).run {
                try await expectEqual(survivor.result, 2)
            }
            expectSound(store)
            try await prune(store)
            // Ended lately, on the system's clock that its times are taken from; gone when that is long ago.
            clock.advance(Self.day * 2)
            try await store.enqueue(Sometimes(fails: false))
            try await prune(store)
            #expect(throws: StoreError.noSuchJob(survivor.id)) { try survivor.state }
            let tables = store.open.tables
            let left = try store.open.read { (reader) throws(StorageError) in
                (try reader.count(tables.kept), try reader.count(tables.outcomes))
            }
            #expect(left == (0, 0))
        }
    }

    @Test("a dead letter outlives its block, and what follows it is pruned")
    func deadLetter() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            let dead = try await store.enqueue(
                name: "echo", payload: "not a number", output: Int.self)
            let others = try await store.numbers("echo", Array(0..<5))
            try await makeRunner(store, [echo]).run {}
            #expect(try store.outcome(of: dead.id)?.kind == .deadLetter)
            clock.advance(Self.day * 2)
            try await prune(store)
            #expect(try store.outcome(of: dead.id)?.kind == .deadLetter)
            for job in others { #expect(throws: StoreError.noSuchJob(job.id)) { try job.state } }
            let last = try await store.numbers("echo", [7])[0]
            try await makeRunner(store, [echo]).run {}
            var kinds: [UInt64: Outcome.Kind] = [:]
            try store.forEachOutcome(from: dead.id, through: last.id) { id, kind, _ in
                #expect(kinds.updateValue(kind, forKey: id.rawValue) == nil)
                return true
            }
            #expect(kinds == [dead.id.rawValue: .deadLetter, last.id.rawValue: .succeeded])
        }
    }

    @Test("what a command wrote to a file goes with its job, and not before")
    func spilled() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.retention = Self.day }) { store in
            let line = "head -c 1100000 /dev/zero"
            let job = try await store.enqueue(
                commands: [JobStore.CommandRequest(command: try Command("sh", "-c", line))],
                options: EnqueueOptions())
            try await JobRunner(
                commandsOf: "default", in: store, retryPolicy: .standard,
                options: JobRunner.Options()
            ).run {}
            let path = store.spillPath("\(job[0].lowerBound)-1.out")
            #expect(access(path, F_OK) == 0)
            try await prune(store)
            #expect(access(path, F_OK) == 0)
            clock.advance(Self.day * 2)
            try await prune(store)
            let id = JobID(rawValue: job[0].lowerBound)
            #expect(throws: StoreError.noSuchJob(id)) { try store.state(of: id) }
            #expect(access(path, F_OK) != 0)
        }
    }
}
