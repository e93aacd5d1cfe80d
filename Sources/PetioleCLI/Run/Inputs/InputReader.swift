import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The inputs of a run, in chunks as they come: from one source, or all combinations of several.
struct InputReader {
    /// Sources whose rows go together, each with the one of the same number.
    private struct Linked {
        var sources: [InputSource]
        /// Rows that one source has and another not yet.
        private var waiting: [[Input]]
        private(set) var isUneven = false

        init(_ sources: [InputSource]) {
            self.sources = sources
            waiting = sources.map { _ in [] }
        }

        var count: Int? {
            var least: Int?
            for (source, waiting) in zip(sources, waiting) {
                guard let count = source.count else { return nil }
                least = min(least ?? .max, count + waiting.count)
            }
            return least
        }

        mutating func next() throws -> [Input]? {
            if sources.count == 1 { return try sources[0].next() }
            for index in sources.indices where waiting[index].isEmpty {
                guard let rows = try sources[index].next() else {
                    isUneven = try hasMore(than: index)
                    return nil
                }
                waiting[index] = rows
            }
            let count = waiting.map { $0.count }.min() ?? 0
            let rows = (0..<count).map { row in
                waiting.dropFirst().reduce(waiting[0][row]) { InputReader.join($0, $1[row]) }
            }
            for index in waiting.indices { waiting[index].removeFirst(count) }
            return rows
        }

        /// Whether another source has a row for which this one has none.
        private mutating func hasMore(than ended: Int) throws -> Bool {
            for index in sources.indices where index != ended {
                if !waiting[index].isEmpty { return true }
                if index > ended, sources[index].count.map({ $0 > 0 }) ?? false { return true }
            }
            return false
        }
    }

    private var outer: Linked
    /// All combinations of the other sources' rows, in their order; nil until they are read.
    private var inner: [Input]?
    private var others: [Linked]
    private let gathering: InputShape.Gathering
    private let isShuffled: Bool
    /// Becomes readable when reading is to end.
    private let stop: Int32
    private var gathered: [[UInt8]] = []
    private var gatheredBytes = 0
    private var fault: String?
    /// Rows of the outer source that are not yet combined.
    private var rows: [Input] = []
    private var isAtEnd = false
    /// What places there are in the command.
    let rules: PlaceRules

    /// Inputs that are shuffled among each other: so many are held.
    static let shuffleSize = 100_000
    private static let chunkSize = 4_096
    private static let openPositions = 1_000_000

    struct Source {
        let isLinked: Bool
        let content: InputSource.Content
    }

    /// Waits for headers.
    /// - Parameters:
    ///   - paths: the fields that the command names, of JSON.
    ///   - stop: becomes readable when reading is to end.
    init(
        _ sources: [Source], _ shape: InputShape, paths: [[UInt8]] = [], isShuffled: Bool = false,
        stop: Int32
    ) throws {
        var groups: [[InputSource]] = []
        for source in sources {
            let opened = try InputSource(source.content, shape, paths: paths)
            if source.isLinked, !groups.isEmpty {
                groups[groups.count - 1].append(opened)
            } else {
                groups.append([opened])
            }
        }
        let names = groups.joined().compactMap { $0.names }.flatMap { $0 }
        outer = Linked(groups[0])
        others = groups.dropFirst().map { Linked($0) }
        gathering = shape.gathering
        self.isShuffled = isShuffled
        self.stop = stop
        var rules = PlaceRules()
        switch shape.columns {
        case .json:
            rules.names = .paths(paths)
        case .none:
            rules.positions = sources.count
        case .csv, .separated:
            rules.positions = shape.hasHeader ? max(2, names.count) : Self.openPositions
        }
        if shape.hasHeader { rules.names = .listed(names) }
        if gathering != .none { rules.positions = Self.openPositions }
        rules.isSpread = rules.positions > 1
        self.rules = rules
    }

    /// How many inputs are left, when it is known beforehand.
    var total: Int? {
        guard case .none = gathering, var total = outer.count else { return nil }
        total += rows.count
        if let inner { return product(total, inner.count) }
        for group in others {
            guard let count = group.count, let next = product(total, count) else { return nil }
            total = next
        }
        return total
    }

    private func product(_ left: Int, _ right: Int) -> Int? {
        let (value, isOver) = left.multipliedReportingOverflow(by: right)
        return isOver ? nil : value
    }

    /// Waits for some inputs. Nil at the end, and when reading was stopped.
    mutating func next() throws -> [Input]? {
        guard isShuffled else { return try unshuffled() }
        var inputs: [Input] = []
        while inputs.count < Self.shuffleSize, let some = try unshuffled() { inputs += some }
        return inputs.isEmpty ? nil : inputs.shuffled()
    }

    private mutating func unshuffled() throws -> [Input]? {
        if case .none = gathering { return try combined() }
        var inputs: [Input] = []
        while !isAtEnd {
            guard let some = try combined() else {
                isAtEnd = true
                // What was cut off by a stop is no input: the next start would gather others.
                if !gathered.isEmpty, !isStopped { inputs.append(takeGathered()) }
                break
            }
            for input in some { gather(input, &inputs) }
            if !inputs.isEmpty { return inputs }
        }
        return inputs.isEmpty ? nil : inputs
    }

    private var isStopped: Bool {
        var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    // MARK: Combinations

    private mutating func combined() throws -> [Input]? {
        if others.isEmpty {
            let some = try outer.next()
            if some == nil { noteUneven(outer) }
            return some
        }
        let inner = try innerRows()
        if inner.isEmpty { return nil }
        if rows.isEmpty {
            guard let some = try outer.next() else {
                noteUneven(outer)
                return nil
            }
            rows = some
        }
        // At least one row, and else about a chunk's worth.
        let count = min(rows.count, max(1, Self.chunkSize / inner.count))
        defer { rows.removeFirst(count) }
        return rows.prefix(count).flatMap { row in inner.map { Self.join(row, $0) } }
    }

    /// Sources but the first are read whole.
    private mutating func innerRows() throws -> [Input] {
        if let inner { return inner }
        var combinations: [Input]?
        for index in others.indices {
            var some: [Input] = []
            while let next = try others[index].next() { some += next }
            noteUneven(others[index])
            combinations =
                combinations.map { left in
                    left.flatMap { row in some.map { Self.join(row, $0) } }
                } ?? some
        }
        inner = combinations ?? []
        return inner ?? []
    }

    private func noteUneven(_ group: Linked) {
        if group.isUneven {
            say("linked inputs are not equally many; what is left over is not run")
        }
    }

    private static func join(_ left: Input, _ right: Input) -> Input {
        var input = Input(left.first, left.others + right.values)
        input.fault = left.fault ?? right.fault
        return input
    }

    // MARK: Several inputs to a command

    private mutating func gather(_ input: Input, _ inputs: inout [Input]) {
        let bytes = input.first.count + 1 + input.others.reduce(0) { $0 + $1.count + 1 }
        if case .fitting = gathering, !gathered.isEmpty, gatheredBytes + bytes > InputMark.limit {
            inputs.append(takeGathered())
        }
        gathered += input.values
        gatheredBytes += bytes
        gatheredCount += 1
        fault = fault ?? input.fault
        let limit =
            switch gathering {
            case .none: 1
            case .count(let count), .fitting(let count): count
            }
        if gatheredCount >= limit { inputs.append(takeGathered()) }
    }
    private var gatheredCount = 0

    private mutating func takeGathered() -> Input {
        var input = Input(values: gathered)
        input.fault = fault
        (gathered, gatheredBytes, gatheredCount, fault) = ([], 0, 0, nil)
        return input
    }
}
