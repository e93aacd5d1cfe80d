import Synchronization
import Testing

@testable import Petiole

@Suite("Run middleware", .timeLimit(.minutes(10))) struct RunMiddlewareTests {
    private struct Oops: Error {}

    private struct Around: RunMiddleware {
        let name: String
        let trace: Trace<String>
        var body: @Sendable (AttemptInfo, () -> AttemptEnd) throws -> Void = { _, next in
            _ = next()
        }

        func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) throws {
            trace.add("\(name) before")
            try body(attempt) {
                let end = next()
                trace.add("\(name) \(Self.word(end))")
                return end
            }
        }

        func runAsync(_ attempt: AttemptInfo, _ next: () async -> AttemptEnd) async throws {
            trace.add("\(name) before")
            let end = await next()
            trace.add("\(name) \(Self.word(end))")
        }

        static func word(_ end: AttemptEnd) -> String {
            switch end {
            case .succeeded: "succeeded"
            case .failed(let error): "failed \(error)"
            case .stopped: "stopped"
            }
        }
    }

    private static let info = AttemptInfo(
        id: JobID(rawValue: 7), name: "x", attempt: 1, queue: "q", priority: 4,
        metadata: JobMetadata(), acceptedAt: nil)

    /// How one middleware misbehaves, how often the attempt is made, what it came to, and how much is logged.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let body: @Sendable (() -> AttemptEnd) throws -> Void
        var made = 1
        var end = "succeeded"
        var logged: Int
    }

    @Test(
        "whatever middleware does, the attempt is made once and its end stands, or a control decides",
        arguments: [
            Case(testDescription: "calls next", body: { _ = $0() }, logged: 0),
            Case(
                testDescription: "calls next twice",
                body: { next in
                    _ = next()
                    _ = next()
                }, logged: 1),
            Case(testDescription: "does not call next", body: { _ in }, logged: 1),
            Case(testDescription: "throws before next", body: { _ in throw Oops() }, logged: 2),
            Case(
                testDescription: "throws after next",
                body: { next in
                    _ = next()
                    throw Oops()
                }, logged: 1),
            Case(
                testDescription: "throws a control before next",
                body: { _ in throw JobControl.discard("not today") }, made: 0,
                end: "failed not today", logged: 0),
            Case(
                testDescription: "throws a control after next",
                body: { next in
                    _ = next()
                    throw JobControl.discard("too late")
                }, logged: 1),
        ])
    func misbehaving(_ one: Case) {
        for position in 0...2 {
            let trace = Trace<String>()
            let log = LogTrace()
            var all = [Around(name: "a", trace: trace), Around(name: "b", trace: trace)]
            all.insert(Around(name: "bad", trace: trace) { try one.body($1) }, at: position)
            let chain = RunMiddlewareChain(middleware: all, logger: log.logger)
            var made = 0
            let end = chain.run(Self.info) {
                made += 1
                return .succeeded
            }
            #expect(made == one.made)
            #expect(Around.word(end) == one.end)
            #expect(log.lines.count == one.logged)
            // Those around it have seen the same end.
            #expect(
                trace.items.contains("a \(one.end)") == (position > 0 || one.made == 1))
        }
    }

    private struct Sync: Job {
        static let retryPolicy = RetryPolicy.never
        var fails = false
        func run(_ context: JobContext) throws -> Int {
            if fails { throw Oops() }
            return 1
        }
    }

    private struct Asynchronous: AsyncJob {
        static let retryPolicy = RetryPolicy.never
        var fails = false
        func run(_ context: JobContext) async throws -> Int {
            if fails { throw Oops() }
            return 1
        }
    }

    @Test("middleware runs around jobs of every kind, and sees what the attempt is and comes to")
    func kinds() async throws {
        let trace = Trace<String>()
        let infos = Trace<AttemptInfo>()
        try await withStore { store in
            let closure = JobClosure("closure") { (number: Int, _) in number }
            let runner = try makeRunner(
                store, [closure], jobs: [Sync.self, Asynchronous.self]
            ) {
                $0.middleware = [
                    Around(name: "a", trace: trace) { info, next in
                        infos.add(info)
                        _ = next()
                    },
                    Around(name: "b", trace: trace),
                ]
            }
            try await runner.run {
                var seen = 0
                func expect(_ end: String) {
                    #expect(
                        trace.items.dropFirst(seen) == [
                            "a before", "b before", "b \(end)", "a \(end)",
                        ])
                    seen = trace.items.count
                }
                let traced = EnqueueOptions(
                    priority: 1, metadata: JobMetadata(headers: ["traceparent": "00"]))
                let job = try await store.enqueue(Sync(), options: traced)
                try await expectEqual(job.result, 1)
                expect("succeeded")
                let info = try #require(infos.items.first)
                #expect(info.id == job.id && info.name == "Sync" && info.attempt == 1)
                #expect(info.queue == "default" && info.priority == 1)
                #expect(info.metadata.headers == ["traceparent": "00"])
                #expect(info.acceptedAt != nil)
                _ = try? await store.enqueue(Sync(fails: true)).result
                expect("failed Oops()")
                try await expectEqual(store.enqueue(Asynchronous()).result, 1)
                expect("succeeded")
                _ = try? await store.enqueue(Asynchronous(fails: true)).result
                expect("failed Oops()")
                try await expectEqual(store.numbers("closure", [3])[0].result, 3)
                expect("succeeded")
                _ = try? await store.enqueue(name: "Sync", json: "[]", options: .init()).description
                _ = try? await store.handle(of: JobID(rawValue: 6), output: Int.self).result
                #expect(trace.items.last?.hasPrefix("a failed UndecodablePayload") == true)
            }
        }
    }

    @Test("a control that middleware throws before the attempt is what follows")
    func control() async throws {
        struct Breaker: RunMiddleware {
            func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) throws {
                throw JobControl.discard("closed for today")
            }
            func runAsync(_ attempt: AttemptInfo, _ next: () async -> AttemptEnd) async throws {
                throw JobControl.deadLetter("closed for good")
            }
        }
        try await withStore { store in
            let sync = try await store.enqueue(Sync())
            let task = try await store.enqueue(Asynchronous())
            try await makeRunner(store, jobs: [Sync.self, Asynchronous.self]) {
                $0.middleware = [Breaker()]
            }.run {}
            let first = try #require(try store.outcome(of: sync.id))
            #expect(first.kind == .discarded && first.failure?.message == "closed for today")
            let second = try #require(try store.outcome(of: task.id))
            #expect(second.kind == .deadLetter && second.failure?.message == "closed for good")
        }
    }
}
