/// What a terminal is to show: rows of cells. Drawn by writing what differs from what stands there.
struct Screen: Equatable, Sendable {
    /// How a cell looks.
    enum Style: Equatable, Sendable {
        case plain, strong, faint, chosen, good, bad, warning

        /// As SGR has it, after a reset. Without colours what is strong or chosen is still told.
        func code(usesColour: Bool) -> String {
            switch self {
            case .plain: "0"
            case .strong: "0;1"
            case .faint: usesColour ? "0;2" : "0"
            case .chosen: "0;7"
            case .good: usesColour ? "0;32" : "0"
            case .bad: usesColour ? "0;31" : "0"
            case .warning: usesColour ? "0;33" : "0"
            }
        }
    }

    private struct Cell: Equatable, Sendable {
        /// Empty: the right half of the letter before.
        var letter: String = " "
        var style = Style.plain
    }

    let rows: Int
    let columns: Int
    private var cells: [Cell]

    init(rows: Int, columns: Int) {
        self.rows = max(1, rows)
        self.columns = max(1, columns)
        cells = Array(repeating: Cell(), count: self.rows * self.columns)
    }

    /// Puts a text of one line, as much of it as fits, which is to hold no control characters.
    mutating func put(_ text: String, row: Int, column: Int, _ style: Style = .plain) {
        guard (0..<rows).contains(row), column >= 0 else { return }
        var place = column
        for letter in text {
            let width = CellWidth.of(letter)
            if width == 0 { continue }
            guard place + width <= columns else { return }
            // Whoever made the text has seen to it; should one be left, it drives no terminal.
            let isControl = letter.unicodeScalars.contains {
                $0.properties.generalCategory == .control
            }
            cells[row * columns + place] = Cell(
                letter: isControl ? "?" : String(letter), style: style)
            if width == 2 {
                cells[row * columns + place + 1] = Cell(letter: "", style: style)
            }
            place += width
        }
    }

    /// Gives a whole row a style.
    mutating func paint(row: Int, _ style: Style) {
        guard (0..<rows).contains(row) else { return }
        for place in row * columns..<(row + 1) * columns { cells[place].style = style }
    }

    /// The text of each row, without the blanks at its end.
    var lines: [String] {
        (0..<rows).map { row in
            var line = cells[row * columns..<(row + 1) * columns].map(\.letter).joined()
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// What is to be written so that a terminal which shows `old` shows this; nil: it shows anything.
    func difference(from old: Screen?, look: TerminalLook) -> String {
        var text = ""
        let known = old.flatMap { $0.rows == rows && $0.columns == columns ? $0 : nil }
        if known == nil { text = "\u{1B}[0m\u{1B}[2J" }
        let before = known?.cells ?? Array(repeating: Cell(), count: cells.count)
        var style = Style.plain
        /// Where the cursor stands behind what was written; -1: elsewhere.
        var cursor = -1
        for place in cells.indices where cells[place] != before[place] {
            let cell = cells[place]
            // Drawn with its left half.
            if cell.letter.isEmpty { continue }
            if cursor != place {
                text += "\u{1B}[\(place / columns + 1);\(place % columns + 1)H"
            }
            if style != cell.style {
                text += "\u{1B}[\(cell.style.code(usesColour: look.usesColour))m"
                style = cell.style
            }
            text += look.usesUnicode ? cell.letter : Self.plain(cell.letter)
            let isWide = place + 1 < cells.count && cells[place + 1].letter.isEmpty
            cursor = place + (isWide ? 2 : 1)
            // At the end of a row terminals differ about where the cursor is.
            if cursor % columns == 0 { cursor = -1 }
        }
        if style != .plain { text += "\u{1B}[0m" }
        return text
    }

    /// For a terminal whose letters are not UTF-8.
    private static func plain(_ letter: String) -> String {
        if letter.utf8.count == 1 { return letter }
        switch letter {
        case "…": return "~"
        case "─": return "-"
        default: return CellWidth.of(letter) == 2 ? "??" : "?"
        }
    }
}
