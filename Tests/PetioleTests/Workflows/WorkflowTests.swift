import PetioleTesting
import Testing

@testable import Petiole

private let types: [any JobType.Type] = [
    Give.self, Plus.self, SumUp.self, Gather.self, Mendable.self, NoteDown.self, GivesWay.self,
]

@Suite("Workflows") struct WorkflowTests {
    @Test("each step of a chain is given the result of the one before")
    func chain() async throws {
        try await withStore { store in
            let chain = try await store.enqueue(
                chain: Give(number: 1), then: Plus(number: 10), then: Plus(number: 100))
            expectEqual(try chain.job.state, .awaiting(workflow: chain.id))
            expectSound(store)
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(chain.result, 111)
            }
            let summary = try chain.summary
            #expect(summary.jobs == 3 && summary.ended == 3 && summary.failed == 0)
            #expect(summary.steps.map { $0.name } == ["Give", "Plus", "Plus"])
            #expect(summary.steps.map { $0.after } == [[], [0], [1]])
            #expect(summary.steps.allSatisfy { $0.state == .succeeded })
        }
    }

    @Test("from one step to the next there is one commit")
    func commits() async throws {
        try await withStore { store in
            let chain = (0..<99).reduce(Workflow(Give(number: 0))) { chain, _ in
                chain.then(Plus(number: 1))
            }
            let handle = try await store.enqueue(chain)
            try await makeRunner(store, jobs: types).run {
                let before = store.open.environment.usage.lastCommit
                try await expectEqual(handle.result, 99)
                // Some that had begun before the first look, and the beginnings and ends of what owns the queue.
                #expect(store.open.environment.usage.lastCommit - before <= 102)
            }
        }
    }

    @Test(
        "a chord's end is given the results of all members in their order", arguments: [0, 1, 500])
    func chord(count: Int) async throws {
        try await withStore { store in
            let chord = Group(count: count) { Give(number: $0) }.then(Gather())
            let handle = try await store.enqueue(chord)
            expectSound(store)
            try await makeRunner(store, jobs: types, workers: 2).run {
                try await expectEqual(handle.result, Array(0..<count))
            }
        }
    }

    @Test("workflows lie in groups, and groups in chains")
    func nested() async throws {
        try await withStore { store in
            let members = (0..<5).map { Workflow(Give(number: $0)).then(Plus(number: 10)) }
            let whole = Workflow(Give(number: 7))
                .then(Group(members)).then(SumUp())
                .then(Workflow(Plus(number: 1_000)))
            let handle = try await store.enqueue(whole)
            try await makeRunner(store, jobs: types, workers: 2).run {
                try await expectEqual(handle.result, 1_060)
            }
        }
    }

    @Test("a group on its own gives its results in order, and how it has ended")
    func group() async throws {
        try await withStore { store in
            let group = try await store.enqueue(Group(count: 20) { Give(number: $0) })
            try await makeRunner(store, jobs: types, workers: 2).run {
                var results: [Int] = []
                for try await result in group.results { results.append(try result.get()) }
                #expect(results == Array(0..<20))
                let end = try await group.waitForAll()
                #expect(end.kind == .succeeded)
            }
        }
    }

    @Test("a step that becomes a dead letter stalls its chain; its requeue carries the chain on")
    func stalled() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(7_001) }
            let chain = try await store.enqueue(
                Workflow(Give(number: 1)).then(independent: Mendable(number: 7_001))
                    .then(Plus(number: 1)))
            try await makeRunner(store, jobs: types).run {
                _ = await #expect(throws: JobError.self) { _ = try await chain.result }
            }
            let stalled = try chain.summary
            #expect(stalled.steps.map { $0.state } == [.succeeded, .failed, .cancelled])
            guard case .ended(let outcome) = stalled.state else {
                Issue.record("not ended")
                return
            }
            #expect(outcome.kind == .deadLetter)
            expectSound(store)
            Mendable.broken.withLock { _ = $0.remove(7_001) }
            let deadLetter = JobID(rawValue: stalled.steps[1].ids[0].lowerBound)
            try await store.requeue(deadLetter)
            expectSound(store)
            expectEqual(try chain.summary.steps.map { $0.state }, [.succeeded, .started, .waiting])
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(chain.result, 7_002)
            }
            let attempts = try store.details(of: JobID(rawValue: chain.id.rawValue + 1)).summary
            guard case .ended(let first) = attempts.state else { return }
            #expect(first.attempt == 1)
        }
    }

    @Test("what has not started of a group is cancelled when a member does not succeed")
    func cancelsRest() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(7_100) }
            let chord = Group(count: 300) { Mendable(number: 7_100 + $0) }.then(SumUp())
            let handle = try await store.enqueue(chord)
            try await makeRunner(store, jobs: types).run {
                _ = await #expect(throws: JobError.self) { _ = try await handle.result }
            }
            let summary = try handle.summary
            #expect(summary.steps[1].state == .cancelled)
            #expect(summary.ended == 301 && summary.failed > 1)
            Mendable.broken.withLock { _ = $0.remove(7_100) }
            try await store.requeue(handle.id)
            expectSound(store)
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(handle.result, (7_100..<7_400).reduce(0, +))
            }
        }
    }

    @Test("a group that goes on hands failures to its end as values")
    func goesOn() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(7_500) }
            let chord = Group(count: 10) { Mendable(number: 7_500 + $0) }
                .onFailure(.goOn).then(SumUp())
            let handle = try await store.enqueue(chord)
            let bare = try await store.enqueue(
                Group(count: 10) { Mendable(number: 7_500 + $0) }.onFailure(.goOn))
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(handle.result, (7_501..<7_510).reduce(0, +) - 1_000)
                let end = try await bare.waitForAll()
                #expect(end.kind == .deadLetter)
                expectEqual(try bare.summary.failed, 1)
            }
        }
    }

    @Test("callbacks run by how what they belong to has ended, and are told what failed")
    func callbacks() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(7_600) }
            let good = Workflow(Give(number: 1))
                .onSuccess(run: NoteDown(text: "cb good success"))
                .onFailure(run: NoteDown(text: "cb good failure"))
                .onEnd(run: NoteDown(text: "cb good end"))
            let bad = Workflow(Mendable(number: 7_600), name: "breaks")
                .then(Plus(number: 1))
                .onSuccess(run: NoteDown(text: "cb bad success"))
                .onFailure(run: NoteDown(text: "cb bad failure"))
                .onEnd(run: NoteDown(text: "cb bad end"))
            try await store.enqueue(good)
            try await store.enqueue(bad)
            try await makeRunner(store, jobs: types).run {}
            #expect(NoteDown.of("cb good").sorted() == ["cb good end", "cb good success"])
            #expect(
                NoteDown.of("cb bad").sorted() == [
                    "cb bad end breaks deadLetter", "cb bad failure breaks deadLetter",
                ])
        }
    }

    @Test("a job that gives way to a workflow ends with its result")
    func givesWay() async throws {
        try await withStore { store in
            let chain = try await store.enqueue(
                chain: GivesWay(number: 3), then: Plus(number: 1))
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(chain.result, 34)
            }
            let summary = try chain.summary
            let inner = try #require(summary.steps[0].inner)
            let steps = try store.workflow(inner).steps
            #expect(steps.map { $0.name } == ["Give", "Plus"])
        }
    }

    @Test("a cancel of a workflow cancels what has not started")
    func cancel() async throws {
        try await withStore { store in
            let chain = try await store.enqueue(
                chain: Give(number: 1), then: Plus(number: 10), then: Plus(number: 100))
            try await expectEqual(store.cancel(chain.id), .cancelled)
            expectSound(store)
            try await makeRunner(store, jobs: types).run {}
            let states = try chain.summary.steps.map { $0.state }
            #expect(states == [.failed, .cancelled, .cancelled])
            await #expect(throws: JobError.cancelled(chain.id)) { _ = try await chain.result }
        }
    }
}

