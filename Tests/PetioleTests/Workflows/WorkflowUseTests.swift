import PetioleTesting
import Testing

@testable import Petiole

@Suite("Workflows in use") struct WorkflowUseTests {
    @Test("a cancel of a workflow reaches the workflow that a step of it gave way to")
    func cancelsInner() async throws {
        try await withStore { store in
            let outer = try await store.enqueue(Workflow(GivesWay(number: 1)).then(Plus(number: 1)))
            try await makeRunner(store, jobs: [GivesWay.self]).run {}
            try await expectEqual(store.cancel(outer.id), .cancelled)
            try await makeRunner(store, jobs: [GivesWay.self, Give.self, Plus.self]).run {}
            expectEqual(try store.counts().cancelled, 5)
        }
    }

    @Test(
        "a step reads what a group and a workflow of a graph give by the names they were added by")
    func namesOfParts() async throws {
        try await withStore { store in
            var graph = Graph()
            graph.add("numbers", Group(count: 3) { Give(number: $0) })
            graph.add("chain", Workflow(Give(number: 1)).then(Plus(number: 1)))
            graph.add("sum", SumOfParts(), after: ["numbers", "chain"])
            let handle = try await store.enqueue(graph)
            try await makeRunner(store, jobs: [Give.self, Plus.self, SumOfParts.self]).run {
                try await expectEqual(store.waitForEnd(of: handle.id).kind, .succeeded)
            }
        }
    }

    @Test("a workflow of too many steps, or too deep, is refused, and nothing of it is there")
    func bounds() async throws {
        try await withStore { store in
            let long = (0..<WorkflowLimits.nodes).reduce(Workflow(Give(number: 0))) { chain, _ in
                chain.then(Plus(number: 1))
            }
            await expectInvalid("it has more than 100000 steps, groups and scopes") {
                try await store.enqueue(long)
            }
            func nested(_ depth: Int) -> Workflow<Int> {
                (0..<depth).reduce(Workflow(Give(number: 1))) { inner, _ in
                    Group([inner]).then(SumUp())
                }
            }
            await expectInvalid("more than 200 deep") { try await store.enqueue(nested(201)) }
            expectEqual(try store.counts().accepted, 0)
            let handle = try await store.enqueue(nested(200))
            try await makeRunner(store, jobs: [Give.self, SumUp.self]).run {
                try await expectEqual(handle.result, 1)
            }
        }
    }

    @Test("groups and jobs in turns may follow each other as often as one likes")
    func alternating() async throws {
        try await withStore { store in
            let turns = (0..<1_000).reduce(Workflow(Give(number: 1))) { chain, _ in
                chain.then(Group(count: 2) { Give(number: $0) }).then(SumUp())
            }
            let handle = try await store.enqueue(turns)
            try await makeRunner(store, jobs: [Give.self, SumUp.self]).run {
                try await expectEqual(handle.result, 1)
            }
        }
    }

    private func expectInvalid<Value>(
        _ text: String, _ body: () async throws -> Value
    ) async {
        do {
            _ = try await body()
            Issue.record("accepted")
        } catch EnqueueError.invalidWorkflow(let reason) {
            #expect(reason.contains(text))
        } catch {
            Issue.record(error)
        }
    }

    @Test("a workflow with a due time does not start before")
    func due() async throws {
        try await withStore { store in
            try await store.enqueue(
                Workflow(Give(number: 1)).then(Plus(number: 1)),
                options: EnqueueOptions(due: .after(.seconds(3_600))))
            expectEqual(try store.counts().ready, 0)
        }
    }

    @Test("a stalled workflow goes on after a requeue, however long ago it stalled")
    func stalledLongAgo() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            Mendable.broken.withLock { _ = $0.insert(8_001) }
            let chain = try await store.enqueue(
                Workflow(Give(number: 1)).then(independent: Mendable(number: 8_001))
                    .then(Plus(number: 1)))
            let types: [any JobType.Type] = [Give.self, Mendable.self, Plus.self]
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(store.waitForEnd(of: chain.id).kind, .deadLetter)
            }
            Mendable.broken.withLock { _ = $0.remove(8_001) }
            clock.advance(.seconds(3_600))
            try await store.prune(olderThan: .seconds(60))
            try await store.requeue(chain.id)
            try await makeRunner(store, jobs: types).run {}
            guard case .ended(let outcome) = try chain.job.state else {
                Issue.record("nothing of it is left to run, and it has not ended")
                return
            }
            #expect(outcome.kind == .succeeded)
        }
    }

    @Test("a retention of the workflow's own is refused: its result is that of its last step")
    func resultRetention() async throws {
        try await withStore { store in
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(
                    Workflow(Give(number: 1)).then(Plus(number: 1)),
                    options: EnqueueOptions(resultRetention: .seconds(86_400)))
            }
            expectEqual(try store.counts().accepted, 0)
        }
    }
}

/// Adds up what two parts of a graph give.
private struct SumOfParts: Job {
    static let retryPolicy = RetryPolicy.never
    func run(_ context: JobContext) throws -> Int {
        let chain = try context.input(from: "chain", as: Int.self)
        return try context.results(from: "numbers", of: Int.self).reduce(chain) {
            $0 + (try $1.get())
        }
    }
}
