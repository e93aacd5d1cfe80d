extension [ClosedRange<UInt64>] {
    /// Adds a range behind the others; joins the last one if it follows it.
    /// - Parameter bound: whenever there are so many more, all are put in the order of their ids, and those that touch are
    ///   joined.
    mutating func add(_ range: ClosedRange<UInt64>, atMost bound: Int = .max) {
        if let last, last.upperBound < range.lowerBound, range.lowerBound - last.upperBound == 1 {
            self[count - 1] = last.lowerBound...range.upperBound
            return
        }
        append(range)
        guard count.isMultiple(of: bound) else { return }
        let sorted = sorted { $0.lowerBound < $1.lowerBound }
        removeAll(keepingCapacity: true)
        for range in sorted { add(range) }
    }
}
