/// Jobs that have ended, given out in the order in which they are expected.
struct PrintOrder {
    private var expected: [ClosedRange<UInt64>] = []
    /// The first range that is not given out whole, and the id in it that comes next.
    private var place = 0
    private var nextID: UInt64?
    /// Those that have ended before their turn.
    private var ended = RangeSet<UInt64>()

    mutating func expect(_ ranges: [ClosedRange<UInt64>]) {
        for range in ranges {
            // What was given out whole does not grow; what is not yet may.
            if place == expected.count { expected.append(range) } else { expected.add(range) }
        }
    }

    mutating func add(_ ranges: [ClosedRange<UInt64>]) {
        for range in ranges { ended.insert(contentsOf: Range(range)) }
    }

    /// The next one whose turn it is.
    /// - Parameter orAny: when there is none, one that has ended before its turn, the first of those.
    mutating func next(orAny: Bool) -> UInt64? {
        while place < expected.count {
            let id = nextID ?? expected[place].lowerBound
            guard ended.contains(id) else { break }
            ended.remove(contentsOf: id..<id + 1)
            advance(behind: id)
            return id
        }
        guard orAny, let first = ended.ranges.first?.lowerBound else { return nil }
        ended.remove(contentsOf: first..<first + 1)
        return first
    }

    private mutating func advance(behind id: UInt64) {
        nextID = id < expected[place].upperBound ? id + 1 : nil
        guard nextID == nil else { return }
        place += 1
        // What was given out is forgotten now and then.
        if place > 1_000 {
            expected.removeFirst(place)
            place = 0
        }
    }
}
