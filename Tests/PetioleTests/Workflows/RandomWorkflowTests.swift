import PetioleTesting
import Testing

@testable import Petiole

@Suite("Workflows at random") struct RandomWorkflowTests {
    @Test(
        "a workflow drawn at random, some of whose steps fail, runs as its rules say",
        arguments: 1...4)
    func followsTheRules(seed: Int) async throws {
        for round in 0..<60 {
            try await follow(UInt64(seed * 1_000 + round), fails: round % 3)
        }
    }

    private func follow(_ seed: UInt64, fails: Int) async throws {
        var random = SplitMix(state: seed)
        // Numbers of its own, since others run at the same time.
        let base = Int(seed) * 10_000
        var last = base
        let drawn = RandomWorkflow.draw(&last, depth: 4, &random)
        let rules = RulesInMemory(drawn)
        let failing = Set(
            (base + 1..<last + 1).filter { _ in
                fails > 0 && Int.random(in: 0..<12 / fails, using: &random) == 0
            })
        Drawn.failing.withLock { $0.formUnion(failing) }
        try await withTestStore(jobs: [Drawn.self]) { store, runner in
            let handle = try await store.enqueue(drawn.workflow)
            expectSound(store)
            try await runner.drain()
            let ran = Drawn.ran.withLock { $0.filter { base < $0 && $0 <= last } }
            #expect(Set(ran).count == ran.count, "a job of seed \(seed) ran twice")
            for number in ran {
                #expect(
                    rules.ended(number, succeeded: !failing.contains(number)),
                    "job \(number) of seed \(seed) may not run then")
            }
            var states: [Int: RulesInMemory.State] = [:]
            try store.forEachJob(JobFilter()) { job in
                guard job.name == Drawn.jobName, case .ended(let outcome) = job.state else {
                    return true
                }
                let number = Self.number(job.id, store)
                states[number] =
                    switch outcome.kind {
                    case .succeeded: .succeeded
                    case .failed: .failed
                    default: .cancelled
                    }
                return true
            }
            #expect(states == rules.states, "the ends of seed \(seed)")
            guard case .ended(let outcome) = try handle.job.state else {
                Issue.record("workflow of seed \(seed) has not ended")
                return
            }
            #expect((outcome.kind == .succeeded) == rules.result, "the end of seed \(seed)")
            expectSound(store)
        }
        Drawn.failing.withLock { $0.subtract(failing) }
        Drawn.ran.withLock { $0.removeAll { base < $0 && $0 <= last } }
    }

    /// The number that a job's payload holds.
    private static func number(_ id: JobID, _ store: JobStore) -> Int {
        guard let details = try? store.details(of: id) else { return -1 }
        return details.payload.withUnsafeBytes {
            (try? PayloadCodec.compact.decode(Drawn.self, from: $0))?.number ?? -1
        }
    }
}
