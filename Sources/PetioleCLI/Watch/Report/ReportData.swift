import Petiole

/// What `petiole report` tells, gathered job by job in a fixed size.
struct ReportData: Sendable {
    struct Slow: Sendable {
        var id: JobID
        var runTime: Duration
        var kind: Outcome.Kind
        var attempt: Int
    }

    struct Failures: Sendable {
        var fingerprint: String
        /// The first that was met.
        var example: JobID
        var text: String
        var count = 1
    }

    /// So many kinds of failures are told apart; further ones are counted as one.
    private static let kindLimit = 1_000

    /// How many slowest are kept.
    let slowLimit: Int
    private(set) var jobs = 0
    private(set) var ended: [Outcome.Kind: Int] = [:]
    private(set) var running = 0
    /// Neither ended nor running.
    private(set) var waiting = 0
    /// Attempts that another followed, of those that ended.
    private(set) var retries = 0
    private(set) var runTimes = RunTimeHistogram()
    private(set) var ends = TimeBuckets()
    private(set) var first: WallTime?
    private(set) var last: WallTime?
    /// The slowest first.
    private(set) var slowest: [Slow] = []
    private var kinds: [String: Failures] = [:]
    private(set) var otherFailures = 0

    init(slowLimit: Int) { self.slowLimit = slowLimit }

    /// The most frequent first.
    var failures: [Failures] {
        kinds.values.sorted { ($0.count, $1.example) > ($1.count, $0.example) }
    }

    func count(_ kind: Outcome.Kind) -> Int { ended[kind] ?? 0 }

    /// From the first start to the last end.
    var span: Duration? {
        guard let first, let last else { return nil }
        return last.since(first)
    }

    mutating func add(_ id: JobID, _ state: JobState) {
        jobs += 1
        switch state {
        case .ended(let outcome): add(id, outcome)
        case .running: running += 1
        case .ready, .waiting, .parked, .paused, .awaiting, .held: waiting += 1
        }
    }

    private mutating func add(_ id: JobID, _ outcome: Outcome) {
        ended[outcome.kind, default: 0] += 1
        if let failure = outcome.failure { add(id, failure) }
        // One that never began has neither a time nor a duration.
        guard outcome.attempt > 0 else { return }
        retries += outcome.attempt - 1
        runTimes.add(outcome.runTime)
        let end = outcome.endedAt
        ends.add(Int(end.microseconds))
        first = min(first ?? outcome.startedAt, outcome.startedAt)
        last = max(last ?? end, end)
        let isSlow = slowest.last.map { outcome.runTime > $0.runTime } ?? true
        if slowLimit > 0, slowest.count < slowLimit || isSlow {
            let slow = Slow(
                id: id, runTime: outcome.runTime, kind: outcome.kind, attempt: outcome.attempt)
            let place = slowest.firstIndex { $0.runTime < slow.runTime } ?? slowest.count
            slowest.insert(slow, at: place)
            if slowest.count > slowLimit { slowest.removeLast() }
        }
    }

    private mutating func add(_ id: JobID, _ failure: JobFailure) {
        let fingerprint = failure.fingerprint
        if kinds[fingerprint] != nil {
            kinds[fingerprint]?.count += 1
        } else if kinds.count < Self.kindLimit {
            kinds[fingerprint] = Failures(
                fingerprint: fingerprint, example: id, text: failure.message)
        } else {
            otherFailures += 1
        }
    }
}
