import Petiole

/// Jobs of which each key runs one at a time, in order; every third fails twice before.
struct Ordered: Job {
    static let retryPolicy = RetryPolicy(maxAttempts: 5, backoff: .constant(.milliseconds(1)))
    static let limits: JobLimits? = JobLimits(concurrency: 3, isOrderedPerKey: true)
    var key: Int
    var limitKey: String? { "\(key)" }

    func run(_ context: JobContext) throws -> Int {
        say("start \(context.id) \(context.attempt)", to: effects)
        defer { say("end \(context.id) \(context.attempt)", to: effects) }
        if context.id.rawValue % 3 == 0, context.attempt < 3 { throw Work.Flaky() }
        return key
    }
}

/// Jobs that run once, or not at all.
struct Once: Job {
    static let acknowledgement = Acknowledgement.beforeRun
    var number: Int

    func run(_ context: JobContext) -> Int {
        say("start \(context.id) \(context.attempt)", to: effects)
        defer { say("end \(context.id) \(context.attempt)", to: effects) }
        return number
    }
}
