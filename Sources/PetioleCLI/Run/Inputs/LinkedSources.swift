/// Sources whose rows go together, each with the one of the same number; or one alone.
struct LinkedSources {
    private var sources: [InputSource]
    /// Rows that one source has given and another not yet, from `taken` on.
    private var waiting: [[Input]]
    private var taken: [Int]
    /// Whether one has ended before another.
    private(set) var isUneven = false
    private var isAtEnd = false

    init(_ sources: [InputSource]) {
        self.sources = sources
        waiting = sources.map { _ in [] }
        taken = sources.map { _ in 0 }
    }

    /// How many rows are left, when it is known.
    var count: Int? {
        var least = Int.max
        for (index, source) in sources.enumerated() {
            guard let count = source.count else { return nil }
            least = min(least, count + waiting[index].count - taken[index])
        }
        return least
    }

    var mayWait: Bool { sources.contains { $0.mayWait } }

    /// Waits for some; nil at the end.
    mutating func next() throws -> [Input]? {
        if sources.count == 1 { return try sources[0].next() }
        var hasEnded = isAtEnd
        for index in sources.indices where !isAtEnd && taken[index] == waiting[index].count {
            taken[index] = 0
            waiting[index] = try sources[index].next() ?? []
            if waiting[index].isEmpty { hasEnded = true }
        }
        guard !hasEnded else {
            isUneven = isUneven || sources.indices.contains { taken[$0] < waiting[$0].count }
            isAtEnd = true
            return nil
        }
        let count = sources.indices.map { waiting[$0].count - taken[$0] }.min() ?? 0
        let rows = (0..<count).map { row in
            sources.indices.dropFirst().reduce(waiting[0][taken[0] + row]) {
                $0.joined(with: waiting[$1][taken[$1] + row])
            }
        }
        for index in sources.indices { taken[index] += count }
        return rows
    }
}
