import Testing

@testable import Petiole

@Suite("Inheritance", .timeLimit(.minutes(10))) struct InheritanceTests {
    private struct Child: Job {
        func run(_ context: JobContext) -> Int { context.priority }
    }

    private struct AsyncParent: AsyncJob {
        func run(_ context: JobContext) async throws -> Int {
            try context.enqueue(Child(), options: EnqueueOptions(inheritsPriority: true))
            return context.priority
        }
    }

    private struct Parent: Job {
        func run(_ context: JobContext) throws -> Int {
            try context.enqueue(Child(), options: EnqueueOptions(inheritsPriority: true))
            try context.enqueue(Child())
            try context.enqueue(Child(), options: EnqueueOptions(priority: 2))
            return context.priority
        }
    }

    @Test("a job that is enqueued by another has its tags and headers, and its priority by option")
    func inherited() async throws {
        try await withStore { store in
            let told = EnqueueOptions(
                priority: 7,
                metadata: JobMetadata(tags: ["t"], headers: ["traceparent": "00-1-2-01"]))
            let parent = try await store.enqueue(Parent(), options: told)
            let task = try await store.enqueue(AsyncParent(), options: told)
            try await makeRunner(
                store, jobs: [Parent.self, AsyncParent.self, Child.self]
            ).run {
                try await expectEqual(parent.result, 7)
                try await expectEqual(task.result, 7)
            }
            var priorities: [JobID: [Int]] = [:]
            try store.forEachJob { job in
                guard job.name == "Child" else { return true }
                #expect(job.metadata.tags == ["t"])
                #expect(job.metadata.headers == ["traceparent": "00-1-2-01"])
                let details = try? store.details(of: job.id)  // Expected below.
                if let parent = details?.parent {
                    priorities[parent, default: []] += [job.priority]
                }
                return true
            }
            #expect(priorities[parent.id]?.sorted() == [2, 4, 7])
            #expect(priorities[task.id] == [7])
            // Without a job that enqueues it there is nothing to inherit.
            let alone = try await store.enqueue(
                Child(), options: EnqueueOptions(priority: 3, inheritsPriority: true))
            #expect(try store.details(of: alone.id).summary.priority == 3)
        }
    }
}
