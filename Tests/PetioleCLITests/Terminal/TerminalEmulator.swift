/// A small terminal: the part of a VT100's language that the tool speaks, and a note of whatever else it is told.
struct TerminalEmulator {
    private(set) var rows: Int
    private(set) var columns: Int
    private var main: [[String]]
    private var other: [[String]]
    private(set) var isOnOtherScreen = false
    private(set) var showsCursor = true
    private var row = 0
    private var column = 0
    /// The last cell of a row was written, and the next letter begins a new row.
    private var wraps = false
    /// Every number that was ever given to SGR.
    private(set) var styles: Set<Int> = []
    /// How often text ran over the end of a row.
    private(set) var wrapCount = 0
    /// What is none of the language.
    private(set) var unknown: [String] = []
    private var held: [UInt8] = []

    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        main = Self.blank(rows, columns)
        other = main
    }

    private static func blank(_ rows: Int, _ columns: Int) -> [[String]] {
        Array(repeating: Array(repeating: " ", count: columns), count: rows)
    }

    private var cells: [[String]] {
        get { isOnOtherScreen ? other : main }
        set { if isOnOtherScreen { other = newValue } else { main = newValue } }
    }

    /// The text of each row, without the blanks at its end.
    var lines: [String] {
        cells.map { row in
            var line = row.joined()
            while line.last == " " { line.removeLast() }
            return line
        }
    }
    var text: String { lines.joined(separator: "\n") }

    /// A terminal that is made larger or smaller keeps its upper left corner.
    mutating func resize(rows: Int, columns: Int) {
        func resized(_ old: [[String]]) -> [[String]] {
            var new = Self.blank(rows, columns)
            for row in 0..<min(rows, old.count) {
                for column in 0..<min(columns, old[row].count) {
                    new[row][column] = old[row][column]
                }
            }
            return new
        }
        (main, other) = (resized(main), resized(other))
        (self.rows, self.columns) = (rows, columns)
        (row, column) = (min(row, rows - 1), min(column, columns - 1))
    }

    // MARK: What it is sent

    mutating func take(_ bytes: some Sequence<UInt8>) {
        held.append(contentsOf: bytes)
        while let count = takeFirst() { held.removeFirst(count) }
    }

    /// Returns how many bytes were taken; nil: more are needed.
    private mutating func takeFirst() -> Int? {
        guard let byte = held.first else { return nil }
        switch byte {
        case 0x1B: return takeSequence()
        case 0x0D: (column, wraps) = (0, false)
        case 0x0A: lineFeed()
        case 0x08: column = max(0, column - 1)
        case 0x20..<0x7F: put(String(UnicodeScalar(byte)), width: 1)
        case 0xC2...0xF4:
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
            guard held.count >= length else { return nil }
            let letter = String(decoding: held[..<length], as: UTF8.self)
            let value = letter.unicodeScalars.first?.value ?? 0
            put(letter, width: (0x2E80...0xFFDC).contains(value) || value >= 0x1F300 ? 2 : 1)
            return length
        default: unknown.append("byte \(byte)")
        }
        return 1
    }

    private mutating func put(_ letter: String, width: Int) {
        if wraps || column + width > columns {
            wrapCount += 1
            column = 0
            lineFeed()
        }
        wraps = false
        cells[row][column] = letter
        if width == 2 { cells[row][column + 1] = "" }
        column += width
        if column >= columns { (column, wraps) = (columns - 1, true) }
    }

    private mutating func lineFeed() {
        wraps = false
        if row < rows - 1 {
            row += 1
        } else {
            cells.removeFirst()
            cells.append(Array(repeating: " ", count: columns))
        }
    }

    private mutating func takeSequence() -> Int? {
        guard held.count >= 2 else { return nil }
        guard held[1] == UInt8(ascii: "[") else {
            unknown.append("ESC \(held[1])")
            return 2
        }
        guard let end = held.dropFirst(2).firstIndex(where: { (0x40...0x7E).contains($0) }) else {
            return nil
        }
        let parameters = String(decoding: held[2..<end], as: UTF8.self)
        perform(Character(UnicodeScalar(held[end])), parameters)
        return end + 1
    }

    private mutating func perform(_ letter: Character, _ parameters: String) {
        let numbers = parameters.split(separator: ";", omittingEmptySubsequences: false).map {
            Int($0)
        }
        func number(_ index: Int, else value: Int) -> Int {
            index < numbers.count ? numbers[index] ?? value : value
        }
        switch (letter, parameters) {
        case ("H", _):
            row = min(max(number(0, else: 1), 1), rows) - 1
            column = min(max(number(1, else: 1), 1), columns) - 1
            wraps = false
        case ("J", "2"): cells = Self.blank(rows, columns)
        case ("K", ""), ("K", "0"):
            for place in column..<columns { cells[row][place] = " " }
        case ("m", _): styles.formUnion(numbers.map { $0 ?? 0 })
        case ("h", "?1049"):
            if !isOnOtherScreen { other = Self.blank(rows, columns) }
            isOnOtherScreen = true
        case ("l", "?1049"): isOnOtherScreen = false
        case ("h", "?25"): showsCursor = true
        case ("l", "?25"): showsCursor = false
        default: unknown.append("ESC [ \(parameters) \(letter)")
        }
    }
}
