/// Rows in columns that line up, for people.
struct TextTable {
    enum Side { case left, right }
    private var rows: [[String]]
    private let sides: [Side]

    init(_ columns: [(title: String, side: Side)]) {
        rows = [columns.map(\.title)]
        sides = columns.map(\.side)
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// The rows; in a terminal none is wider than it.
    var lines: [String] {
        lines(fitting: Standard.output.isTerminal ? Standard.output.columns : nil)
    }

    /// A column of text is not made narrower than this.
    private static let least = 12

    /// - Parameter limit: where rows are wider, the widest columns of text give way, and what is cut ends in `…`; nil: none are.
    func lines(fitting limit: Int?) -> [String] {
        var widths = sides.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        if let limit {
            var excess = widths.reduce(0, +) + 2 * (widths.count - 1) - limit
            while excess > 0,
                let widest = sides.indices.filter({ sides[$0] == .left })
                    .max(by: { widths[$0] < widths[$1] }), widths[widest] > Self.least
            {
                widths[widest] -= 1
                excess -= 1
            }
        }
        return rows.map { row in
            var line = ""
            for (column, whole) in row.enumerated() {
                let isCut = whole.count > widths[column]
                let cell = isCut ? whole.prefix(widths[column] - 1) + "…" : whole
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += "  " }
                line += sides[column] == .left ? cell + padding : padding + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
