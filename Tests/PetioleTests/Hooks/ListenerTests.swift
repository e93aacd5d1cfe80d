import Logging
import Synchronization
import Testing

@testable import Petiole

@Suite("Listeners", .timeLimit(.minutes(10))) struct ListenerTests {
    private struct Oops: Error {}

    private static func word(_ kind: JobStep.Kind) -> String {
        switch kind {
        case .queued(let due): due == nil ? "queued" : "queued for later"
        case .ready: "ready"
        case .started: "started"
        case .willRetry(let failure, _): "will retry \(failure.message)"
        case .postponed: "postponed"
        case .parked: "parked"
        case .interrupted: "interrupted"
        case .ended(let outcome): outcome.kind.rawValue
        case .requeued: "requeued"
        }
    }

    private struct Steps: Job {
        static let retryPolicy = RetryPolicy(maxAttempts: 3, backoff: .constant(.milliseconds(1)))
        var plan: [String]

        func run(_ context: JobContext) throws -> Int {
            switch plan[min(context.attempt, plan.count) - 1] {
            case "fail": throw Oops()
            case "discard": throw JobControl.discard("no")
            case "dead": throw JobControl.deadLetter("no")
            default: return context.attempt
            }
        }
    }

    @Test("listeners hear of each step of a job, in its order, with times and attempts")
    func steps() async throws {
        let heard = Trace<JobStep>()
        func story(_ id: JobID) -> [String] {
            heard.items.filter { $0.job == id }.map { Self.word($0.kind) }
        }
        let clock = TestClock()
        try await withStore(clock: clock) {
            $0.listeners = [JobListener { heard.add($0) }]
        } _: { store in
            let tagged = EnqueueOptions(metadata: JobMetadata(tags: ["t"]))
            let plain = try await store.enqueue(Steps(plan: ["go"]), options: tagged)
            let retried = try await store.enqueue(Steps(plan: ["fail", "go"]))
            let dead = try await store.enqueue(Steps(plan: ["fail", "fail", "fail"]))
            let discarded = try await store.enqueue(Steps(plan: ["discard"]))
            let cancelled = try await store.enqueue(Steps(plan: ["go"]))
            try await store.cancel(cancelled.id)
            let later = try await store.enqueue(
                Steps(plan: ["go"]), options: EnqueueOptions(due: .after(.seconds(60))))
            let expiring = try await store.enqueue(
                Steps(plan: ["go"]),
                options: EnqueueOptions(due: .after(.seconds(60)), expiry: .after(.seconds(61))))
            let unknown = try await store.numbers("unknown", [1])[0]
            clock.advance(.seconds(3_600))
            try await makeRunner(store, jobs: [Steps.self]).run {}
            try await store.requeue(plain.id)
            let echo = JobClosure("unknown") { (number: Int, _) in number }
            try await makeRunner(store, [echo], jobs: [Steps.self]).run {}
            store.open.events.drain()
            #expect(
                story(plain.id) == [
                    "queued", "started", "succeeded", "requeued", "started", "succeeded",
                ])
            #expect(
                story(retried.id) == [
                    "queued", "started", "will retry Oops()", "ready", "started", "succeeded",
                ])
            #expect(story(dead.id).last == "deadLetter")
            #expect(story(dead.id).count { $0 == "started" } == 3)
            #expect(story(discarded.id) == ["queued", "started", "discarded"])
            #expect(story(cancelled.id) == ["queued", "cancelled"])
            #expect(story(later.id) == ["queued for later", "ready", "started", "succeeded"])
            #expect(story(expiring.id).first == "queued for later")
            #expect(story(expiring.id).last == "expired")
            #expect(!story(expiring.id).contains("started"))
            #expect(
                story(unknown.id) == ["queued", "parked", "ready", "started", "succeeded"])
            let events = heard.items.filter { $0.job == retried.id }
            #expect(events.map(\.attempt) == [0, 1, 1, 1, 2, 2])
            #expect(events.allSatisfy { $0.name == "Steps" && $0.queue == "default" })
            #expect(events.allSatisfy { $0.missedBefore == 0 })
            let first = try #require(heard.items.first)
            #expect(first.metadata.tags == ["t"] && first.at.microseconds > 0)
        }
    }

    @Test("many that are accepted at once are heard of one by one, and asynchronous jobs too")
    func many() async throws {
        struct Task: AsyncJob {
            func run(_ context: JobContext) async throws -> NoResult { NoResult() }
        }
        let counts = Mutex<[String: Int]>([:])
        try await withStore { store in
            try await store.enqueue(contentsOf: (0..<700).map { _ in Task() })
            let runner = try makeRunner(store, jobs: [Task.self]) {
                $0.listeners = [
                    JobListener { event in
                        counts.withLock { $0[Self.word(event.kind), default: 0] += 1 }
                    }
                ]
            }
            _ = try await runner.run {
                try await store.enqueue(contentsOf: (0..<700).map { _ in Task() })
            }
            // Those accepted before the runner began to listen were not heard of.
            let expected = ["queued": 700, "started": 1_400, "succeeded": 1_400]
            #expect(counts.withLock { $0 } == expected)
            #expect(!store.open.events.isListening)
        }
    }

    @Test("a listener that throws is logged, and the others hear the same, in their order")
    func throwing() async throws {
        let log = LogTrace()
        let heard = Trace<String>()
        try await withStore {
            $0.logger = log.logger
            $0.listeners = [
                JobListener { _ in
                    heard.add("first")
                    throw Oops()
                },
                JobListener { _ in heard.add("second") },
            ]
        } _: { store in
            try await store.numbers("x", [1, 2])
            store.open.events.drain()
            #expect(heard.items == ["first", "second", "first", "second"])
            #expect(log.count("a listener threw") == 2)
        }
    }

    @Test("what has happened before a store is closed is heard of")
    func closing() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let heard = Trace<JobID>()
        let other = try directory.open()
        let store = try directory.open { $0.listeners = [JobListener { heard.add($0.job) }] }
        for _ in 0..<20 {
            try store.enqueue(Steps(plan: ["go"]), durability: .buffered)
        }
        store.close()
        #expect(heard.items.count == 20)
        try await other.enqueue(Steps(plan: ["go"]))
        #expect(heard.items.count == 20)
        other.close()
    }

    // writer                                worker
    // commits the acceptance
    //                                       starts the job, gives "started"
    // gives "queued"                        ← would be heard second
    @Test("a start that is given while a commit is under way is heard after what it committed")
    func startDuringCommit() async throws {
        try await withStore { store in
            for commits in [true, false] {
                let hub = EventHub()
                let heard = Trace<String>()
                let tokens = hub.add(
                    [JobListener { heard.add(Self.word($0.kind)) }], Logger(label: "test"),
                    store.open)
                hub.beginCommit()
                hub.started(1, attempt: 1, at: 1)
                hub.drain()
                #expect(heard.items == [])
                hub.endCommit(commits ? [.queued(first: 1, count: 1, due: 0, at: 1)] : [])
                hub.started(2, attempt: 1, at: 1)
                hub.remove(tokens)
                #expect(heard.items == (commits ? ["queued"] : []) + ["started", "started"])
            }
        }
    }

    @Test("what was left out when nothing follows is said with the next event")
    func leftOutLast() async throws {
        try await withStore { store in
            let hub = EventHub()
            let (gate, atGate) = (Gate(), Gate())
            let missed = Trace<Int>()
            let log = LogTrace()
            let tokens = hub.add(
                [
                    JobListener { event in
                        atGate.open()
                        gate.block()
                        missed.add(event.missedBefore)
                    }
                ], log.logger, store.open)
            hub.started(1, attempt: 1, at: 1)
            await atGate.wait()
            let full = UInt64(EventHub.limit)
            hub.endCommit([.queued(first: 1, count: full, due: 0, at: 1)])
            gate.open()
            // Each look finds nothing to tell.
            for _ in 0..<100 {
                hub.drain()
                hub.endCommit([])
                await Task.yield()
            }
            hub.endCommit([.other(id: 1, .ready, attempt: 0, at: 1)])
            hub.remove(tokens)
            #expect(missed.items == [0, Int(full)])
            #expect(log.count("events=\(full)") == 1)
        }
    }

    @Test("what a listener is too slow for is left out, counted and logged")
    func bound() async throws {
        try await withStore { store in
            let hub = EventHub()
            let log = LogTrace()
            let gate = Gate()
            let atGate = Gate()
            let missed = Trace<Int>()
            let tokens = hub.add(
                [
                    JobListener { event in
                        atGate.open()
                        gate.block()
                        if event.kind != .started { missed.add(event.missedBefore) }
                    }
                ], log.logger, store.open)
            hub.started(1, attempt: 1, at: 1)
            await atGate.wait()
            let full = UInt64(EventHub.limit)
            // One note is never too large for an empty list, but this one is not empty.
            hub.endCommit([.queued(first: 1, count: full, due: 0, at: 1)])
            hub.endCommit([.queued(first: 1, count: 5, due: 0, at: 1)])
            gate.open()
            hub.drain()
            hub.endCommit([.other(id: 1, .ready, attempt: 0, at: 1)])
            hub.remove(tokens)
            #expect(missed.items.count == 6)
            #expect(missed.items.first == Int(full))
            #expect(log.count("events=\(full)") == 1)
        }
    }
}
