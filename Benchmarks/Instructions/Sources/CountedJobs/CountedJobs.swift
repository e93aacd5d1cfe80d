import CUnderValgrind
import Dispatch
import Glibc
import Petiole

// Enqueues so many jobs that do nothing into a new store, runs them on one worker, and ends. How many
// instructions that takes is counted from outside, for two counts: what lies between them is the jobs'
// alone.

/// A job that does nothing: 100 bytes in, no result.
private enum Noop: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {}
}

/// Uses no option that a job would have to pay for: those set here are the store's and the runner's.
private func enqueueAndRun(_ count: Int, at path: String) async throws {
    var storeOptions = StoreOptions()
    // The disk executes no instructions, and its time would be waited for.
    storeOptions.durability = .scratch
    // Less than the map that the store gets under valgrind.
    storeOptions.byteLimit = 2 << 30
    let store = try JobStore(at: path, options: storeOptions)
    var runnerOptions = JobRunner.Options()
    runnerOptions.workers = 1
    let runner = try JobRunner(store, jobs: [Noop.self], options: runnerOptions)
    let payload = [UInt8](repeating: 0x5a, count: 100)
    _ = try await store.enqueue(Noop.self, count: count) { _, bytes in
        bytes.append(contentsOf: payload)
    }
    try await runner.run {}
    let succeeded = try store.counts().succeeded
    guard succeeded == count else { stop("\(succeeded) of \(count) jobs have succeeded") }
    guard clock_reads() >= count else {
        stop("Petiole looks at another clock than the one that was replaced, see steady_time.c")
    }
}

private func stop(_ message: String) -> Never {
    print("CountedJobs: \(message)")
    exit(1)
}

guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[1]), count > 0 else {
    stop("usage: CountedJobs COUNT PATH, with a path at which there is no store")
}
let path = CommandLine.arguments[2]
Task.detached {
    do {
        try await enqueueAndRun(count, at: path)
        exit(0)
    } catch {
        stop("\(error)")
    }
}
// Not an asynchronous `main`: that ends the main thread, which valgrind does not survive.
DispatchSemaphore(value: 0).wait()
