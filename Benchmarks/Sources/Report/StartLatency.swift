import CYardsticks
import Foundation
import Petiole
import Synchronization

// What is measured
//
// The commit itself cannot be stamped from outside. What can be is the moment at which the writer, having committed
// and rung the bell, answers the caller: it resumes the task, which the task's executor notes on the writer's own
// thread. The wake call of the bell lies between the commit and that stamp, so what such a call takes, measured with
// the bare wake in the same run, is added. The sum is the time from just after the commit to the first instruction of
// the job. Both clocks are CLOCK_MONOTONIC, which all processes share.

/// From a commit to the first instruction of its job on an idle runner.
extension Family {
    static let startLatency = Family(name: "start-latency") { setup in
        let count = setup.count(1_000, quick: 100)
        let bare = try Yardsticks.wakeLatency(count: 2 * count)
        let call = bare.call.percentile(50)
        let yardstick = Yardstick("bare futex wake", bare.wake.percentile(50))
        func row(_ name: String, _ samples: [Int64], _ extra: Double) -> Row {
            let median = Double(samples.sorted()[samples.count / 2]) / 1_000
            return Row(
                name: "commit → job starts, idle, \(name), p50",
                figure: Figure(median + call.value, .microseconds), yardstick: yardstick,
                target: .yardstickPlus(extra))
        }
        let here = try await setup.withPath("start") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let runner = try JobRunner(store, jobs: [Stamp.self])
            return try await runner.run { try await starts(count, in: store) }
        }
        let there = try await setup.withPath("start-there") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let child = try ChildProcess(.stamp, store: path)
            _ = try child.line()
            let samples = try await starts(count, in: store)
            try child.end()
            return samples
        }
        let fromThread = try await setup.withPath("start-thread") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let runner = try JobRunner(store, jobs: [Stamp.self])
            return try await runner.run { try await startsFromThread(count, in: store) }
        }
        return [
            row("same process", here, 5), row("same process, from a thread", fromThread, 5),
            row("another process", there, 10),
        ]
    }

    /// Nanoseconds from the return of the blocking call, which committed by itself, to the start of the job.
    private static func startsFromThread(_ count: Int, in store: JobStore) async throws -> [Int64] {
        var samples: [Int64] = []
        for _ in 0..<count {
            let (job, returned) = try await withUnsafeThrowingContinuation {
                (continuation: UnsafeContinuation<(JobHandle<[UInt8]>, UInt64), any Error>) in
                Thread.detachNewThread {
                    usleep(1_000)
                    continuation.resume(
                        with: Result {
                            let job = try store.enqueueBlocking(Stamp.self, payload: [])
                            return (job, now_nanoseconds())
                        })
                }
            }
            let result = try await job.result
            let started = result.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            samples.append(Int64(bitPattern: started &- returned))
        }
        return samples
    }

    /// Nanoseconds from the answer to the caller to the start of the job; negative when the job was first.
    private static func starts(_ count: Int, in store: JobStore) async throws -> [Int64] {
        let executor = NotingExecutor()
        return try await withTaskExecutorPreference(executor) {
            var samples: [Int64] = []
            for _ in 0..<count {
                // Time enough for all to fall asleep; the yardstick waits as long.
                usleep(1_000)
                let job = try await store.enqueue(Stamp.self, payload: [])
                let answered = executor.lastHandedOver
                let result = try await job.result
                let started = result.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
                samples.append(Int64(bitPattern: started &- answered))
            }
            return samples
        }
    }
}

/// Its result is the time at which it started.
enum Stamp: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: now_nanoseconds())
    }
}

/// Runs tasks one at a time, and notes when it was last handed one: on the thread of whoever resumed it.
private final class NotingExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "petiole.bench.noting")
    private let noted = Atomic<UInt64>(0)

    // Relaxed: whoever reads it was resumed by the hand-over that wrote it.
    var lastHandedOver: UInt64 { noted.load(ordering: .relaxed) }

    func enqueue(_ job: consuming ExecutorJob) {
        // Relaxed: as above.
        noted.store(now_nanoseconds(), ordering: .relaxed)
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
