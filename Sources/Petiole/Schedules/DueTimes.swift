/// Which of the planned times that have come are to be enqueued, and what comes next: a pure function.
struct DueTimes: Equatable {
    /// In their order.
    private(set) var runs: [Int64] = []
    /// How many are not; counted up to ``countLimit``.
    private(set) var missed = 0
    /// The next one; nil: there is none any more.
    private(set) var next: Int64?
    /// Planned times that were looked at, about: what it has cost.
    private(set) var looks = 0

    /// So many are gone through one by one, and counted; of more the newest are found from behind.
    static let countLimit = 1_000
    /// 5 s: what is not later was not missed, however many came meanwhile. A runner that is there looks more often.
    static let onTime: Int64 = 5_000_000

    /// - Parameters:
    ///   - next: the first that was not decided about, which has come: its firing is not after `now`.
    ///   - now: microseconds since 1970, by the system's clock.
    init(_ plan: SchedulePlan, from next: Int64, now: Int64, _ missed: MissedRuns) {
        var come = [next]
        self.next = plan.first(after: next)
        while come.count <= Self.countLimit, let following = self.next, following <= now {
            let afterwards = plan.first(after: following)
            if plan.firing(of: following, next: afterwards) > now { break }
            come.append(following)
            self.next = afterwards
        }
        looks = come.count
        var count = come.count
        if come.count > Self.countLimit {
            findNewest(plan, now, missed, &come)
            count = .max
        }
        let wanted = come.suffix(missed.most)
        runs = wanted.filter { missed.wants(plan.firing(of: $0), at: now) }
        if missed.kind == .once, runs.isEmpty { runs = Array(come.suffix(1)) }
        self.missed = min(count - runs.count, Self.countLimit)
    }

    /// Adds the newest ones to those that were gone through, when there are too many: from behind.
    private mutating func findNewest(
        _ plan: SchedulePlan, _ now: Int64, _ missed: MissedRuns, _ come: inout [Int64]
    ) {
        let gone = come.last!
        guard var last = plan.last(notAfter: now, laterThan: gone) else { return }
        var following = plan.first(after: last)
        if plan.firing(of: last, next: following) > now {
            following = last
            last = plan.last(notAfter: last - 1, laterThan: gone) ?? gone
        }
        next = following
        var newest: [Int64] = []
        while last > gone, newest.count < missed.most {
            newest.append(last)
            // Each takes some searches.
            looks += 10
            guard missed.wants(plan.firing(of: last), at: now) else { break }
            last = plan.last(notAfter: last - 1, laterThan: gone) ?? gone
        }
        come += newest.reversed()
    }
}

extension MissedRuns {
    /// How many of the newest are enqueued at most.
    fileprivate var most: Int { kind == .all ? Int(bound) : Self.most }

    /// Whether one is enqueued that was to be fired then.
    fileprivate func wants(_ firing: Int64, at now: Int64) -> Bool {
        let (late, overflow) = now.subtractingReportingOverflow(firing)
        switch kind {
        case .all: return true
        case .once: return !overflow && late <= DueTimes.onTime
        case .skip: return !overflow && late <= bound
        }
    }
}
