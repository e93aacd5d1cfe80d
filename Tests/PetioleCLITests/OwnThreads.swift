import Foundation
import Testing

/// Runs the tests of a suite on threads of their own: they block while processes run, and Swift's own threads, one a
/// core, are those on which all other tests go on.
struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(BlockingThreads.shared) { try await function() }
    }
}

extension Trait where Self == OwnThreads {
    static var ownThreads: OwnThreads { OwnThreads() }
}

/// Four threads that take tasks as they come: so many tests of the tool run at once.
private final class BlockingThreads: TaskExecutor {
    static let shared = BlockingThreads(count: 4)

    // What guards it: the condition's own lock.
    nonisolated(unsafe) private var jobs: [UnownedJob] = []
    private let condition = NSCondition()

    init(count: Int) {
        for number in 0..<count {
            let thread = Thread { [self] in work() }
            thread.name = "test-tool-\(number)"
            thread.start()
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        condition.withLock {
            jobs.append(job)
            condition.signal()
        }
    }

    private func work() {
        while true {
            let job = condition.withLock {
                while jobs.isEmpty { condition.wait() }
                return jobs.removeFirst()
            }
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
