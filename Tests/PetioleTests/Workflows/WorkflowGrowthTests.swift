import PetioleTesting
import Testing

@testable import Petiole

@Suite("Workflows that grow") struct WorkflowGrowthTests {
    @Test(
        "what failed in a workflow that a step gave way to carries both on, requeued by any of them"
    )
    func resumesBoth() async throws {
        for part in 0..<3 {
            try await withStore { store in
                Mendable.broken.withLock { _ = $0.insert(8_100 + part) }
                let outer = try await store.enqueue(
                    Workflow(GivesWayToMendable(number: 8_100 + part)).then(Plus(number: 1)))
                let types: [any JobType.Type] = [
                    GivesWayToMendable.self, Give.self, Mendable.self, Plus.self,
                ]
                try await makeRunner(store, jobs: types).run {
                    try await expectEqual(store.waitForEnd(of: outer.id).kind, .deadLetter)
                }
                Mendable.broken.withLock { _ = $0.remove(8_100 + part) }
                let step = JobID(rawValue: outer.id.rawValue + 1)
                let inner = try store.workflow(step)
                let failed = JobID(rawValue: inner.steps[1].ids[0].lowerBound)
                try await store.requeue([outer.id, step, failed][part])
                expectSound(store)
                try await makeRunner(store, jobs: types).run {
                    try await expectEqual(outer.result, 8_101 + part)
                }
                expectEqual(try store.counts().succeeded, 5)
            }
        }
    }

    @Test("a workflow whose jobs are gone is not resumed, and says which")
    func gone() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(8_051) }
            let chain = try await store.enqueue(
                Workflow(Give(number: 1)).then(independent: Mendable(number: 8_051))
                    .then(Plus(number: 1)))
            try await makeRunner(store, jobs: [Give.self, Mendable.self, Plus.self]).run {
                try await expectEqual(store.waitForEnd(of: chain.id).kind, .deadLetter)
            }
            var filter = JobFilter()
            filter.name = "Plus"
            try await expectEqual(store.purge(filter).deleted, 1)
            do {
                try await store.requeue(chain.id)
                Issue.record("it is resumed")
            } catch {
                #expect("\(error)".contains("job \(chain.id.rawValue + 3) of the workflow"))
            }
            guard case .ended = try chain.job.state else {
                Issue.record("it waits for what is gone")
                return
            }
        }
    }

    @Test("how its result is kept is refused of a workflow as a whole")
    func refused() async throws {
        let hour = Duration.seconds(3_600)
        try await withStore { store in
            for options in [
                EnqueueOptions(resultRetention: hour), EnqueueOptions(resultLimit: 1),
            ] {
                await #expect(throws: EnqueueError.self) {
                    try await store.enqueue(Workflow(Give(number: 1)), options: options)
                }
            }
            expectEqual(try store.counts().accepted, 0)
        }
    }
}

/// Gives way to a chain whose second step fails until it is mended.
struct GivesWayToMendable: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        try context.giveWay(
            to: Workflow(Give(number: 1)).then(independent: Mendable(number: number)))
        return 0
    }
}
