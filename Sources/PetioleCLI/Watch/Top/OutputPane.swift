import Petiole

/// The newest lines of what a job writes, as a screen shows them: bounded, whatever it writes.
struct OutputPane: Sendable {
    typealias Row = (stream: CommandStream, text: String)

    /// A line, or a part of one that is longer than ``longest``.
    private struct Line: Sendable {
        let stream: CommandStream
        let text: String
        /// How many rows it takes at the width of now.
        var rows: Int
    }

    /// 5,000 lines and 2 MiB of text are kept; more are told by `petiole log`.
    private static let limit = (lines: 5_000, bytes: 2 << 20)
    /// Bytes of a line; the rest of a longer one is a line of its own.
    private static let longest = 4_096

    let id: JobID
    let title: String
    /// Whether older ones were taken away.
    private(set) var hasLost = false
    /// What it came to.
    var end: String?
    private var lines: [Line] = []
    /// Of the text of the lines.
    private var byteCount = 0
    /// What is not at the end of its line yet.
    private var open: [CommandStream: String] = [:]
    private var shown: [CommandStream: ShownBytes] = [:]
    private(set) var columns: Int
    /// Rows of `lines`, and of those that were taken away at this width.
    private var wholeRows = 0
    private var lostRows = 0

    init(id: JobID, title: String, columns: Int = 80) {
        self.id = id
        self.title = title
        self.columns = max(1, columns)
    }

    /// The texts of the lines, the oldest first.
    var texts: [String] { lines.map(\.text) }

    // MARK: What comes

    mutating func add(_ piece: OutputFeed.Piece) {
        switch piece {
        case .attempt(let number):
            if number > 1 { append(.output, "-- attempt \(number) --") }
        case .bytes(let stream, let bytes): add(stream, bytes)
        case .ended(let outcome):
            let text = outcome.failure.map { ": \($0.message)" } ?? ""
            end = visible(
                "\(JobText.word(outcome.kind)) after \(BriefTime.text(outcome.runTime))\(text)")
        }
    }

    private mutating func add(_ stream: CommandStream, _ bytes: [UInt8]) {
        let text = (open[stream] ?? "") + shown[stream, default: ShownBytes()].take(bytes)
        var rest = Substring(text)
        // A line end is never a part of another letter's bytes, nor joined with the letter before.
        while let end = rest.utf8.firstIndex(of: UInt8(ascii: "\n")) {
            append(stream, cut(stream, rest[..<end]))
            rest = rest[rest.utf8.index(after: end)...]
        }
        rest = cut(stream, rest)
        open[stream] = rest.isEmpty ? nil : String(rest)
    }

    /// Appends what is longer than a line may be, in parts.
    /// - Returns: the rest, which is not.
    private mutating func cut(_ stream: CommandStream, _ text: Substring) -> Substring {
        var rest = text
        while rest.utf8.count > Self.longest {
            var end = rest.utf8.index(rest.startIndex, offsetBy: Self.longest)
            // Not within a scalar; within what is drawn as one letter it may be: of those there is no longest.
            while rest.utf8[end] & 0xC0 == 0x80 { end = rest.utf8.index(before: end) }
            append(stream, rest[..<end])
            rest = rest[end...]
        }
        return rest
    }

    private mutating func append(_ stream: CommandStream, _ text: Substring) {
        let text = Self.withoutTabs(text)
        let line = Line(stream: stream, text: text, rows: Self.wrapped(text, columns).count)
        lines.append(line)
        byteCount += text.utf8.count
        wholeRows += line.rows
        // A tenth more before some are taken away: each time all are moved.
        if lines.count > Self.limit.lines + Self.limit.lines / 10
            || byteCount > Self.limit.bytes + Self.limit.bytes / 10
        {
            takeAway()
        }
    }

    private mutating func takeAway() {
        var count = 0
        while lines.count - count > Self.limit.lines || byteCount > Self.limit.bytes {
            byteCount -= lines[count].text.utf8.count
            wholeRows -= lines[count].rows
            lostRows += lines[count].rows
            count += 1
        }
        lines.removeFirst(count)
        hasLost = true
    }

    private static func withoutTabs(_ text: Substring) -> String {
        guard text.utf8.contains(UInt8(ascii: "\t")) else { return String(text) }
        var plain = ""
        var column = 0
        for letter in text {
            if letter == "\t" {
                let width = 8 - column % 8
                plain += String(repeating: " ", count: width)
                column += width
            } else {
                plain.append(letter)
                column += CellWidth.of(letter)
            }
        }
        return plain
    }

    // MARK: What is shown

    /// From now on rows have so many cells.
    mutating func wrap(to columns: Int) {
        let columns = max(1, columns)
        if columns == self.columns { return }
        self.columns = columns
        (wholeRows, lostRows) = (0, 0)
        for index in lines.indices {
            lines[index].rows = Self.wrapped(lines[index].text, columns).count
            wholeRows += lines[index].rows
        }
    }

    /// Lines that are not at their ends, in rows.
    private var unfinished: [Row] {
        CommandStream.both.flatMap { stream in
            open[stream].map { text in
                Self.wrapped(Self.withoutTabs(text[...]), columns).map { (stream, String($0)) }
            } ?? []
        }
    }

    /// All rows that are kept.
    var rowCount: Int { wholeRows + unfinished.count }
    /// With those that were taken away: at one width it only grows.
    var rowsEver: Int { lostRows + rowCount }

    /// So many rows, but for those at the end that are left out; fewer when there are not so many.
    /// - Complexity: that of the lines from the first one that is shown.
    func rows(last count: Int, before leftOut: Int = 0) -> [Row] {
        let wanted = count + leftOut
        // From the last to the first.
        var found: [Row] = unfinished.reversed()
        for line in lines.reversed() {
            if found.count >= wanted { break }
            let rows = Self.wrapped(line.text, columns)
            found += rows.reversed().map { (line.stream, String($0)) }
        }
        return found.dropFirst(leftOut).prefix(count).reversed()
    }

    /// A line in parts of so many cells; an empty one has one part.
    private static func wrapped(_ text: String, _ columns: Int) -> [Substring] {
        var parts: [Substring] = []
        var start = text.startIndex
        if text.utf8.allSatisfy({ $0 < 0x80 }) {
            // A letter is a byte and a cell.
            while let end = text.utf8.index(start, offsetBy: columns, limitedBy: text.endIndex),
                end < text.endIndex
            {
                parts.append(text[start..<end])
                start = end
            }
        } else {
            var used = 0
            for index in text.indices {
                let width = CellWidth.of(text[index])
                // A letter wider than the terminal has a row, and is left out of it.
                if used + width > columns, start < index {
                    parts.append(text[start..<index])
                    (start, used) = (index, 0)
                }
                used += width
            }
        }
        parts.append(text[start...])
        return parts
    }
}
