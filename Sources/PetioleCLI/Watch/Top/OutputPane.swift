import Petiole

/// The newest lines of what a job writes, as a screen shows them.
struct OutputPane: Sendable {
    let id: JobID
    let title: String
    typealias Row = (stream: CommandStream, text: String)
    /// 5,000 lines are kept; more are told by `petiole log`.
    private static let limit = 5_000
    private(set) var lines: [Row] = []
    private var open: [CommandStream: String] = [:]
    private var shown: [CommandStream: ShownBytes] = [:]
    private(set) var hasLost = false
    /// What it came to.
    var end: String?

    init(id: JobID, title: String) {
        self.id = id
        self.title = title
    }

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
        let text = shown[stream, default: ShownBytes()].take(bytes)
        var pieces = ((open[stream] ?? "") + text).split(
            separator: "\n", omittingEmptySubsequences: false)
        // The last is not at its end yet. One that never ends is shown in parts.
        let last = pieces.removeLast()
        for piece in pieces { append(stream, piece) }
        if last.utf8.count > 4_096 {
            append(stream, last)
            open[stream] = nil
        } else {
            open[stream] = last.isEmpty ? nil : String(last)
        }
    }

    private mutating func append(_ stream: CommandStream, _ text: Substring) {
        lines.append((stream, Self.withoutTabs(text)))
        if lines.count > Self.limit + 500 {
            lines.removeFirst(lines.count - Self.limit)
            hasLost = true
        }
    }

    private static func withoutTabs(_ text: Substring) -> String {
        guard text.contains("\t") else { return String(text) }
        var plain = ""
        for letter in text {
            if letter == "\t" {
                plain += String(repeating: " ", count: 8 - CellWidth.of(plain) % 8)
            } else {
                plain.append(letter)
            }
        }
        return plain
    }

    /// All lines, those that are not at their ends too, in rows of so many cells.
    func rows(columns: Int) -> [Row] {
        var rows: [Row] = []
        let unfinished = CommandStream.both.compactMap { stream in
            open[stream].map { (stream: stream, text: Self.withoutTabs($0[...])) }
        }
        for line in lines + unfinished {
            var rest = Substring(line.text)
            repeat {
                var used = 0
                let row = rest.prefix { letter in
                    used += CellWidth.of(letter)
                    return used <= columns
                }
                rows.append((line.stream, String(row)))
                // A letter wider than the terminal is left out.
                rest = rest.dropFirst(max(1, row.count))
            } while !rest.isEmpty
        }
        return rows
    }
}
