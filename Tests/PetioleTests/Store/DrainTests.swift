import Testing

@testable import Petiole

@Suite("Drained", .timeLimit(.minutes(10))) struct DrainTests {
    @Test("who waits is told when the last job has ended, also one that is enqueued or tried again")
    func drained() async throws {
        try await withStore { store in
            try await expectEqual(store.waitUntilDrained(), .drained)
            let gate = Gate()
            let policy = RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
            let job = JobClosure("job", retryPolicy: policy) { (number: Int, context) -> Int in
                gate.block()
                if context.attempt == 1 { throw Refusal() }
                if number < 3 {
                    let _: JobHandle<NoResult> = try context.store.enqueueBlocking(
                        name: "job", payload: number + 1)
                }
                return number
            }
            try await store.numbers("job", [0])
            let runner = try makeRunner(store, [job])
            async let running: Void = runner.run()
            async let waiting = store.waitUntilDrained(queue: "default")
            try await expectEqual(store.waitUntilDrained(queue: "other"), .drained)
            try await expectEqual(
                store.waitUntilDrained(timeout: .zero), .timedOut(unfinished: 1))
            gate.open()
            try await expectEqual(waiting, .drained)
            #expect(try store.counts().succeeded == 4)
            runner.stop()
            try await running
        }
    }

    @Test("what nobody will run as things are is not waited for, and is counted")
    func aside() async throws {
        try await withStore { store in
            let job = JobClosure("job") { (number: Int, _) in number }
            try await store.numbers("nobody", [1, 2])
            try await store.numbers("job", [3], options: EnqueueOptions(queue: "paused"))
            try await store.pause(queue: "paused")
            let runner = try makeRunner(store, [job])
            async let running: Void = runner.run()
            try await expectEqual(store.waitUntilDrained(), .setAside(3))
            runner.stop()
            try await running
        }
    }

    @Test("who is cancelled while he waits stops, and a queue of a wrong name is refused")
    func cancelled() async throws {
        try await withStore { store in
            try await store.numbers("job", [1])
            let task = Task { try await store.waitUntilDrained() }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            await #expect(throws: StoreError.self) {
                try await store.waitUntilDrained(queue: "a b")
            }
        }
    }
}
