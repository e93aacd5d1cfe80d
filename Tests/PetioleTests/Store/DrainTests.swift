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

    @Test(
        "what is held behind jobs that are to run is waited for, and what is held behind others is not"
    )
    func held() async throws {
        try await withStore { store in
            func numbers(_ queue: String, after: JobID? = nil) async throws -> JobHandle<Int> {
                var options = EnqueueOptions(queue: queue)
                if let after { options.after = [.success(of: after)] }
                return try await store.numbers("job", [1], options: options)[0]
            }
            let first = try await numbers("fetch")
            let second = try await numbers("build", after: first.id)
            let third = try await numbers("publish", after: second.id)
            try await expectEqual(
                store.waitUntilDrained(queue: "publish", timeout: .zero),
                .timedOut(unfinished: 1))
            try await store.pause(queue: "fetch")
            try await expectEqual(store.waitUntilDrained(queue: "publish"), .setAside(1))
            try await store.resume(queue: "fetch")
            try await store.hold(second.id)
            try await expectEqual(store.waitUntilDrained(queue: "publish"), .setAside(1))
            try await store.release(second.id)
            // What waits by itself has nobody to wait for.
            try await store.hold(third.id)
            try await expectEqual(store.waitUntilDrained(queue: "publish"), .setAside(1))
        }
    }

    @Test(
        "a runner that ends when nothing is left waits for what others run and its jobs come after")
    func heldForOthers() async throws {
        try await withStore { store in
            let gate = Gate()
            let begun = Gate()
            let fetch = JobClosure("fetch", queue: "fetch") { (number: Int, _) in
                begun.open()
                gate.block()
                return number
            }
            let build = JobClosure("build", queue: "build") { (number: Int, _) in number }
            let first = try await store.numbers(
                "fetch", [1], options: EnqueueOptions(queue: "fetch"))[0]
            let second = try await store.numbers(
                "build", [2],
                options: EnqueueOptions(queue: "build", after: [.success(of: first.id)]))[0]
            // Nobody runs the other queue.
            try await makeRunner(store, [build]).run {}
            expectEqual(try second.state, .held(after: [first.id]))
            try await makeRunner(store, [fetch]).run {
                await begun.wait()
                async let building: Void = makeRunner(store, [build]).run {}
                async let drained = store.waitUntilDrained(queue: "build")
                // Each lets both look again; what they found before would have ended them.
                for number in 1...50 {
                    let other = try await store.numbers("other", [number])[0]
                    try await store.cancel(other.id)
                }
                gate.open()
                try await building
                try #require(try store.outcome(of: second.id)?.kind == .succeeded)
                try await expectEqual(drained, .drained)
            }
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
