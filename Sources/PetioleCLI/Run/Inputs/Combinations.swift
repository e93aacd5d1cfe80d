/// All combinations of the rows of several sources, those of the last changing first.
///
/// The rows of the first come as they are read; those of the others are held.
struct Combinations {
    private var first: LinkedSources
    private var others: [LinkedSources]
    /// The rows of the others; nil until they are read.
    private var held: [[Input]]?
    private var rows: [Input] = []
    private var row = 0
    /// Which row of each of the others comes next.
    private var places: [Int]
    /// Whether some linked sources were not equally long.
    private(set) var isUneven = false

    private static let chunkSize = 4_096

    init(_ groups: [LinkedSources]) {
        first = groups[0]
        others = Array(groups.dropFirst())
        places = others.map { _ in 0 }
    }

    /// How many are left; nil when it is not known, or too many to count.
    var count: Int? {
        guard var count = first.count else { return nil }
        count += rows.count - row
        var done = 0
        for (index, group) in others.enumerated() {
            guard let size = held?[index].count ?? group.count else { return nil }
            let (product, isOver) = count.multipliedReportingOverflow(by: size)
            if isOver { return nil }
            count = product
            done = done * size + places[index]
        }
        return count - done
    }

    var mayWait: Bool {
        row == rows.count && (first.mayWait || held == nil && others.contains { $0.mayWait })
    }

    /// Waits for some; nil at the end.
    mutating func next() throws -> [Input]? {
        if others.isEmpty {
            let some = try first.next()
            isUneven = first.isUneven
            return some
        }
        let held = try holdOthers()
        if held.contains(where: { $0.isEmpty }) { return nil }
        var combinations: [Input] = []
        while combinations.count < Self.chunkSize {
            if row == rows.count {
                // What is there already need not wait for the next row.
                if !combinations.isEmpty, first.mayWait { break }
                guard let some = try first.next() else { break }
                (rows, row) = (some, 0)
            }
            combinations.append(
                places.indices.reduce(rows[row]) { $0.joined(with: held[$1][places[$1]]) })
            advance(held)
        }
        isUneven = isUneven || first.isUneven
        return combinations.isEmpty ? nil : combinations
    }

    private mutating func advance(_ held: [[Input]]) {
        for index in places.indices.reversed() {
            places[index] += 1
            if places[index] < held[index].count { return }
            places[index] = 0
        }
        row += 1
    }

    private mutating func holdOthers() throws -> [[Input]] {
        if let held { return held }
        var all: [[Input]] = []
        for index in others.indices {
            var rows: [Input] = []
            while let some = try others[index].next() { rows += some }
            isUneven = isUneven || others[index].isUneven
            all.append(rows)
        }
        held = all
        return all
    }
}

extension Input {
    /// The values of both.
    func joined(with other: Input) -> Input {
        var input = Input(first, others + other.values)
        input.fault = fault ?? other.fault
        return input
    }
}
