import Testing

@testable import Petiole

@Suite("Listing of workflows") struct WorkflowListingTests {
    @Test("workflows are listed by the jobs that stand for them, a page behind the other")
    func pages() async throws {
        try await withStore { store in
            var ids: [JobID] = []
            for number in 0..<5 {
                try await store.enqueue(Give(number: number))
                let group = Group(count: 3) { Give(number: $0) }
                ids.append(try await store.enqueue(group.then(SumUp())).id)
            }
            let first = try store.workflows(from: JobID(rawValue: 0), limit: 3)
            #expect(first.map { $0.id } == Array(ids[..<3]))
            #expect(first.allSatisfy { $0.jobs == 4 && $0.ended == 0 && !$0.isNested })
            let next = JobID(rawValue: ids[2].rawValue + 1)
            expectEqual(try store.workflows(from: next, limit: 3).map { $0.id }, Array(ids[3...]))
            expectEqual(try store.workflows(from: JobID(rawValue: .max), limit: 3), [])
        }
    }

    @Test("the state that waits for others is a filter of its own, and one of those not ended")
    func awaiting() async throws {
        try await withStore { store in
            try await store.enqueue(Give(number: 1))
            let chain = try await store.enqueue(chain: Give(number: 1), then: Plus(number: 10))
            var filter = JobFilter()
            filter.states = [.awaiting]
            let id = chain.id.rawValue
            expectEqual(
                try store.jobs(filter, limit: 10).map { $0.id.rawValue }, [id, id + 2])
        }
    }
}
