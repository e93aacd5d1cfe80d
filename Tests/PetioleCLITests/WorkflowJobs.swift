import Petiole
import Synchronization

/// Gives a number.
struct Make: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int { number }
}

/// Fails until it is mended; its only attempt is its last.
struct Break: Job {
    static let mended = Mutex<Set<Int>>([])
    static let retryPolicy = RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        if Self.mended.withLock({ $0.contains(number) }) { return number }
        throw Broken(number: number)
    }
}

struct Broken: Error, CustomStringConvertible {
    let number: Int
    var description: String { "no \(number) to be had" }
}

/// Gives way to a chain of two.
struct Split: Job {
    func run(_ context: JobContext) throws -> Int {
        try context.giveWay(
            to: Workflow(Make(number: 1), name: "inner one").then(
                independent: Make(number: 2), name: "inner two"))
        return 0
    }
}

extension Tool {
    /// Makes the store of the folder, and does something with it.
    func withStore<Value>(_ body: (JobStore) async throws -> Value) async throws -> Value {
        let store = try JobStore(at: file(".petiole"))
        defer { store.close() }
        return try await body(store)
    }
}

extension JobStore {
    /// Runs all that can be run.
    func runAll() async throws {
        var options = JobRunner.Options()
        options.workers = 1
        try await JobRunner(
            self, jobs: [Make.self, Break.self, Split.self], options: options
        ).run {}
    }
}
