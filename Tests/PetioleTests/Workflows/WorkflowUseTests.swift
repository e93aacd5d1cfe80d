import Testing

@testable import Petiole

@Suite("Workflows in use") struct WorkflowUseTests {
    @Test("a step reads what a group of a graph gives by the name that it was added by")
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
