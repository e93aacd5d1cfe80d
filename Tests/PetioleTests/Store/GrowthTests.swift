import Foundation
import PetioleStorage
import Testing

@testable import Petiole

/// The child's job type of that name.
private enum Large: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {}
}

@Suite("Growth", .timeLimit(.minutes(10))) struct GrowthTests {
    /// Accepts, runs and prunes 800 KB, over and over.
    private func churn(_ store: JobStore, _ clock: TestClock, rounds: Int) async throws {
        let bytes = [UInt8](repeating: 7, count: 20_000)
        for _ in 0..<rounds {
            try await store.enqueue(Large.self, count: 40) { _, payload in
                payload.append(contentsOf: bytes)
            }
            try await makeRunner(store, jobs: [Large.self]).run {}
            clock.advance(.seconds(10))
            try await store.prune(olderThan: .seconds(1))
        }
    }

    private func megabytes(_ store: JobStore) -> Double {
        Double(store.open.environment.usage.usedBytes) / 1e6
    }

    @Test("a store from which is pruned what it accepts does not grow")
    func steady() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            try await churn(store, clock, rounds: 5)
            let before = megabytes(store)
            try await churn(store, clock, rounds: 20)
            #expect(megabytes(store) < before + 1)
        }
    }

    @Test(
        "a view that is held long makes the file grow, and what it kept is used when it has ended")
    func view() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            try await churn(store, clock, rounds: 5)
            let before = megabytes(store)
            let reader = try store.open.environment.makeReader()
            try await churn(store, clock, rounds: 10)
            let held = megabytes(store)
            #expect(held > before + 5)
            reader.end()
            try await churn(store, clock, rounds: 20)
            #expect(megabytes(store) < held + 1)
        }
    }

    @Test("a process that is killed while it reads a payload does not make the file grow")
    func deadReader() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let clock = TestClock()
        let store = try directory.open(clock: clock)
        defer { store.close() }
        try await churn(store, clock, rounds: 5)
        let before = megabytes(store)
        let job = try await store.enqueue(Large.self, payload: [1])
        let child = try Child(
            ["serve", directory.store, directory.path + "/effects", "1"],
            environment: ["CRASH_CHILD_HANGS": "1"])
        while let line = try await child.line(), line != "started \(job.id)" {}
        child.kill()
        try await child.end()
        try await churn(store, clock, rounds: 20)
        #expect(megabytes(store) < before + 2)
        expectSound(store)
    }
}
