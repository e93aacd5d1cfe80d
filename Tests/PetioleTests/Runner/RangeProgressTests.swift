import PetioleStorage
import Testing

@testable import Petiole

/// What the lanes would hold: rows by position, brought up to date as a commit does, and read again as a new owner does.
private struct Rows {
    private(set) var rows: [UInt64: Range<UInt64>] = [:]
    private var known: [UInt64: [UInt64: Range<UInt64>]] = [:]

    init(_ rows: [UInt64: Range<UInt64>]) { self.rows = rows }

    /// Writes a range's rows and takes those away that it no longer has.
    mutating func write(_ progress: RangeProgress, _ name: UInt64) {
        for position in (known[name] ?? [:]).keys { rows[position] = nil }
        var mine: [UInt64: Range<UInt64>] = [:]
        if progress.low < progress.end { mine[progress.position] = progress.low..<progress.end }
        for straggler in progress.stragglers {
            mine[straggler.position] = straggler.low..<straggler.end
        }
        rows[progress.position] = nil
        rows.merge(mine) { old, new in
            Issue.record("two rows at one position: \(old) and \(new)")
            return new
        }
        known[name] = mine
    }
}

@Suite("Range progress") struct RangeProgressTests {
    private static let position = StoreFormat.positionStep * 3 - 1

    private func progress(
        _ position: UInt64, _ ids: Range<UInt64>, after: UInt64, window: UInt64
    ) -> RangeProgress {
        RangeProgress(
            LaneRow(
                queue: 1, priority: 4, position: position, first: ids.lowerBound,
                count: UInt64(ids.count)),
            after: after, window: window)
    }

    /// Everything that is not settled lies in one row, and no row is empty or begins with what is settled.
    private func check(_ rows: Rows, unsettled: Set<UInt64>, _ history: @autoclosure () -> String)
        -> Bool
    {
        var seen: Set<UInt64> = []
        var isRight = true
        for range in rows.rows.values {
            if range.isEmpty { isRight = false }
            for id in range where !seen.insert(id).inserted { isRight = false }
        }
        if !unsettled.isSubset(of: seen) { isRight = false }
        if !isRight {
            Issue.record("\(history()): the rows are \(rows.rows), unsettled \(unsettled.sorted())")
        }
        return isRight
    }

    private func permutations(_ count: Int) -> [[UInt64]] {
        if count == 0 { return [[]] }
        return permutations(count - 1).flatMap { rest in
            (0..<count).map { place in
                var order = rest
                order.insert(UInt64(10 + count - 1), at: place)
                return order
            }
        }
    }

    @Test("in every order of settling the rows hold what is left", arguments: 1...7)
    func everyOrder(count: Int) {
        for window in [1, 2, 3, 65_536] as [UInt64] {
            for order in permutations(count) {
                let ids = 10..<(10 + UInt64(count))
                var one = progress(Self.position, ids, after: 0, window: window)
                var rows = Rows([Self.position: ids])
                var unsettled = Set(ids)
                for id in order {
                    one.settle(first: id, count: 1)
                    unsettled.remove(id)
                    rows.write(one, 0)
                    one = one.written
                    guard check(rows, unsettled: unsettled, "window \(window), \(order) at \(id)")
                    else { return }
                }
                guard one.isSettled, rows.rows.isEmpty else {
                    Issue.record("window \(window), \(order): not settled at its end")
                    return
                }
            }
        }
    }

    @Test("settling runs, some of them twice, comes to the same as settling one by one")
    func runs() {
        var random = SeededRandom(7)
        for _ in 0..<20_000 {
            let count = UInt64.random(in: 1...12, using: &random)
            let window = UInt64.random(in: 1...6, using: &random)
            let ids = 10..<(10 + count)
            var one = progress(Self.position, ids, after: 0, window: window)
            var rows = Rows([Self.position: ids])
            var unsettled = Set(ids)
            var history: [ClosedRange<UInt64>] = []
            while !unsettled.isEmpty {
                // Some in one commit, then the rows are written.
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let first = UInt64.random(in: ids, using: &random)
                    let last = min(
                        ids.upperBound - 1, first + UInt64.random(in: 0...3, using: &random))
                    one.settle(first: first, count: last - first + 1)
                    unsettled.subtract(first...last)
                    history.append(first...last)
                }
                rows.write(one, 0)
                one = one.written
                guard check(rows, unsettled: unsettled, "window \(window), \(history)") else {
                    return
                }
            }
            guard one.isSettled, rows.rows.isEmpty else {
                Issue.record("window \(window), \(history): not settled at its end")
                return
            }
        }
    }

    @Test(
        "owners that follow each other find in the rows what is left",
        arguments: 0..<8 as Range<UInt64>)
    func restarts(seed: UInt64) {
        var random = SeededRandom(seed)
        for _ in 0..<2_000 {
            let count = UInt64.random(in: 1...10, using: &random)
            let window = UInt64.random(in: 1...4, using: &random)
            let ids = 10..<(10 + count)
            var rows = Rows([Self.position: ids])
            var unsettled = Set(ids)
            var history: [String] = []
            while !rows.rows.isEmpty {
                // A new owner claims the rows in order, as `Claims` does.
                var claimed: [RangeProgress] = []
                var before: UInt64 = 0
                for (position, range) in rows.rows.sorted(by: { $0.key < $1.key }) {
                    claimed.append(progress(position, range, after: before, window: window))
                    before = position
                }
                rows = Rows(rows.rows)
                for index in claimed.indices { rows.write(claimed[index], UInt64(index)) }
                history.append("restart")
                for _ in 0..<Int.random(in: 1...5, using: &random) {
                    // Each id is settled by the owner of the row that it lies in; what was settled before is settled again.
                    let index = Int.random(in: claimed.indices, using: &random)
                    guard
                        claimed[index].low < claimed[index].end
                            || !claimed[index].stragglers.isEmpty
                    else { continue }
                    let lowest =
                        claimed[index].stragglers.map { $0.low }.min() ?? claimed[index].low
                    let id = UInt64.random(
                        in: min(lowest, claimed[index].low)..<claimed[index].end, using: &random)
                    claimed[index].settle(first: id, count: 1)
                    unsettled.remove(id)
                    rows.write(claimed[index], UInt64(index))
                    claimed[index] = claimed[index].written
                    history.append("\(id)")
                    guard check(rows, unsettled: unsettled, "window \(window), \(history)") else {
                        return
                    }
                }
            }
            guard rows.rows.isEmpty else {
                Issue.record("window \(window), \(history): rows are left")
                return
            }
        }
    }
}
