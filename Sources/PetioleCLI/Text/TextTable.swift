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

    var lines: [String] {
        let widths = sides.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += "  " }
                line += sides[column] == .left ? cell + padding : padding + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
