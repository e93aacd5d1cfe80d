/// The planned times of a schedule, those left out that it excludes, and when each is fired: a pure function of what is stored.
struct SchedulePlan: Sendable {
    let times: PlannedTimes
    /// Microseconds since 1970, both inclusive.
    var start: Int64 = .min
    var end: Int64 = .max
    /// Days since 1970-01-01, in their order.
    var excluded: [Int32] = []
    /// Microseconds.
    var jitter: Int64 = 0
    /// What the while is drawn by.
    var seed: UInt64 = 0

    init(_ times: PlannedTimes) { self.times = times }

    /// The first planned time after an instant; nil: there is none any more. Cost: a search for each excluded date that is met.
    func first(after instant: Int64) -> Int64? {
        var from = start == .min ? instant : max(instant, start - 1)
        while let planned = times.first(after: from), planned <= end, planned > from {
            guard !excluded.isEmpty else { return planned }
            let day = day(of: planned)
            guard isExcluded(day) else { return planned }
            from = max(planned, dayEnd(day) - 1)
        }
        return nil
    }

    /// So many planned times after an instant, or as many as there are.
    func times(after instant: Int64, count: Int) -> [WallTime] {
        var times: [WallTime] = []
        var last = instant
        while times.count < count, let next = first(after: last) {
            times.append(WallTime(microseconds: next))
            last = next
        }
        return times
    }

    /// The last planned time that is not after an instant; nil: there is none that is later than `earliest`. Some 60 searches at
    /// most, however far it is.
    func last(notAfter instant: Int64, laterThan earliest: Int64) -> Int64? {
        func found(after from: Int64) -> Int64? {
            guard let next = first(after: from), next <= instant else { return nil }
            return next
        }
        // Backwards in steps that double, until one has something; then the last of that by halving.
        var width: Int64 = 1_000_000
        var low = earliest
        while true {
            let (from, overflow) = instant.subtractingReportingOverflow(width)
            if overflow || from <= earliest { break }
            if found(after: from) != nil {
                low = from
                break
            }
            width = width.multipliedReportingOverflow(by: 2).overflow ? .max : width * 2
        }
        guard var last = found(after: low) else { return nil }
        var high = instant
        while last < high {
            // The next one tells at once when there is none between.
            guard let next = found(after: last) else { return last }
            last = next
            let middle = last + (high - last) / 2
            if let later = found(after: middle) { last = later } else { high = middle }
        }
        return last
    }

    /// When a planned time is fired: later than planned by the jitter, and before the next one.
    func firing(of planned: Int64, next: Int64?) -> Int64 {
        guard jitter > 0 else { return planned }
        let gap = next.map { $0.subtractingReportingOverflow(planned).partialValue } ?? .max
        let bound = min(jitter, gap)
        guard bound > 0 else { return planned }
        // SplitMix64: two runners draw the same.
        var word = seed &+ UInt64(bitPattern: planned) &* 0x9E37_79B9_7F4A_7C15
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        word ^= word >> 31
        let (sum, overflow) = planned.addingReportingOverflow(Int64(word % UInt64(bound)))
        return overflow ? planned : sum
    }

    func firing(of planned: Int64) -> Int64 {
        jitter > 0 ? firing(of: planned, next: first(after: planned)) : planned
    }

    // MARK: Excluded dates

    private func day(of planned: Int64) -> Int {
        let second = Int64(Int(planned).floorDivided(by: 1_000_000))
        return Int(times.zone.local(second)).floorDivided(by: 86_400)
    }

    private func isExcluded(_ day: Int) -> Bool {
        var low = 0
        var high = excluded.count
        while low < high {
            let middle = (low + high) / 2
            if Int(excluded[middle]) < day { low = middle + 1 } else { high = middle }
        }
        return low < excluded.count && Int(excluded[low]) == day
    }

    /// When the next day begins.
    private func dayEnd(_ day: Int) -> Int64 {
        switch times.zone.showing(Int64(day + 1) * 86_400) {
        case .at(let second, _), .skipped(at: let second): second * 1_000_000
        }
    }
}

extension Duration {
    /// Whole microseconds, towards zero; nothing is longer than 146,000 years.
    var clampedMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let longest = Int64.max >> 1
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? -longest : longest }
        return min(max(whole, -longest), longest) + attoseconds / 1_000_000_000_000
    }
}
