import Testing

@testable import Petiole

@Suite("Turns of keys, queues and priorities") struct FairnessTests {
    private struct Tenant: Job {
        static let limits: JobLimits? = JobLimits(isFairPerKey: true)
        static let ran = Trace<String>()
        var tenant: String
        var limitKey: String? { tenant }
        func run(_ context: JobContext) -> String {
            Self.ran.add(tenant)
            return tenant
        }
    }

    @Test("ten jobs of one key are done before a thousand of another that came before them")
    func keys() async throws {
        try await withStore { store in
            let many = try await store.enqueue(
                contentsOf: (0..<3_000).map { _ in Tenant(tenant: "large") })
            let few = try await store.enqueue(
                contentsOf: (0..<10).map { _ in Tenant(tenant: "small") })
            let runner = try makeRunner(store, jobs: [Tenant.self])
            try await runner.run {
                for job in few { _ = try await job.result }
                for job in many { _ = try await job.result }
            }
            let ran = Tenant.ran.items
            #expect(ran.count == 3_010)
            let last = ran.lastIndex(of: "small")!
            // They take turns by tickets; a ticket has what a thread does in a millisecond.
            #expect(last < 3_000)
        }
    }

    @Test("a queue of weight three has three tickets for each of another")
    func weights() async throws {
        try await withStore { store in
            let ran = Trace<String>()
            func work(_ queue: String) -> JobClosure {
                JobClosure("in-\(queue)", queue: queue) { (number: Int, _) -> Int in
                    ran.add(queue)
                    return number
                }
            }
            for queue in ["a", "b"] {
                try await store.numbers(
                    "in-\(queue)", Array(0..<12), options: EnqueueOptions(queue: queue))
            }
            // Tickets of a type that was not measured yet have one job, and so do those of one-job blocks.
            try await makeRunner(store, [work("a"), work("b")]) {
                $0.queueOptions["b"] = JobRunner.QueueOptions(weight: 3)
            }.run {}
            let firstSixteen = ran.items.prefix(16)
            #expect(firstSixteen.count { $0 == "b" } == 12)
            #expect(firstSixteen.count { $0 == "a" } == 4)
        }
    }

    @Test("without ageing a low priority waits for all others; with it, it does not")
    func ageing() async throws {
        for ageing in [nil, Duration.milliseconds(1)] {
            try await withStore { store in
                let ran = Trace<Int>()
                let work = JobClosure("work") { (number: Int, _) -> Int in
                    ran.add(number)
                    // Busy for as long as the other priority has to wait.
                    let begun = ContinuousClock.now
                    while ContinuousClock.now - begun < .milliseconds(1) {}
                    return number
                }
                try await store.numbers("work", [0], options: EnqueueOptions(priority: 9))
                try await store.numbers(
                    "work", Array(1...20), options: EnqueueOptions(priority: 0))
                try await makeRunner(store, [work]) {
                    $0.queueOptions["default"] = JobRunner.QueueOptions(ageing: ageing)
                }.run {}
                let place = ran.items.firstIndex(of: 0)!
                #expect(ageing == nil ? place == 20 : place < 20)
            }
        }
    }

    @Test(
        "queue options out of their bounds are refused",
        arguments: [
            JobRunner.QueueOptions(weight: 0), JobRunner.QueueOptions(weight: 1_001),
            JobRunner.QueueOptions(concurrency: 0), JobRunner.QueueOptions(ageing: .zero),
        ])
    func refused(options: JobRunner.QueueOptions) async throws {
        try await withStore { store in
            let error = #expect(throws: RunnerError.self) {
                try makeRunner(store) { $0.queueOptions["mail"] = options }
            }
            #expect("\(error!)".contains("mail"))
            #expect("\(error!)".contains("allowed"))
        }
    }
}
