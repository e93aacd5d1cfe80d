import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Tags and headers") struct MetadataTests {
    @Test("tags and headers are kept, seen by the job, and inherited by what it enqueues")
    func inherited() async throws {
        let seen = Trace<JobMetadata?>()
        let work = JobClosure("work") { (depth: Int, context) -> Int in
            seen.add(context.metadata)
            if depth > 0 {
                try context.enqueue(
                    name: "work", payload: depth - 1,
                    options: EnqueueOptions(
                        metadata: JobMetadata(tags: ["child"], headers: ["own": "1"])))
            }
            return depth
        }
        struct Waits: AsyncJob {
            var number: Int
            func run(_ context: JobContext) async -> String {
                context.metadata?.headers["traceparent"] ?? "none"
            }
        }
        try await withStore { store in
            let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            let metadata = JobMetadata(tags: ["nightly", "eu"], headers: ["traceparent": trace])
            let options = EnqueueOptions(metadata: metadata)
            try await store.numbers("work", [1], options: options)
            try await store.numbers("work", [0])
            let waits = try await store.enqueue(Waits(number: 1), options: options)
            let without = try await store.enqueue(Waits(number: 2))
            try await makeRunner(store, [work], jobs: [Waits.self]).run {}
            #expect(seen.items.count == 3)
            #expect(seen.items[0] == metadata)
            #expect(seen.items[1] == nil)
            #expect(
                seen.items[2]
                    == JobMetadata(
                        tags: ["child", "nightly", "eu"],
                        headers: ["own": "1", "traceparent": trace]))
            try await expectEqual(waits.result, trace)
            try await expectEqual(without.result, "none")
            var filter = JobFilter()
            filter.tag = "nightly"
            var tagged: [UInt64] = []
            try store.forEachJob(filter) { summary in
                tagged.append(summary.id.rawValue)
                return true
            }
            #expect(tagged == [1, 3, 5])
            #expect(try store.details(of: waits.id).summary.metadata == metadata)
        }
    }

    @Test(
        "metadata out of its bounds is refused",
        arguments: [
            JobMetadata(tags: [""]), JobMetadata(tags: [String(repeating: "x", count: 65)]),
            JobMetadata(tags: (0...16).map { "\($0)" }), JobMetadata(headers: ["": "x"]),
            JobMetadata(headers: ["x": String(repeating: "y", count: 1_025)]),
        ])
    func bounds(metadata: JobMetadata) async throws {
        try await withStore { store in
            let error = await #expect(throws: EnqueueError.self) {
                try await store.numbers("work", [1], options: EnqueueOptions(metadata: metadata))
            }
            #expect("\(error!)".contains("allowed"))
        }
    }

    @Test("all jobs of a tag are cancelled: those that wait, are ready, or run")
    func cancelled() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let ran = Trace<Int>()
            let begun = Gate()
            // It runs until the others are cancelled: else its thread would take the next of them up in between.
            let allAsked = Gate()
            let work = JobClosure("work") { (number: Int, context) -> Int in
                ran.add(number)
                if number == 0 {
                    begun.open()
                    allAsked.block()
                    if !context.isCancelled { return number }
                    throw CancellationError()
                }
                return number
            }
            let options = EnqueueOptions(metadata: JobMetadata(tags: ["doomed"]))
            let runner = try makeRunner(store, [work])
            try await runner.run {
                let running = try await store.numbers("work", [0], options: options)[0]
                await begun.wait()
                let ready = try await store.enqueue(
                    contentsOf: (1...3_000).map { Numbered(number: $0) }, options: options)
                let other = try await store.numbers("work", [7_777])[0]
                var late = options
                late.due = .after(.seconds(60))
                try await store.numbers("work", [9_999], options: late)
                var filter = JobFilter()
                filter.tag = "doomed"
                let counts = try await store.cancel(matching: filter)
                #expect(counts == CancelCounts(cancelled: 3_001, stopping: 1))
                allAsked.open()
                await #expect(throws: JobError.cancelled(running.id)) { try await running.result }
                try await expectEqual(other.result, 7_777)
                expectEqual(try ready[17].state.isEnded, true)
            }
            #expect(ran.items == [0, 7_777])
            #expect(try store.counts().cancelled == 3_002)
        }
    }

    private struct Numbered: Job {
        var number: Int
        func run(_ context: JobContext) -> Int { number }
    }
}
