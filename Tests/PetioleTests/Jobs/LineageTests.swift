import PetioleStorage
import Testing

@testable import Petiole

private struct Spawner: Job {
    static let jobName = "spawner"
    static let retryPolicy = RetryPolicy.never
    /// How many each has, by generation.
    var widths: [Int]
    func run(_ context: JobContext) throws -> Int {
        guard let width = widths.first else { return 0 }
        for index in 0..<width {
            // Some in another lane.
            try context.enqueue(
                Spawner(widths: Array(widths.dropFirst())),
                options: EnqueueOptions(priority: index % 2 == 0 ? 4 : 5))
        }
        return width
    }
}

@Suite("Lineage", .timeLimit(.minutes(10))) struct LineageTests {
    @Test(
        "the children of a job are found by its id, page by page, and its family from any of them")
    func family() async throws {
        try await withStore { store in
            let root = try await store.enqueue(Spawner(widths: [3, 2]))
            let other = try await store.enqueue(Spawner(widths: [1]))
            try await makeRunner(store, jobs: [Spawner.self], workers: 2).run {}
            let children = try store.children(of: root.id)
            #expect(children.count == 3)
            for child in children {
                expectEqual(try store.details(of: child).parent, root.id)
                expectEqual(try store.children(of: child).count, 2)
            }
            var pages: [JobID] = []
            while let page = try? store.children(of: root.id, after: pages.last, limit: 2),
                !page.isEmpty
            {
                pages += page
            }
            #expect(pages == children)
            let grandchild = try #require(try store.children(of: children[1]).last)
            expectEqual(try store.children(of: grandchild), [])
            let family = try store.family(of: grandchild)
            #expect(!family.hasMore)
            expectEqual(family.members.map { $0.depth }, [0, 1, 2, 2, 1, 2, 2, 1, 2, 2])
            expectEqual(family.members[0].summary.id, root.id)
            #expect(
                family.members.contains { $0.summary.id == grandchild && $0.parent == children[1] })
            #expect(!family.members.contains { $0.summary.id == other.id })
            let some = try store.family(of: root.id, limit: 4)
            #expect(some.hasMore && some.members.count == 4)
            #expect(throws: StoreError.noSuchJob(JobID(rawValue: 99))) {
                try store.children(of: JobID(rawValue: 99))
            }
        }
    }

    @Test("a job that ran once more has all that it has spawned, and one that failed has nothing")
    func again() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Spawner(widths: [2]))
            let failing = JobClosure("failing", retryPolicy: .never) {
                (_: Int, context) -> Int in
                try context.enqueue(Spawner(widths: []))
                throw Refusal()
            }
            let failed = try await store.numbers("failing", [1])[0]
            let runner = { try makeRunner(store, [failing], jobs: [Spawner.self]) }
            try await runner().run {}
            try await store.requeue(job.id)
            try await runner().run {}
            expectEqual(try store.children(of: job.id).count, 4)
            expectEqual(try store.children(of: failed.id), [])
        }
    }

    @Test("what is pruned or purged is no more shown, and takes its row with it")
    func gone() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let root = try await store.enqueue(Spawner(widths: [2, 1]))
            try await makeRunner(store, jobs: [Spawner.self]).run {}
            let children = try store.children(of: root.id)
            var one = JobFilter()
            one.after = JobID(rawValue: children[0].rawValue - 1)
            one.acceptedBefore = nil
            let tables = store.open.tables
            try await store.open.perform { (transaction, state) throws(StorageError) in
                _ = try Purging.delete([children[0].rawValue], tables, &transaction, &state)
            }
            expectEqual(try store.children(of: root.id), [children[1]])
            // The child of what was purged has lost its way up.
            let grandchildren = try store.jobs().map { $0.id }.filter {
                !children.contains($0) && $0 != root.id
            }
            expectEqual(grandchildren.count, 2)
            let lost = try store.family(of: grandchildren.min()!)
            expectEqual(lost.members.count, 1)
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            expectEqual(
                try store.open.read { (reader) throws(StorageError) in
                    try reader.count(tables.lineage)
                }, 0)
        }
    }
}
