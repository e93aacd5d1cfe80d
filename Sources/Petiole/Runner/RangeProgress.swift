import PetioleStorage

/// How far a range that a runner has claimed from is done: what its row in the lane should say next.
///
/// A row is [low, end): all below `low` is settled. What is settled above it lies in `done`, sorted and apart. A range
/// leaves its lane when nothing is left of it; when one job far outlives the rest, it gets a row of its own before the
/// others', so that a crash does not make the next owner look through everything that ended since.
struct RangeProgress: Equatable, Sendable {
    let queue: UInt32
    let priority: UInt8
    let position: UInt64
    /// In a sublane: whose.
    let gate: GateKey?
    private(set) var low: UInt64
    let end: UInt64
    private(set) var done: [Interval] = []
    /// Rows split off, in the order in which they were.
    private(set) var stragglers: [Straggler] = []
    private var isChanged = false
    /// Whether jobs were moved out of it that say nowhere else that they were: what is done is then part of the row.
    private var keepsDone = false
    /// Rows that are to go.
    private var deleted: [UInt64] = []
    /// Where the next straggler's row goes. Only ever goes up: a row that went must not come back under another's delete.
    private var nextStraggler: UInt64

    struct Interval: Equatable, Sendable {
        var first: UInt64
        var end: UInt64
    }
    struct Straggler: Equatable, Sendable {
        let position: UInt64
        var low: UInt64
        let end: UInt64
        var done: [Interval] = []
        var isChanged = true
    }

    /// A straggler is split off when this many ids above it are behind the furthest one settled.
    static let window: UInt64 = 65_536
    private let window: UInt64

    /// - Parameter after: the position of the row before this one in the lane, 0 when there is none. An earlier owner may
    ///   have split it off this one; its place is taken.
    init(_ row: LaneRow, after: UInt64, window: UInt64 = RangeProgress.window) {
        self.window = window
        let stepStart = row.position / StoreFormat.positionStep * StoreFormat.positionStep
        nextStraggler = max(stepStart, after + 1)
        queue = row.queue
        priority = row.priority
        position = row.position
        gate = row.gate
        low = row.first
        end = row.end
        done = row.done
        keepsDone = !row.done.isEmpty
        while let next = done.first, next.first <= low {
            low = max(low, next.end)
            done.removeFirst()
        }
    }

    /// Whether nothing is left, in the row or in what was split off.
    var isSettled: Bool { low == end && stragglers.isEmpty }

    /// Where reading goes on from an id that may be done: the first that is not, and up to where no other one is.
    func undone(from id: UInt64) -> (next: UInt64, end: UInt64) {
        var next = max(id, low)
        for interval in done where interval.end > next {
            if interval.first > next { return (next, interval.first) }
            next = interval.end
        }
        return (next, end)
    }

    /// Marks ids as settled. Those that were already are left alone.
    /// - Parameter isMove: they lie elsewhere from now on, without a row of their own that says so.
    mutating func settle(first: UInt64, count: UInt64, isMove: Bool = false) {
        if isMove { keepsDone = true }
        let interval = Interval(first: first, end: first + count)
        for index in stragglers.indices.reversed() {
            let straggler = stragglers[index]
            guard interval.first < straggler.end, interval.end > straggler.low else { continue }
            let part = Interval(
                first: max(interval.first, straggler.low), end: min(interval.end, straggler.end))
            var changed = straggler
            changed.isChanged = true
            Self.insert(part, low: &changed.low, done: &changed.done)
            if changed.low == changed.end {
                deleted.append(changed.position)
                stragglers.remove(at: index)
            } else {
                stragglers[index] = changed
            }
        }
        guard interval.end > low, interval.first < end else { return }
        isChanged = true
        Self.insert(
            Interval(first: max(interval.first, low), end: min(interval.end, end)), low: &low,
            done: &done)
        splitOffStragglers()
    }

    /// Adds an interval to what is done, merging it with what it touches, and moves `low` over what is done from there.
    private static func insert(_ new: Interval, low: inout UInt64, done: inout [Interval]) {
        if new.first == low {
            low = new.end
        } else {
            // From the back: what ends now mostly lies behind what ended before.
            var at = done.count
            while at > 0, done[at - 1].first > new.first { at -= 1 }
            done.insert(new, at: at)
            while at + 1 < done.count, done[at].end >= done[at + 1].first {
                done[at].end = max(done[at].end, done[at + 1].end)
                done.remove(at: at + 1)
            }
            if at > 0, done[at - 1].end >= done[at].first {
                done[at - 1].end = max(done[at - 1].end, done[at].end)
                done.remove(at: at)
            }
        }
        while let next = done.first, next.first <= low {
            low = max(low, next.end)
            done.removeFirst()
        }
    }

    private mutating func splitOffStragglers() {
        // Rows before ours in the lane and after the one before us: positions are handed out in steps, for this.
        while let furthest = done.last, let next = done.first, furthest.end - low > window,
            nextStraggler < position
        {
            stragglers.append(Straggler(position: nextStraggler, low: low, end: next.first))
            nextStraggler += 1
            low = next.end
            done.removeFirst()
        }
    }

    /// Brings the rows up to date.
    func write(_ transaction: inout WriteTransaction, _ tables: StoreTables) throws(StorageError) {
        for straggler in stragglers where straggler.isChanged {
            try row(straggler.position, straggler.low, straggler.end).put(&transaction, tables)
        }
        for position in deleted { try delete(position, &transaction, tables) }
        guard isChanged else { return }
        if low == end {
            try delete(position, &transaction, tables)
        } else {
            var row = row(position, low, end)
            if keepsDone { row.done = done }
            try row.put(&transaction, tables)
        }
    }

    private func delete(
        _ position: UInt64, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let table = gate == nil ? tables.lanes : tables.parked
        try transaction.delete(table, row(position, low, end).key)
    }

    private func row(_ position: UInt64, _ low: UInt64, _ end: UInt64) -> LaneRow {
        LaneRow(
            queue: queue, priority: priority, position: position, first: low, count: end - low,
            gate: gate)
    }

    /// The same when its rows are written.
    var written: RangeProgress {
        var copy = self
        copy.isChanged = false
        copy.deleted = []
        for index in copy.stragglers.indices { copy.stragglers[index].isChanged = false }
        return copy
    }
}
