/// Which of the planned times that have come are to be enqueued, and what comes next: a pure function.
struct DueTimes: Equatable {
    /// In their order.
    var runs: [Int64] = []
    /// How many are not; counted up to ``countLimit``.
    var missed = 0
    /// The next one; nil: there is none any more.
    var next: Int64?

    /// So many are gone through one by one, and counted; of more the newest are found from behind.
    static let countLimit = 1_000

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
        let isAll = come.count <= Self.countLimit
        if !isAll { newest(plan, now, later: come.last!, wanted: missed.wanted, &come) }
        runs = Array(come.suffix(missed.wanted))
        if missed.kind == .skip, let last = runs.last {
            let (late, overflow) = now.subtractingReportingOverflow(plan.firing(of: last))
            if overflow || late > missed.bound { runs = [] }
        }
        self.missed = isAll ? come.count - runs.count : Self.countLimit
    }

    /// Adds the newest ones to those that were gone through, when there are too many: from behind.
    /// - Parameter gone: the last of those.
    private mutating func newest(
        _ plan: SchedulePlan, _ now: Int64, later gone: Int64, wanted: Int, _ come: inout [Int64]
    ) {
        guard var last = plan.last(notAfter: now, laterThan: gone) else { return }
        var following = plan.first(after: last)
        if plan.firing(of: last, next: following) > now {
            following = last
            last = plan.last(notAfter: last - 1, laterThan: gone) ?? gone
        }
        next = following
        var newest: [Int64] = []
        var time = last
        while time > gone, newest.count < wanted {
            newest.append(time)
            time = plan.last(notAfter: time - 1, laterThan: gone) ?? gone
        }
        come += newest.reversed()
    }
}

extension MissedRuns {
    /// How many of the newest are enqueued.
    fileprivate var wanted: Int { kind == .all ? Int(bound) : 1 }
}
