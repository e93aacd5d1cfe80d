/// One input of a run: the values that its command gets. One value, mostly.
struct Input: Equatable, Sendable {
    var first: [UInt8]
    var others: [[UInt8]] = []
    /// What names it in place of its values, where these are taken from it.
    var source: [UInt8]?
    /// Why no command can be made of it; it becomes a job that fails with this sentence.
    var fault: String?
    /// Which of the inputs it is, from 1.
    var number = 0

    init(_ first: [UInt8], _ others: [[UInt8]] = []) {
        self.first = first
        self.others = others
    }

    init(values: [[UInt8]]) {
        first = values.first ?? []
        others = Array(values.dropFirst())
    }

    var count: Int { 1 + others.count }
    var values: [[UInt8]] { [first] + others }

    /// - Parameter index: from 0. Empty where there are not so many.
    func value(at index: Int) -> [UInt8] {
        if index == 0 { return first }
        return index <= others.count ? others[index - 1] : []
    }

    /// By what it is known when the same line is started again: the values, a zero byte between two, which none of them holds.
    var mark: [UInt8] {
        if let source { return source }
        if others.isEmpty { return first }
        return Array(values.joined(separator: CollectionOfOne(0)))
    }
}
