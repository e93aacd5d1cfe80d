/// How much happened when, in so many buckets, whatever the span: they grow twice as wide when one comes that fits in none.
struct TimeBuckets: Sendable {
    static let count = 240
    /// Microseconds since 1970 at which the first begins.
    private(set) var start = 0
    /// Microseconds; a hundredth of a second at first.
    private(set) var width = 10_000
    private var counts = [Int](repeating: 0, count: TimeBuckets.count)
    /// Behind the last that was used.
    private var end = 0

    var isEmpty: Bool { end == 0 }
    /// Those in use: from the first time to the last.
    var used: ArraySlice<Int> { counts[..<end] }

    mutating func add(_ time: Int) {
        if isEmpty { start = Self.aligned(time, width) }
        if time < start { makeRoomBefore(time) }
        while (time - start) / width >= Self.count { widen() }
        let index = (time - start) / width
        counts[index] += 1
        end = max(end, index + 1)
    }

    /// A multiple of the width, so that two neighbours are one when it is doubled.
    private static func aligned(_ time: Int, _ width: Int) -> Int {
        let remainder = time % width
        return time - (remainder < 0 ? remainder + width : remainder)
    }

    private mutating func makeRoomBefore(_ time: Int) {
        while (start - Self.aligned(time, width)) / width + end > Self.count { widen() }
        let missing = (start - Self.aligned(time, width)) / width
        counts.removeLast(missing)
        counts.insert(contentsOf: repeatElement(0, count: missing), at: 0)
        start -= missing * width
        end += missing
    }

    private mutating func widen() {
        let newStart = Self.aligned(start, width * 2)
        let shift = (start - newStart) / width
        var new = [Int](repeating: 0, count: Self.count)
        for (index, count) in counts[..<end].enumerated() {
            new[(index + shift) / 2] += count
        }
        end = end == 0 ? 0 : (end - 1 + shift) / 2 + 1
        (counts, start, width) = (new, newStart, width * 2)
    }

    /// The same in so many parts of equal width, each as a count a second. What lies in a bucket is taken to be spread evenly.
    func rates(_ parts: Int) -> [Double] {
        guard end > 0, parts > 0 else { return [] }
        let perPart = Double(end) / Double(parts)
        let seconds = perPart * Double(width) / 1_000_000
        return (0..<parts).map { part in
            let from = Double(part) * perPart
            let to = from + perPart
            var sum: Double = 0
            var index = Int(from)
            while index < end, Double(index) < to {
                let overlap = min(to, Double(index + 1)) - max(from, Double(index))
                sum += Double(counts[index]) * max(0, overlap)
                index += 1
            }
            return sum / seconds
        }
    }
}
