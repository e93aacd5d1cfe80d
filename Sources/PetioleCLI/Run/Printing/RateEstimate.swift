/// How fast work goes, and how long what is left takes: from what was done of it when, without a clock of its own.
///
/// Work is counted in jobs, those that run by the part of their time that is over: else a run of few long jobs would seem to
/// stand still, and then to leap. The rate is half that of all the time and half that of the last third of it, so that both
/// a slow beginning and a change are taken into account.
struct RateEstimate: Sendable {
    private struct Sample {
        var time: Double
        var work: Double
    }
    /// The oldest first; the first is where the recent part begins, or before.
    private var recent: [Sample] = [Sample(time: 0, work: 0)]
    private var last = Sample(time: 0, work: 0)
    private var longestRest: Double = 0

    /// - Parameters:
    ///   - time: seconds since the beginning.
    ///   - ended: jobs that have ended since.
    ///   - running: for how many seconds each that runs has run.
    ///   - average: seconds that one takes; nil: none has ended.
    mutating func look(at time: Double, ended: Int, running: [Double], average: Double?) {
        var work = Double(ended)
        longestRest = 0
        if let average, average > 0 {
            for elapsed in running {
                work += min(elapsed / average, 1)
                longestRest = max(longestRest, average - elapsed)
            }
        }
        last = Sample(time: time, work: work)
        // Three hundred at most are kept of the recent part.
        if let newest = recent.last, time - newest.time >= max(0.1, time / 1_000) {
            recent.append(last)
        }
        let start = time - max(10, time / 3)
        let old = recent.prefix { $0.time <= start }.count
        if old > 1 { recent.removeFirst(old - 1) }
    }

    /// Jobs each second; nil before anything was done.
    var rate: Double? {
        guard last.time > 0, last.work > 0 else { return nil }
        let whole = last.work / last.time
        guard let first = recent.first, last.time - first.time > 0 else { return whole }
        let recent = max(0, (last.work - first.work) / (last.time - first.time))
        return (whole + recent) / 2
    }

    /// Seconds until all are done; nil when it cannot be told.
    /// - Parameter total: jobs that ended, run, and are to come since the beginning.
    func timeLeft(of total: Int) -> Double? {
        guard let rate, rate > 0 else { return nil }
        return max((Double(total) - last.work) / rate, min(longestRest, Double(total) / rate), 0)
    }
}