/// Gives way to a chain.
struct GivesWay: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        try context.giveWay(to: Workflow(Give(number: number)).then(Plus(number: 30)))
        return -1
    }
}

@Suite("Graphs") struct GraphTests {
    @Test("a step is given the results of those that it comes after, by their names")
    func diamond() async throws {
        try await withStore { store in
            var graph = Graph()
            graph.add("end", Named(), after: ["left", "right"])
            graph.add("left", Plus(number: 1), after: ["start"])
            graph.add("right", Plus(number: 2), after: ["start"])
            graph.add("start", Give(number: 10))
            let handle = try await store.enqueue(graph)
            expectSound(store)
            try await makeRunner(store, jobs: types + [Named.self], workers: 2).run {
                _ = try await handle.result
            }
            let end = try handle.summary.steps.last!
            let result = store.handle(of: JobID(rawValue: end.ids[0].lowerBound), as: Named.self)
            try await expectEqual(result.result, 11_012)
        }
    }

    @Test("cycles, unknown names, two of a name and no step at all are refused when it is enqueued")
    func refused() async throws {
        try await withStore { store in
            func problem(_ make: (inout Graph) -> Void) async -> String {
                var graph = Graph()
                make(&graph)
                do {
                    try await store.enqueue(graph)
                    return ""
                } catch { return "\(error)" }
            }
            let cycle = await problem {
                $0.add("a", Give(number: 1), after: ["c"])
                $0.add("b", Give(number: 1), after: ["a"])
                $0.add("c", Give(number: 1), after: ["b"])
                $0.add("d", Give(number: 1), after: ["c"])
            }
            #expect(
                cycle.contains("a → b → c → a") || cycle.contains("b → c → a → b")
                    || cycle.contains("c → a → b → c"))
            let unknown = await problem { $0.add("a", Give(number: 1), after: ["x"]) }
            #expect(unknown.contains("after \"x\", and no step has that name"))
            let twice = await problem {
                $0.add("a", Give(number: 1))
                $0.add("a", Give(number: 2))
            }
            #expect(twice.contains("two steps have the name \"a\""))
            let none = await problem { _ in }
            #expect(none.contains("no steps"))
            expectEqual(try store.counts().accepted, 0)
        }
    }
}

/// Reads what two steps gave by their names.
struct Named: Job {
    func run(_ context: JobContext) throws -> Int {
        let left: Int = try context.input(from: "left")
        return left * 1_000 + (try context.input(from: "right", as: Int.self))
    }
}
