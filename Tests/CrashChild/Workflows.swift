import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

//     CrashChild graph STORE STEPS SEED          enqueues a graph, and prints the id of the job that stands for it
//     CrashChild chord STORE MEMBERS             enqueues a group and what follows it, staged when it is large
//     CrashChild steps STORE EFFECTS COUNT TIME  runs steps; dies of an alarm so many microseconds after it has begun so many
//     CrashChild steps STORE EFFECTS drain       runs steps until none is left
//     CrashChild carry-on STORE ID               requeues a workflow

/// Adds what the steps before it gave to its own number; some need more than one attempt.
struct Mix: Job {
    static var retryPolicy: RetryPolicy {
        RetryPolicy(maxAttempts: 5, backoff: .constant(.milliseconds(1)))
    }
    var number: Int
    var before: [Int]

    func run(_ context: JobContext) throws -> Int {
        SuddenEnd.step()
        say("start \(number) \(context.attempt)", to: effects)
        if number % 9 == 0, context.attempt < 3 { throw Work.Flaky() }
        var sum = number
        for step in before { sum += try context.input(from: "s\(step)", as: Int.self) }
        say("end \(number) \(context.attempt)", to: effects)
        return sum % 1_000_003
    }
}

/// The end of this process by an alarm that a step sets: from outside a kill would come late on a busy machine.
enum SuddenEnd {
    private static let plan = Mutex<(stepsLeft: Int, microseconds: UInt32)>((0, 0))

    static func plan(afterSteps count: Int, microseconds: UInt32) {
        plan.withLock { $0 = (count, microseconds) }
    }

    static func step() {
        let alarm: UInt32? = plan.withLock { plan in
            plan.stepsLeft -= 1
            return plan.stepsLeft == 0 ? plan.microseconds : nil
        }
        // Nobody handles it, which ends the process as SIGKILL does.
        if let alarm { ualarm(alarm, 0) }
    }
}

/// A member of a group; most of them fail while the environment says so: how many others have run before the first that fails is
/// recorded, the disk says.
struct Part: Job {
    static var retryPolicy: RetryPolicy { .never }
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        if number >= 17, getenv("CRASH_CHILD_FAILS") != nil { throw Work.Flaky() }
        return number
    }
}

/// What the group gives in all; notes that it ran.
struct Total: CollectingJob {
    func run(_ results: MemberResults<Int>, _ context: JobContext) throws -> Int {
        say("start 0 \(context.attempt)", to: effects)
        return try results.reduce(0) { try $0 + $1.get() }
    }
}

/// What a graph is made of, the same in each process: step by step those that it comes after, all of them earlier ones.
func graphSteps(_ count: Int, seed: UInt64) -> [[Int]] {
    var state = seed
    func random(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
    return (0..<count).map { step in
        // The last comes after all that nothing else does, and is made of them by the test.
        if step == 0 { return [] }
        // Fan-out: a few have very many that come after them. Fan-in: now and then one comes after twenty.
        let wanted = step % 50 == 0 ? 20 : random(4)
        return Set((0..<wanted).map { _ in step < 10 ? random(step) : random(10) * step / 10 })
            .sorted()
    }
}

/// Returns false when it is none of these.
func followSteps(_ arguments: [String], _ store: JobStore) async throws -> Bool {
    switch arguments[1] {
    case "graph":
        let steps = graphSteps(Int(arguments[3])!, seed: UInt64(arguments[4])!)
        var graph = Graph()
        for (number, before) in steps.enumerated() {
            graph.add(
                "s\(number)", Mix(number: number, before: before), after: before.map { "s\($0)" })
        }
        let last = Set(steps.indices).subtracting(steps.joined()).sorted()
        graph.add("last", Mix(number: steps.count, before: last), after: last.map { "s\($0)" })
        say("\(try await store.enqueue(graph).id)")
    case "chord":
        let chord = Group(count: Int(arguments[3])!) { Part(number: $0) }.then(Total())
        say("\(try await store.enqueue(chord).id)")
    case "steps":
        effects = open(arguments[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        var running = JobRunner.Options()
        running.workers = 2
        let runner = try JobRunner(
            store, jobs: [Mix.self, Part.self, Total.self], options: running)
        try await runner.run {
            if arguments[4] == "drain" { return }
            SuddenEnd.plan(afterSteps: Int(arguments[4])!, microseconds: UInt32(arguments[5])!)
            await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
        }
    case "carry-on":
        say("\(try await store.requeue(JobID(rawValue: UInt64(arguments[3])!)))")
    default: return false
    }
    return true
}
