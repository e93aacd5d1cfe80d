import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// What the kill tests start, and kill.
//
//     CrashChild produce STORE COUNT BATCH    enqueues, and prints each range of ids that was accepted
//     CrashChild unique STORE COUNT           enqueues so many jobs, each with a key of its own, and prints their ids
//     CrashChild flood STORE COUNT HOW        enqueues so many jobs, and drops or waits when it is full, as HOW says; prints
//                                             what was accepted
//     CrashChild stage STORE                  enqueues 24 MiB at once, and prints as above
//     CrashChild run STORE EFFECTS WORKERS    runs what is there, then exits
//     CrashChild serve STORE EFFECTS WORKERS  runs until it is killed; says `serving` when it owns the queue
//     CrashChild crossed STORE                runs queue `b` and stands by for `a`; says which it runs, or why not
//     CrashChild commands STORE HOW           runs commands: until it is killed, or if HOW is `drain` until none is left; says
//                                             `serving` when it owns the queue
//     CrashChild isolated STORE WORKERS HOW   runs isolated jobs: until it is killed, or if HOW is `drain` until none is left; says
//                                             `serving` when it owns the queue, and its jobs `started`, if told to hang
//     CrashChild example STORE                runs the example of JobOptions.md for isolated jobs, and says what came of it
//     CrashChild cancel STORE ID              cancels one job, and prints what that came to
//     CrashChild commands STORE WORKERS       runs the commands that are there, then exits
//     CrashChild insist STORE COUNT           enqueues one by one, and goes on when it is refused, which it prints
//     CrashChild life STORE ROUNDS            makes the store and does a little of everything; prints what was accepted
//                                             as above, and `ended ID` when it was told of an outcome

// As a child process of a runner it is `IsolatedJobs.swift`.
Petiole.serveChild(
    jobs: [Isolated.self, IsolatedTask.self, IsolatedBytes.self, Thumbnail.self])

/// Writes a line with one call, so that a process that dies leaves whole lines.
func say(_ line: String, to file: Int32 = 1) {
    var line = line + "\n"
    line.withUTF8 { _ = write(file, $0.baseAddress, $0.count) }
}

/// The file in which jobs leave a line when they start and when they end.
nonisolated(unsafe) var effects: Int32 = -1  // Set once, before the runner starts.

struct Work: Job {
    static var retryPolicy: RetryPolicy {
        RetryPolicy(
            maxAttempts: 5, backoff: .exponential(.milliseconds(1)), maxDelay: .milliseconds(2))
    }
    var kind: String

    func run(_ context: JobContext) throws -> Int {
        say("start \(context.id) \(context.attempt)", to: effects)
        switch kind {
        case "trap": fatalError("a job that traps")
        case "hang" where getenv("CRASH_CHILD_HANGS") != nil:
            say("started \(context.id)")
            while true { pause() }
        case "flaky" where context.attempt < 3: throw Flaky()
        default: break
        }
        say("end \(context.id) \(context.attempt)", to: effects)
        return Int(context.id.rawValue)
    }

    struct Flaky: Error {}
}

enum Large: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        say("start \(context.id) \(context.attempt)", to: effects)
        if getenv("CRASH_CHILD_HANGS") != nil {
            say("started \(context.id)")
            while true { pause() }
        }
        say("end \(context.id) \(context.attempt)", to: effects)
    }
}

/// Adds to a row of the store and enqueues a job that adds to another: with its success, and so once.
struct Tally: Job {
    var amount: Int
    var isLeaf = false

    func run(_ context: JobContext) throws -> Int {
        let table = try context.table("tally")
        let row = isLeaf ? "leaves" : "sum"
        try table.put(value: (try table.value(for: row, as: Int.self) ?? 0) + amount, for: row)
        if !isLeaf { try context.enqueue(Tally(amount: amount, isLeaf: true)) }
        return amount
    }
}

/// Runs together what `Work` runs one by one.
struct Together: BatchJob {
    static let batchLimit = 8
    var kind: String

    static func run(_ batch: [BatchItem<Together>]) -> [Result<Int, any Error>] {
        for item in batch { say("start \(item.context.id) \(item.context.attempt)", to: effects) }
        for item in batch where item.job.kind == "trap" { fatalError("a batch that traps") }
        if getenv("CRASH_CHILD_HANGS") != nil {
            say("started \(batch.count)")
            while true { pause() }
        }
        return batch.map { item in
            say("end \(item.context.id) \(item.context.attempt)", to: effects)
            return .success(Int(item.context.id.rawValue))
        }
    }
}

func accepted<Output>(_ jobs: EnqueuedJobs<Output>) {
    for range in jobs.idRanges { say("\(range.lowerBound) \(range.upperBound)") }
}

