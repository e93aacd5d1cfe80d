import Testing

@testable import Petiole

@Suite("Routing", .timeLimit(.minutes(10))) struct RoutingTests {
    private struct Resize: Job {
        static let jobName = "images.resize"
        static let queue = "own"
        func run(_ context: JobContext) throws -> NoResult {
            try context.enqueue(name: "mail.send", payload: 1)
            return NoResult()
        }
    }

    private struct Plain: Job {
        static let queue = "own"
        func run(_ context: JobContext) -> NoResult { NoResult() }
    }

    @Test("the first rule that fits decides: exact, prefix, or a closure")
    func rules() throws {
        let routing = try Routing([
            .exact("images.resize", to: "a"), .prefix("images.", to: "b"),
            .custom { $0.hasSuffix(".slow") ? "c" : nil }, .prefix("m", to: "d"),
        ])
        let expected = [
            "images.resize": "a", "images.resize2": "b", "images.x.slow": "b", "x.slow": "c",
            "mail": "d", "images": nil, "": nil,
        ]
        for (name, queue) in expected { #expect(routing.queue(for: name) == queue) }
        #expect(try Routing([.prefix("", to: "all")]).queue(for: "x") == "all")
    }

    @Test("names in rules that no job or queue can have are refused where they are written")
    func refused() async throws {
        #expect(throws: EnqueueError.self) { try Routing([.exact("a b", to: "x")]) }
        #expect(throws: EnqueueError.self) { try Routing([.exact("a", to: "x y")]) }
        #expect(throws: EnqueueError.self) { try Routing([.prefix("a", to: "")]) }
        let wrong = try Routing([.custom { _ in "no queue" }])
        try await withStore {
            $0.routing = wrong
        } _: { store in
            await #expect(throws: EnqueueError.self) { try await store.enqueue(Plain()) }
            #expect(throws: RunnerError.self) { _ = try makeRunner(store, jobs: [Plain.self]) }
        }
    }

    @Test("an enqueue's queue goes before the routing's, and that before the job type's")
    func precedence() async throws {
        let routing = try Routing([
            .prefix("images.", to: "images"), .exact("mail.send", to: "mail"),
        ])
        try await withStore {
            $0.routing = routing
        } _: { store in
            func queue(_ id: JobID) throws -> String { try store.details(of: id).summary.queue }
            try await expectEqual(queue(store.enqueue(Resize()).id), "images")
            try await expectEqual(
                queue(store.enqueue(Resize(), options: EnqueueOptions(queue: "here")).id), "here")
            try await expectEqual(queue(store.enqueue(Plain()).id), "own")
            try await expectEqual(
                queue(store.enqueue(contentsOf: [Resize(), Resize()])[1].id), "images")
            try await expectEqual(queue(store.enqueue(name: "mail.send", payload: 1).id), "mail")
            try await expectEqual(queue(store.enqueue(name: "mail.send", json: "1")), "mail")
            try await expectEqual(queue(store.enqueue(name: "other", payload: 1).id), "default")
            try expectEqual(queue(store.enqueueBlocking(Resize()).id), "images")
        }
    }

    @Test("a runner owns the queues that its job types are routed to, and runs them there")
    func runner() async throws {
        let routing = try Routing([.prefix("images.", to: "images"), .prefix("mail.", to: "mail")])
        try await withStore {
            $0.routing = routing
        } _: { store in
            let job = try await store.enqueue(Resize())
            let send = JobClosure("mail.send") { (number: Int, _) in number }
            let runner = try makeRunner(store, [send], jobs: [Resize.self, Plain.self])
            try await runner.run {
                _ = try await job.result
                let owned = try store.queues().filter { $0.ownerPID != nil }.map(\.name)
                #expect(Set(owned) == ["images", "mail", "own"])
            }
            // What the job enqueued went where it is routed to.
            #expect(try store.counts(queue: "mail").succeeded == 1)
        }
    }

    @Test(
        "a queue that no process runs and a name that no runner knows are said, in log and status")
    func unserved() async throws {
        try await withStore { store in
            let log = LogTrace()
            try await store.numbers("nobody", [1, 2])
            try await store.enqueue(Plain(), options: EnqueueOptions(queue: "alone"))
            let before = try store.queues()
            #expect(before.allSatisfy { $0.isUnserved })
            let gate = Gate()
            let echo = JobClosure("echo") { (number: Int, _) -> Int in
                gate.open()
                return number
            }
            var options = JobRunner.Options()
            options.workers = 1
            let runner = try JobRunner(
                store, jobs: [], closures: [echo], options: options, logger: log.logger)
            try await runner.run {
                runner.core.unserved.look()
                runner.core.unserved.look()
                try await store.numbers("echo", [1])
                await gate.wait()
            }
            #expect(log.count("knows no job of a name") == 1)
            #expect(log.count("job=nobody queue=default") == 1)
            #expect(log.count("queue that no process runs queue=alone") == 1)
            #expect(try store.unknownNames(queue: "default") == ["nobody"])
            #expect(try store.unknownNames(queue: "alone") == [])
            #expect(try store.unknownNames(queue: "never") == [])
        }
    }
}
