import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Ownership", .timeLimit(.minutes(10))) struct OwnershipTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    @Test("a queue that is run already is refused, with the process and the job types named")
    func owned() async throws {
        try await withStore { store in
            try await makeRunner(store, [echo]).run {
                let other = JobClosure("other", queue: "elsewhere") { (number: Int, _) in number }
                let second = try makeRunner(store, [echo, other])
                await #expect(
                    throws: RunnerError.queueOwned(
                        queue: "default", pid: Int(getpid()), jobs: ["echo"])
                ) { try await second.run {} }
                // What it had taken before it was refused is free again.
                try await makeRunner(store, [other]).run {}
                #expect(
                    try store.queues().first { $0.name == "default" }?.ownerPID == Int(getpid()))
            }
            #expect(try store.queues().allSatisfy { $0.ownerPID == nil })
        }
    }

    @Test("a store that is closed and opened again still knows what this process holds")
    func reopened() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let first = try directory.open()
        let locks = first.open.locks
        #expect(try locks.tryLock(StoreFormat.queueLock(1)) == .taken)
        first.close()
        let second = try directory.open()
        #expect(try second.open.locks.tryLock(StoreFormat.queueLock(1)) == .heldBy(getpid()))
        second.close()
        locks.unlock(StoreFormat.queueLock(1))
    }

    @Test("two runners of different queues run side by side in one process")
    func twoQueues() async throws {
        try await withStore { store in
            let other = JobClosure("other", queue: "elsewhere") { (number: Int, _) in -number }
            try await makeRunner(store, [echo]).run {
                try await makeRunner(store, [other]).run {
                    let here = try await store.numbers("echo", [1])[0]
                    let there = try await store.numbers(
                        "other", [1], options: EnqueueOptions(queue: "elsewhere"))[0]
                    #expect(try await here.result == 1)
                    #expect(try await there.result == -1)
                }
            }
        }
    }

    @Test("a runner runs once")
    func startedTwice() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [echo])
            try await runner.run {}
            await #expect(throws: RunnerError.startedTwice) { try await runner.run {} }
        }
    }

    @Test("two job types of one name, and names that cannot be, are refused")
    func registration() async throws {
        try await withStore { store in
            #expect(throws: RunnerError.registeredTwice("echo")) {
                try makeRunner(store, [echo, echo])
            }
            let wrong = JobClosure("not a name") { (number: Int, _) in number }
            #expect(throws: RunnerError.invalidName("not a name", what: "job")) {
                try makeRunner(store, [wrong])
            }
        }
    }

    @Test("outcomes of an owner whose queue was taken over are not recorded, and it stops")
    func fenced() async throws {
        try await withStore { store in
            let started = Gate()
            let goOn = Gate()
            let slow = JobClosure("slow") { (number: Int, _) -> Int in
                started.open()
                goOn.block()
                return number
            }
            let job = try await store.numbers("slow", [1])[0]
            let runner = try makeRunner(store, [slow])
            await #expect(throws: RunnerError.fenced(queue: "default")) {
                try await runner.run {
                    await started.wait()
                    // As a takeover does, whatever made the lock go.
                    _ = try await store.open.perform { (transaction, state) throws(StorageError) in
                        try Takeover.apply(
                            ["default"], [], store.open.tables, &transaction, &state)
                    }
                    goOn.open()
                    _ = try await job.result
                }
            }
            #expect(try job.state == .ready)
            try await makeRunner(store, [slow]).run { try await expectEqual(job.result, 1) }
        }
    }
}
