/// Rows in columns that line up, for people.
struct TextTable {
    enum Side { case left, right }
    private var rows: [[String]]
    private let sides: [Side]
    /// The widths of the rows that were taken.
    private var taken: [Int]

    init(_ columns: [(title: String, side: Side)]) {
        rows = [columns.map(\.title)]
        sides = columns.map(\.side)
        taken = columns.map { _ in 0 }
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// Adds a row of a table of any length, and prints what there is when that is as much as is to be held. Later rows are as wide
    /// or wider.
    mutating func addPrinting(_ row: [String]) {
        add(row)
        if rows.count >= 1_000 { printRows() }
    }

    /// Prints the rows that were not printed yet.
    mutating func printRows() {
        for line in takeLines() { Standard.output.line(line) }
    }

    mutating func takeLines() -> [String] {
        let lines = lines
        taken = widths
        rows = []
        return lines
    }

    private var widths: [Int] {
        sides.indices.map { column in
            rows.reduce(taken[column]) { max($0, CellWidth.of($1[column])) }
        }
    }

    /// The rows; in a terminal none is wider than it.
    var lines: [String] {
        lines(fitting: Standard.output.isTerminal ? Standard.output.columns : nil)
    }

    /// A column of text is not made narrower than this.
    private static let least = 12

    /// - Parameter limit: where rows are wider, the widest columns of text give way, and what is cut ends in `…`; nil: none are.
    func lines(fitting limit: Int?) -> [String] {
        var widths = widths
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
                let cell = CellWidth.cut(whole, to: widths[column])
                // What is cut before a wide letter takes a cell less.
                let padding = String(
                    repeating: " ", count: max(0, widths[column] - CellWidth.of(cell)))
                if column > 0 { line += "  " }
                line += sides[column] == .left ? cell + padding : padding + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
