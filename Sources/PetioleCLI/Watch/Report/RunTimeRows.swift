import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The rows of a histogram of run times: round bounds where they spread over decades, else parts of equal ratio.
struct RunTimeRows {
    struct Row: Equatable {
        /// Microseconds.
        var from: Int
        var to: Int
        var count: Int
    }

    static func of(_ histogram: RunTimeHistogram) -> [Row] {
        guard let shortest = histogram.shortest, histogram.count > 0 else { return [] }
        let low = max(1, shortest.wholeMicroseconds)
        let high = max(low, histogram.longest.wholeMicroseconds)
        let ratio = Double(high) / Double(low)
        let edges = ratio >= 32 ? roundEdges(low, high) : equalEdges(low, high, ratio)
        return zip(edges, edges.dropFirst()).enumerated().map { index, pair in
            // What is shorter than a microsecond, or as long as the longest, is in the outer rows.
            let from = index == 0 ? 0 : pair.0
            let to = index == edges.count - 2 ? Int.max : pair.1
            return Row(
                from: pair.0, to: pair.1, count: histogram.count(from: from, below: to))
        }
    }

    /// 1, 2 and 5 of each decade; decades alone where those are too many.
    private static func roundEdges(_ low: Int, _ high: Int) -> [Int] {
        var all: [Int] = []
        var decade = 1
        while decade <= Int.max / 100 {
            all += [decade, decade * 2, decade * 5]
            decade *= 10
        }
        func between(_ all: [Int]) -> [Int] {
            let first = all.lastIndex { $0 <= low } ?? 0
            let last = all.firstIndex { $0 > high } ?? all.count - 1
            return Array(all[first...last])
        }
        let edges = between(all)
        if edges.count <= 14 { return edges }
        return between(all.enumerated().filter { $0.offset % 3 == 0 }.map { $0.element })
    }

    /// Eight at most, each at least as wide as two classes of the histogram.
    private static func equalEdges(_ low: Int, _ high: Int, _ ratio: Double) -> [Int] {
        var step = 1.13
        var count = 1
        while count < 8, ratio >= step {
            step *= 1.13
            count += 1
        }
        let part = Double(high + 1) / Double(low)
        var edges = [low]
        for index in 1...count {
            let edge = Double(low) * pow(part, Double(index) / Double(count))
            if Int(edge) > edges[edges.count - 1] { edges.append(Int(edge.rounded(.up))) }
        }
        return edges.count == 1 ? [low, low + 1] : edges
    }
}
