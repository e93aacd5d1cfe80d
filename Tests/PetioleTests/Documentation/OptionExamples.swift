import Petiole

// The examples of JobOptions.md: see `Examples.swift`.

struct SendReport: Job {
    var month: String
    func run(_ context: JobContext) -> Int { month.count }
}

struct Upload: Job {
    struct NoSuchBucket: Error {}
    struct AlreadyThere: Error {}

    static let retryPolicy = RetryPolicy(
        maxAttempts: 8, backoff: .exponential(.milliseconds(500)), jitter: .equal,
        maxDelay: .seconds(60), timeLimit: .seconds(3_600)
    ) { error in
        switch error {
        case is NoSuchBucket: .deadLetter
        case is AlreadyThere: .discard
        default: .retry
        }
    }

    var file: String

    func run(_ context: JobContext) throws -> NoResult {
        if file.isEmpty { throw NoSuchBucket() }
        return NoResult()
    }
}

struct Poll: Job {
    var tries: Int

    func run(_ context: JobContext) throws -> Int {
        switch tries {
        case 0: throw JobControl.discard("nothing to poll")
        case 1 where context.attempt == 1: throw JobControl.retry(after: .milliseconds(1))
        case 2: throw JobControl.deadLetter("the other side is gone for good")
        default: return context.attempt
        }
    }
}

struct Call: Job {
    static let limits: JobLimits? = JobLimits(
        concurrency: 8, rate: RateLimit(100, per: .seconds(1), burst: 20), concurrencyPerKey: 2)

    var host: String
    var limitKey: String? { host }

    func run(_ context: JobContext) -> String { host }
}

struct Apply: Job {
    static let limits: JobLimits? = JobLimits(isOrderedPerKey: true, isFairPerKey: true)

    var account: String
    var amount: Int
    var limitKey: String? { account }

    func run(_ context: JobContext) -> Int { amount }
}

struct Pay: Job {
    static let acknowledgement = Acknowledgement.beforeRun
    static let retryPolicy = RetryPolicy.never

    var invoice: String

    func run(_ context: JobContext) -> String { invoice }
}

struct ImportLine: Job {
    var line: Int
    var amount: Int

    func run(_ context: JobContext) throws -> Int {
        let totals = try context.table("totals")
        let before = try totals.value(for: "sum", as: Int.self) ?? 0
        try totals.put(value: before + amount, for: "sum")
        if amount > 1_000 { try context.enqueue(SendReport(month: "line \(line)")) }
        return before + amount
    }
}

struct Reindex: Job {
    var tenant: String
    var uniqueness: Uniqueness? { Uniqueness(key: tenant, hold: .untilStarted) }

    func run(_ context: JobContext) -> String { tenant }
}

struct Fetch: AsyncJob {
    static let retryPolicy = RetryPolicy.never
    static let timeLimit: TimeLimit? = TimeLimit(soft: .milliseconds(50))

    func run(_ context: JobContext) async throws -> Int {
        try await Task.sleep(for: .seconds(60))
        return 200
    }
}

struct Scan: Job {
    var rows: Int

    func run(_ context: JobContext) -> Int {
        for row in 0..<rows { context.progress(done: row, of: rows, note: "scanning") }
        return rows
    }
}

struct Thumbnails: Job {
    static let resultRetention: Duration? = .seconds(3_600)
    static let resultLimit: Int? = 64 << 10
    var page: Int

    func run(_ context: JobContext) -> [UInt8] { [UInt8](repeating: 0, count: page) }
}

enum OptionExamples {
    static func failures(_ store: JobStore) throws {
        for kind in try store.failureKinds() {
            print(kind.count, kind.fingerprint, kind.failure.message)
        }
    }

    static func limits(_ store: JobStore) async throws -> Int {
        try await store.setLimits(JobLimits(concurrency: 1), ofJob: "Call")
        try await store.setLimits(rate: RateLimit(10, per: .seconds(60)), ofQueue: "default")
        let set = try store.limits(inQueue: "default")
        return set.count
    }

    static func queues() -> JobRunner.Options {
        var running = JobRunner.Options()
        running.queueOptions["mail"] = JobRunner.QueueOptions(weight: 3, concurrency: 4)
        running.queueOptions["default"] = JobRunner.QueueOptions(ageing: .seconds(60))
        return running
    }

    static func progress(_ store: JobStore, _ job: JobHandle<Int>) {
        if let progress = store.progress(of: job.id) {
            print(progress.done, progress.total ?? 0, progress.note)
        }
    }

    static func queued(_ store: JobStore) async throws {
        try await store.enqueue(
            SendReport(month: "2026-10"), options: EnqueueOptions(queue: "reports", priority: 1))
    }

    static func delayed(_ store: JobStore) async throws -> JobHandle<Int> {
        let later = EnqueueOptions(due: .after(.seconds(3_600)), expiry: .after(.seconds(7_200)))
        let report = try await store.enqueue(SendReport(month: "2026-10"), options: later)
        return report
    }

    static func sums(_ store: JobStore) throws -> Int? {
        let sum = try store.table("totals").value(for: "sum", as: Int.self)
        try store.table("totals").forEach { key, value in
            print(String(decoding: key, as: UTF8.self), value.count)
            return true
        }
        return sum
    }

    static func debounced(_ store: JobStore) async throws -> JobHandle<Int> {
        let calm = EnqueueOptions(
            due: .after(.seconds(5)),
            unique: Uniqueness(key: "site", hold: .untilStarted, onConflict: .replace))
        try await store.enqueue(SendReport(month: "2026-09"), options: calm)
        let last = try await store.enqueue(SendReport(month: "2026-10"), options: calm)
        return last
    }

    static func withoutResult(_ store: JobStore) async throws {
        try await store.enqueue(
            SendReport(month: "2026-10"), options: EnqueueOptions(keepsResult: false))
    }

    static func bounded(_ store: JobStore) async throws {
        try await store.setCapacity(
            Capacity(jobs: 1_000, whenFull: .wait(upTo: .seconds(30))), queue: "images")
        try await store.setCapacity(
            Capacity(bytes: 64 << 20, whenFull: .dropOldest), queue: "telemetry")

        try await store.enqueue(
            SendReport(month: "2026-10"),
            options: EnqueueOptions(queue: "images", whenFull: .refuse))
    }

    static func tagged(_ store: JobStore, _ trace: String) async throws -> CancelCounts {
        let nightly = EnqueueOptions(
            metadata: JobMetadata(tags: ["nightly"], headers: ["traceparent": trace]))
        try await store.enqueue(SendReport(month: "2026-10"), options: nightly)

        var tagged = JobFilter()
        tagged.tag = "nightly"
        let counts = try await store.cancel(matching: tagged)
        return counts
    }
}
