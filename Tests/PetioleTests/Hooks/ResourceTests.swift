import Synchronization
import Testing

@testable import Petiole

@Suite("Shared resources", .timeLimit(.minutes(10))) struct ResourceTests {
    private struct Oops: Error {}

    /// Not `Sendable`: one attempt at a time has it.
    private final class Connection {
        let number: Int
        var uses = 0
        init(_ number: Int) { self.number = number }
    }

    private final class Model: Sendable {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    /// Counts what is made, and notes what is closed.
    private final class Works: Sendable {
        let made = Atomic<Int>(0)
        let closed = Trace<String>()
        /// How many makings fail first.
        let failures = Atomic<Int>(0)

        func next() throws -> Int {
            // Sequentially consistent, both: not worth an argument.
            if failures.subtract(1, ordering: .sequentiallyConsistent).oldValue > 0 {
                throw Oops()
            }
            return made.add(1, ordering: .sequentiallyConsistent).newValue
        }

        var connection: ResourceProvider {
            .perWorker(Connection.self) {
                Connection(try self.next())
            } close: {
                self.closed.add("connection \($0.number)")
            }
        }

        var model: ResourceProvider {
            .perProcess(Model.self) {
                Model(try self.next())
            } close: {
                self.closed.add("model \($0.number)")
            }
        }

        var asyncModel: ResourceProvider {
            .perProcessAsync(Model.self) {
                await Task.yield()
                return Model(try self.next())
            } close: { model in
                await Task.yield()
                self.closed.add("model \(model.number)")
            }
        }
    }

    private struct AsyncUser: AsyncJob {
        static let retryPolicy = RetryPolicy.never
        func run(_ context: JobContext) async throws -> Int {
            let first = try await context.resource(Model.self).number
            await Task.yield()
            let second = try await context.resource(Model.self).number
            return first == second ? first : -1
        }
    }

    private static let user = JobClosure("user", retryPolicy: .never) {
        (_: Int, context) -> Int in
        let connection = try context.resource(Connection.self)
        connection.uses += 1
        return connection.number * 1_000 + connection.uses
    }

    @Test("one a worker is made when it is first asked for, used again, and closed at the end")
    func perWorker() async throws {
        let works = Works()
        try await withStore { store in
            let runner = try makeRunner(store, [Self.user]) { $0.resources = [works.connection] }
            try await runner.run {
                // Sequentially consistent: see above.
                #expect(works.made.load(ordering: .sequentiallyConsistent) == 0)
                let jobs = try await store.numbers("user", [1, 2, 3])
                var results: [Int] = []
                for job in jobs { results.append(try await job.result) }
                #expect(results == [1_001, 1_002, 1_003])
                #expect(works.closed.items == [])
            }
            #expect(works.closed.items == ["connection 1"])
        }
    }

    @Test("each place has its own of one a worker, and all share one a process")
    func scopes() async throws {
        let works = Works()
        let gates = [Gate(), Gate()]
        let open = Gate()
        let holder = JobClosure("holder", retryPolicy: .never) { (index: Int, context) -> Int in
            let connection = try context.resource(Connection.self).number
            let model = try context.resource(Model.self).number
            gates[index].open()
            open.block()
            return connection * 10 + model
        }
        try await withStore { store in
            let runner = try makeRunner(store, [holder], workers: 2) {
                $0.resources = [works.connection, works.model]
            }
            try await runner.run {
                let jobs = try await store.numbers("holder", [0, 1])
                for gate in gates { await gate.wait() }
                open.open()
                let first = try await jobs[0].result
                let second = try await jobs[1].result
                #expect(first % 10 == second % 10)
                #expect(first / 10 != second / 10)
            }
            #expect(works.closed.items.count == 3)
        }
    }

    @Test("asynchronous jobs share what asynchronous code makes, made once")
    func asynchronous() async throws {
        let works = Works()
        try await withStore { store in
            let jobs = try await store.enqueue(contentsOf: (0..<50).map { _ in AsyncUser() })
            let runner = try makeRunner(store, jobs: [AsyncUser.self], workers: 2) {
                $0.resources = [works.asyncModel]
            }
            try await runner.run {
                for job in jobs { try await expectEqual(job.result, 1) }
            }
            #expect(works.closed.items == ["model 1"])
        }
    }

    @Test("a making that fails is the failure of the attempt, and is tried again the next time")
    func failing() async throws {
        let works = Works()
        // Sequentially consistent: see above.
        works.failures.store(1, ordering: .sequentiallyConsistent)
        try await withStore { store in
            let jobs = try await store.numbers("user", [1, 2])
            let tasks = try await store.enqueue(contentsOf: [AsyncUser(), AsyncUser()])
            let runner = try makeRunner(store, [Self.user], jobs: [AsyncUser.self]) {
                $0.resources = [works.connection, works.asyncModel]
            }
            try await runner.run {
                await #expect(throws: JobError.self) { try await jobs[0].result }
                #expect(try store.outcome(of: jobs[0].id)?.failure?.type == "Oops")
                _ = try await jobs[1].result
                for task in tasks { _ = try await task.result }
            }
        }
    }

    // first attempt                          second attempt
    // asks, makes, stands at a gate
    //                                        asks, waits for the first
    // the making fails                       fails with the same error
    @Test("who waits for a making has its error, and the next one makes it anew")
    func sharedFailure() async throws {
        let isMaking = Gate()
        let goOn = Gate()
        let works = Works()
        works.failures.store(1, ordering: .sequentiallyConsistent)  // As above.
        let provider = ResourceProvider.perProcess(Model.self) {
            isMaking.open()
            goOn.block()
            return Model(try works.next())
        }
        let cell = ResourceCell(provider) { _ in }
        let results = Trace<String>()
        func take(_ name: String, whenDone: Gate) {
            OSThread.start(named: "taker") {
                let result = Result { try cell.take() }
                results.add("\(name) \((try? result.get()) == nil ? "failed" : "has it")")
                whenDone.open()
            }
        }
        let (first, second) = (Gate(), Gate())
        take("a", whenDone: first)
        await isMaking.wait()
        async let waiting: ResourceInstance? = try? await cell.takeAsync()  // It may fail as well.
        take("b", whenDone: second)
        // Both wait before it goes on, or ask later and make it anew: told by what they are given.
        goOn.open()
        await first.wait()
        await second.wait()
        _ = await waiting
        #expect(results.items.contains("a failed"))
        let instance = try cell.take()
        #expect(instance.isInUse)
    }

    @Test("what an attempt says is broken is made anew, and closed when nobody uses it any more")
    func discarding() async throws {
        let works = Works()
        let open = Gate()
        let holds = Gate()
        let holder = JobClosure("holder", retryPolicy: .never) { (_: Int, context) -> Int in
            let model = try context.resource(Model.self)
            holds.open()
            open.block()
            return model.number
        }
        let breaker = JobClosure("breaker", retryPolicy: .never) { (_: Int, context) -> Int in
            let first = try context.resource(Model.self).number
            context.discardResource(Model.self)
            return first * 10 + (try context.resource(Model.self).number)
        }
        try await withStore { store in
            let runner = try makeRunner(store, [holder, breaker], workers: 2) {
                $0.resources = [works.model]
            }
            try await runner.run {
                let held = try await store.numbers("holder", [1])[0]
                await holds.wait()
                let broken = try await store.numbers("breaker", [1])[0]
                try await expectEqual(broken.result, 12)
                // Still used by the other attempt.
                #expect(works.closed.items == [])
                open.open()
                try await expectEqual(held.result, 1)
                let again = try await store.numbers("breaker", [1])[0]
                try await expectEqual(again.result, 23)
                #expect(Set(works.closed.items) == ["model 1", "model 2"])
            }
            #expect(works.closed.items.last == "model 3")
        }
    }

    @Test("all are closed in the opposite order, and what closing throws is logged")
    func closing() async throws {
        let works = Works()
        let log = LogTrace()
        struct Third: Sendable {}
        let third = ResourceProvider.perProcess(Third.self) {
            Third()
        } close: { _ in
            works.closed.add("third")
            throw Oops()
        }
        let all = JobClosure("all") { (_: Int, context) -> Int in
            _ = try context.resource(Connection.self)
            _ = try context.resource(Third.self)
            _ = try context.resource(Model.self)
            return 1
        }
        try await withStore { store in
            try await store.numbers("all", [1])
            var options = JobRunner.Options()
            options.workers = 1
            options.resources = [works.model, third, works.connection]
            let runner = try JobRunner(
                store, jobs: [], closures: [all], options: options, logger: log.logger)
            try await runner.run {}
            #expect(works.closed.items == ["model 2", "third", "connection 1"])
            #expect(log.count("closing a resource failed") == 1)
        }
    }

    @Test("a resource that does not close is named in the log, and the runner ends")
    func closingTooLong() async throws {
        let log = LogTrace()
        let goOn = Gate()
        let closed = Gate()
        let stubborn = ResourceProvider.perProcess(Model.self) {
            Model(1)
        } close: { _ in
            goOn.block()
            closed.open()
        }
        let user = JobClosure("user") { (_: Int, context) -> Int in
            try context.resource(Model.self).number
        }
        try await withStore { store in
            try await store.numbers("user", [1])
            var options = JobRunner.Options()
            options.workers = 1
            options.resources = [stubborn]
            options.resourceCloseLimit = .milliseconds(1)
            let runner = try JobRunner(
                store, jobs: [], closures: [user], options: options, logger: log.logger)
            try await runner.run {}
            #expect(log.count("did not close in time") == 1)
            #expect(log.count("resource=Model") == 1)
            goOn.open()
            await closed.wait()
        }
    }

    @Test("who asks for what there is not, too late or in the wrong way, is told so")
    func refusals() async throws {
        let works = Works()
        let late = Mutex<JobContext?>(nil)
        let asker = JobClosure("asker", retryPolicy: .never) { (kind: Int, context) -> Int in
            switch kind {
            case 0: _ = try context.resource(Connection.self)
            case 1: _ = try context.resource(Model.self)
            default: late.withLock { $0 = context }
            }
            return 0
        }
        try await withStore { store in
            let jobs = try await store.numbers("asker", [0, 1, 2])
            try await makeRunner(store, [asker]) { $0.resources = [works.asyncModel] }.run {}
            let missing = try #require(try store.outcome(of: jobs[0].id)?.failure)
            #expect(missing.message.hasPrefix("this runner makes no Connection"))
            let wrong = try #require(try store.outcome(of: jobs[1].id)?.failure)
            #expect(wrong.message.hasPrefix("Model is made by asynchronous code"))
            let context = try #require(late.withLock { $0 })
            #expect(throws: ResourceError.attemptIsOver(context.id)) {
                try context.resource(Model.self) as Model
            }
            let twice = #expect(throws: RunnerError.self) {
                _ = try makeRunner(store) { $0.resources = [works.model, works.asyncModel] }
            }
            #expect("\(twice!)".contains("two providers of Model"))
            #expect(throws: RunnerError.self) {
                _ = try makeRunner(store) { $0.resourceCloseLimit = .seconds(-1) }
            }
        }
    }
}
