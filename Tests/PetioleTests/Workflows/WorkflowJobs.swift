import Synchronization

@testable import Petiole

/// Job types that the tests of workflows put together.
struct Give: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int { number }
}

/// Adds to what it is given.
struct Plus: FollowingJob {
    static let retryPolicy = RetryPolicy.never
    var number: Int
    func run(_ input: Int, _ context: JobContext) throws -> Int { input + number }
}

/// The sum of what a group gives; what did not succeed counts -1,000.
struct SumUp: CollectingJob {
    func run(_ results: MemberResults<Int>, _ context: JobContext) throws -> Int {
        var sum = 0
        for result in results {
            switch result {
            case .success(let number): sum += number
            case .failure: sum -= 1_000
            }
        }
        return sum
    }
}

/// The results of a group, in their order.
struct Gather: CollectingJob {
    func run(_ results: MemberResults<Int>, _ context: JobContext) throws -> [Int] {
        try results.map { try $0.get() }
    }
}

/// Fails as long as its mark is not taken away; a dead letter then.
struct Mendable: Job {
    static let retryPolicy = RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
    static let broken = Mutex<Set<Int>>([])
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        if Self.broken.withLock({ $0.contains(number) }) { throw Refusal() }
        return number
    }
}

/// Notes its own name and what had failed before it.
struct NoteDown: Job {
    static let notes = Mutex<[String]>([])
    var text: String
    func run(_ context: JobContext) throws -> NoResult {
        let failed = try context.member == nil ? nil : context.failedStep
        Self.notes.withLock {
            $0.append(text + (failed.map { " \($0.name) \($0.outcome.kind.rawValue)" } ?? ""))
        }
        return NoResult()
    }
    static func of(_ prefix: String) -> [String] {
        notes.withLock { $0.filter { $0.hasPrefix(prefix) } }
    }
}
