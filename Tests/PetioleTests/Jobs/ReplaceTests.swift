import PetioleStorage
import Testing

@testable import Petiole

/// Replaced jobs make room for those that replace them, whoever enqueues, also where nobody meets them.
@Suite("Replaced jobs and room", .timeLimit(.minutes(10))) struct ReplaceTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    private func replace(
        _ hold: Uniqueness.Hold = .untilFinished, queue: String? = nil
    ) -> EnqueueOptions {
        EnqueueOptions(
            queue: queue, unique: Uniqueness(key: "k", hold: hold, onConflict: .replace))
    }

    private func untilLeft(_ count: Int, _ store: JobStore) async throws {
        while try store.counts(queue: "default").unfinished != count {
            try Task.checkCancellation()
            try await turn()
        }
    }

    /// Runs a closure while the queue has an owner that does nothing.
    private func withOwner(_ store: JobStore, _ body: () async throws -> Void) async throws {
        let queue = try #require(try store.queueRows().first { $0.name == "default" }).record.id
        let byte = StoreFormat.queueLock(queue)
        #expect(try store.open.locks.tryLock(byte) == .taken)
        try await body()
        store.open.locks.unlock(byte)
    }

    @Test("a job that has ended and holds its key still makes no room for the one that takes it")
    func hadEnded() async throws {
        try await withStore { store in
            let options = replace(.afterFinish(.seconds(3_600)))
            let ended = try await store.numbers("echo", [1], options: options)[0]
            try await makeRunner(store, [echo]).run {}
            try await store.setCapacity(Capacity(jobs: 1), queue: "default")
            let other = try await store.numbers("echo", [2])[0]
            await store.expectNoRoom("default") {
                try await store.numbers("echo", [3], options: options)
            }
            try await store.cancel(other.id)
            let next = try await store.numbers("echo", [3], options: options)[0]
            #expect(next.id != ended.id)
        }
    }

    @Test("where nobody owns the queue, a replaced job ends with the acceptance of the other")
    func unowned() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 10), queue: "default")
            for number in 0..<100 {
                try store.enqueueBlocking(
                    name: "echo", payload: number, output: Int.self, options: replace())
            }
            #expect(try store.counts().unfinished == 1 && store.counts().cancelled == 99)
            expectSound(store)
            try await makeRunner(store, [echo]).run {}
            #expect(try store.counts().succeeded == 1)
        }
    }

    @Test(
        "a thread that replaces a ready job of an owner that meets none has ended it when it returns"
    )
    func blocking() async throws {
        try await withStore { store in
            try await store.numbers("echo", [1], options: replace())
            try await withOwner(store) {
                for number in 2...5 {
                    try await onThread("test-replace") {
                        _ = try store.enqueueBlocking(
                            name: "echo", payload: number, output: Int.self, options: replace())
                    }
                    expectEqual(try store.counts().unfinished, 1)
                }
            }
        }
    }

    @Test("what a buffered enqueue has replaced ends without being met")
    func buffered() async throws {
        try await withStore { store in
            let payload: [UInt8] = [1]
            try await store.enqueue(Cargo.self, payload: payload, options: replace())
            try await withOwner(store) {
                for _ in 1...20 {
                    try store.enqueue(
                        Cargo.self, payload: payload, options: replace(), durability: .buffered)
                }
                try await store.flush()
                try await untilLeft(1, store)
            }
            #expect(try store.counts().cancelled == 20)
        }
    }

    @Test("what a job has replaced with its success ends without being met")
    func effects() async throws {
        try await withStore { store in
            try await store.numbers("echo", [1], options: replace())
            let spawn = JobClosure("spawn", queue: "work") { (number: Int, context) -> Int in
                try context.enqueue(
                    name: "echo", payload: number, options: replace(queue: "default"))
                return number
            }
            try await withOwner(store) {
                try await makeRunner(store, [spawn]).run {
                    let jobs = try await store.numbers(
                        "spawn", [2, 3, 4], options: EnqueueOptions(queue: "work"))
                    for job in jobs { _ = try await job.result }
                }
                try await untilLeft(1, store)
            }
            #expect(try store.counts().cancelled == 3)
        }
    }
}