let arguments = CommandLine.arguments
var options = StoreOptions()
options.createsStore = arguments[1] == "life"
let store = try JobStore(at: arguments[2], options: options)
switch arguments[1] {
case "produce":
    let batch = Int(arguments[4])!
    for round in 0..<Int(arguments[3])! {
        if batch == 1 {
            let job = try await store.enqueue(Work(kind: round % 3 == 0 ? "flaky" : "plain"))
            say("\(job.id) \(job.id)")
        } else {
            accepted(
                try await store.enqueue(contentsOf: (0..<batch).map { _ in Work(kind: "plain") }))
        }
    }
case "unique":
    for number in 0..<Int(arguments[3])! {
        let rule = Uniqueness(key: "key-\(number)")
        let job = try await store.enqueue(
            Work(kind: "plain"), options: EnqueueOptions(unique: rule))
        say("\(job.id) \(job.id)")
    }
case "flood":
    let whenFull: Capacity.WhenFull = arguments[4] == "drop" ? .dropOldest : .wait()
    for _ in 0..<Int(arguments[3])! {
        do throws(EnqueueError) {
            let job = try await store.enqueue(
                Work(kind: "plain"), options: EnqueueOptions(whenFull: whenFull))
            say("\(job.id) \(job.id)")
        } catch {
            // All that may be dropped runs, or is on its way out.
        }
    }
case "stage":
    let bytes = [UInt8](repeating: 7, count: 60_000)
    accepted(
        try await store.enqueue(Large.self, count: 400) { _, payload in
            payload.append(contentsOf: bytes)
        })
case "run", "serve":
    effects = open(arguments[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
    var running = JobRunner.Options()
    running.workers = Int(arguments[4])!
    let runner = try JobRunner(
        store,
        jobs: [
            Work.self, Large.self, Tally.self, Ordered.self, Once.self, Together.self,
        ], options: running)
    // What was cut short before is told apart from what runs now.
    say("start 0 0", to: effects)
    if arguments[1] == "run" {
        try await runner.run {}
    } else {
        try await runner.run {
            say("serving")
            await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
        }
    }
case "crossed":
    @Sendable func serve(_ queue: String, _ whenOwned: JobRunner.WhenOwned) async {
        var running = JobRunner.Options()
        running.workers = 1
        running.whenOwned = whenOwned
        let echo = JobClosure("on-\(queue)", queue: queue) { (number: Int, _) in number }
        do {
            try await JobRunner(store, jobs: [], closures: [echo], options: running).run {
                say("runs \(queue)")
                await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            }
        } catch {
            say("does not run \(queue): \(error)")
        }
    }
    async let first: Void = serve("b", .fail)
    await serve("a", .standby)
    await first
case "commands":
    var running = JobRunner.Options()
    running.workers = Int(arguments[3])!
    let runner = try JobRunner(
        commandsOf: "default", in: store, retryPolicy: .standard, options: running)
    try await runner.run {
        say("serving")
        if arguments[4] == "drain" { return }
        await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
    }
case "isolated":
    var running = JobRunner.Options()
    running.workers = Int(arguments[3])!
    let receipt = JobClosure("receipt", queue: "receipts") { (number: Int, _) in number }
    let runner = try JobRunner(
        store, jobs: [Isolated.self, IsolatedTask.self], closures: [receipt], options: running)
    try await runner.run {
        say("serving")
        if arguments[4] == "drain" { return }
        await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
    }
case "example":
    Example.serve()
    try await Example.run(store)
case "cancel":
    say("\(try await store.cancel(JobID(rawValue: UInt64(arguments[3])!)))")
case "insist":
    for _ in 0..<Int(arguments[3])! {
        do throws(EnqueueError) {
            let job = try await store.enqueue(Work(kind: "plain"))
            say("\(job.id) \(job.id)")
        } catch {
            say("refused")
        }
    }
case "life":
    say("made")
    effects = open("/dev/null", O_WRONLY | O_CLOEXEC)
    let bytes = [UInt8](repeating: 7, count: 9_000)
    var running = JobRunner.Options()
    running.workers = 2
    try await JobRunner(store, jobs: [Work.self, Large.self], options: running).run {
        for round in 0..<Int(arguments[3])! {
            let lone = try await store.enqueue(Work(kind: round % 2 == 0 ? "plain" : "flaky"))
            say("\(lone.id) \(lone.id)")
            accepted(
                try await store.enqueue(contentsOf: (0..<30).map { _ in Work(kind: "plain") }))
            accepted(
                try await store.enqueue(Large.self, count: 3) { _, payload in
                    payload.append(contentsOf: bytes)
                })
            _ = try await lone.result
            say("ended \(lone.id)")
            let parked = try await store.enqueue(name: "nobody", payload: round)
            say("\(parked.id) \(parked.id)")
            if round % 2 == 0 {
                // On a busy machine the runner may not answer in time: then it is asked to stop.
                guard try await store.cancel(parked.id) != .alreadyEnded,
                    try await store.waitForEnd(of: parked.id).kind == .cancelled
                else { exit(3) }
                say("ended \(parked.id)")
            }
        }
    }
case _ where try await operate(arguments, store): break
case _ where try await followSteps(arguments, store): break
case _ where try await runSchedules(arguments, store): break
default:
    say("\(arguments[1])? see the head of main.swift", to: 2)
    exit(2)
}
store.close()
