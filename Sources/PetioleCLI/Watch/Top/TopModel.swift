import Petiole

/// What `petiole top` shows, read from a store at one moment.
struct TopModel: Sendable {
    struct Queue: Sendable {
        var name: String
        var pid: Int?
        var isPaused = false
        /// Attempts at once; nil: no limit is set.
        var limit: Int?
        var running = 0
        var ready = 0
        var waiting = 0
        var succeeded = 0
        /// And dead letters.
        var failed = 0
        /// Jobs that end each second; nil: not known yet.
        var rate: Double?
    }

    struct Running: Sendable {
        var id: JobID
        var queue: String
        var elapsed: Duration
        /// Of its own process, or of its runner.
        var pid: Int
        var attempt = 1
        /// The command, or the name of its type.
        var title: String
    }

    struct Failed: Sendable {
        var id: JobID
        var queue: String
        /// How long ago it ended.
        var age: Duration
        var attempt: Int
        var error: String
        var title: String
    }

    var store: String
    var queues: [Queue] = []
    /// The longest first.
    var running: [Running] = []
    /// The newest first, of the newest ``failuresSearched`` that ended.
    var failures: [Failed] = []

    /// A look at more of them would take longer than there is between two pictures.
    static let failuresSearched = 10_000

    /// Whether something may change without a commit.
    var isBusy: Bool {
        !running.isEmpty || queues.contains { $0.ready > 0 || ($0.rate ?? 0) > 0 }
    }
}

/// Reads what is shown again and again, and knows what was before.
struct TopReader {
    private struct Sample {
        var at: ContinuousClock.Instant
        var ended: [String: Int]
    }
    let store: JobStore
    /// Of the last ten seconds.
    private var samples: [Sample] = []
    private static let window = Duration.seconds(10)
    private var titles: [JobID: String] = [:]
    private var failures: [RecentFailure] = []
    /// How many had failed when those were read, and how often any did.
    private var failuresAt: (count: Int, ever: Int)?
    private var limits: [String: Int] = [:]
    private var limitsAt: ContinuousClock.Instant?
    /// So many of each list are read: more than a screen has rows.
    private static let listed = 200

    init(_ store: JobStore) { self.store = store }

    mutating func read() throws -> TopModel {
        let now = store.now
        let statuses = try store.queues()
        let running = try store.runningJobs()
        try readLimits(statuses)
        try readFailures(statuses)
        let rates = rates(statuses)
        var model = TopModel(store: visible(StoreLocation.resolved(store.path)))
        model.queues = statuses.map { status in
            let counts = status.counts
            let inFlight = running.count { $0.queue == status.name }
            return TopModel.Queue(
                name: status.name, pid: status.ownerPID, isPaused: status.isPaused,
                limit: limits[status.name], running: inFlight,
                ready: max(0, counts.ready - inFlight), waiting: counts.waiting + counts.parked,
                succeeded: counts.succeeded, failed: counts.failed + counts.deadLetters,
                rate: rates[status.name])
        }
        // Those at work first: old runs need no more than a line further down.
        model.queues.sort { Self.rank($0) > Self.rank($1) }
        var known: [JobID: String] = [:]
        model.running = running.prefix(Self.listed).map { job in
            let title = title(job.id)
            known[job.id] = title
            return TopModel.Running(
                id: job.id, queue: job.queue, elapsed: now.since(job.since),
                pid: job.childPID ?? job.pid, attempt: job.attempt, title: title)
        }
        model.failures = failures.map { failure in
            let title = title(failure.id)
            known[failure.id] = title
            return TopModel.Failed(
                id: failure.id, queue: failure.queue, age: now.since(failure.endedAt),
                attempt: failure.attempt, error: Self.short(failure.failure?.message ?? ""),
                title: title)
        }
        titles = known
        return model
    }

    /// "it exited with status 3" stands beside what exited.
    private static func short(_ message: String) -> String {
        visible(message.hasPrefix("it ") ? String(message.dropFirst(3)) : message)
    }

    private static func rank(_ queue: TopModel.Queue) -> Int {
        queue.running > 0 ? 3 : queue.pid != nil ? 2 : queue.ready + queue.waiting > 0 ? 1 : 0
    }

    private mutating func rates(_ statuses: [QueueStatus]) -> [String: Double] {
        let now = ContinuousClock.now
        var sample = Sample(at: now, ended: [:])
        for status in statuses { sample.ended[status.name] = status.counts.ended }
        samples.append(sample)
        // One that is older than the window stays: from it on is counted.
        while samples.count > 2, samples[1].at.duration(to: now) >= Self.window {
            samples.removeFirst()
        }
        let seconds = samples[0].at.duration(to: now) / .seconds(1)
        guard seconds >= 0.5 else { return [:] }
        var rates: [String: Double] = [:]
        for (name, ended) in sample.ended {
            // Jobs that are run once more are taken from those that ended.
            rates[name] = Double(max(0, ended - (samples[0].ended[name] ?? 0))) / seconds
        }
        return rates
    }

    /// Read anew when others have failed, or are run once more, or one has failed once more.
    private mutating func readFailures(_ statuses: [QueueStatus]) throws {
        let count = statuses.reduce(0) { $0 + $1.counts.failed + $1.counts.deadLetters }
        let ever = statuses.reduce(0) { $0 + $1.counts.failuresEver }
        if let failuresAt, failuresAt == (count, ever) { return }
        failures = try store.recentFailures(
            limit: Self.listed, scanned: TopModel.failuresSearched)
        failuresAt = (count, ever)
    }

    /// Every other second: no commit tells of them alone.
    private mutating func readLimits(_ statuses: [QueueStatus]) throws {
        if let limitsAt, limitsAt.duration(to: .now) < .seconds(2) { return }
        limits = [:]
        for status in statuses {
            let all = try store.limits(inQueue: status.name)
            limits[status.name] = all.first { $0.job == nil }?.1.concurrency
        }
        limitsAt = .now
    }

    /// After a limit was set here.
    mutating func forgetLimits() { limitsAt = nil }

    private mutating func title(_ id: JobID) -> String {
        if let title = titles[id] { return title }
        let title: String
        do {
            let details = try store.details(of: id)
            var lines = RunLine()
            let input = details.extras.withUnsafeBytes { InputMark.values($0) }
            title =
                JobText.command(name: details.summary.name, payload: details.payload).map {
                    JobText.brief($0, queue: details.summary.queue, input: input, &lines)
                } ?? visible(details.summary.name)
        } catch {
            // Deleted since, or not to be read: `petiole show` says which.
            title = "?"
        }
        titles[id] = title
        return title
    }
}
