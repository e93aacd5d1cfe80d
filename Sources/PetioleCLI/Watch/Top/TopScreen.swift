import Petiole

/// Draws `petiole top`.
struct TopScreen {
    let model: TopModel
    let state: TopState
    let rows: Int
    let columns: Int
    private var screen: Screen

    init(_ model: TopModel, _ state: TopState, rows: Int, columns: Int) {
        self.model = model
        self.state = state
        self.rows = rows
        self.columns = columns
        screen = Screen(rows: rows, columns: columns)
    }

    static func drawn(
        _ model: TopModel, _ state: TopState, _ pane: OutputPane? = nil,
        rows: Int, columns: Int
    ) -> Screen {
        var drawing = TopScreen(model, state, rows: rows, columns: columns)
        drawing.draw(pane)
        return drawing.screen
    }

    /// A line of each of the three lists, with its heading and the blank before it; head and foot.
    private static let least = (rows: 12, columns: 40)

    /// Rows of a job's output that are shown at once.
    static func page(rows: Int) -> Int { max(1, rows - 4) }

    private mutating func draw(_ pane: OutputPane?) {
        if columns < Self.least.columns || rows < Self.least.rows {
            let need = "\(Self.least.columns) columns and \(Self.least.rows) rows are needed"
            return screen.put(CellWidth.cut(need, to: columns), row: 0, column: 0)
        }
        switch state.mode {
        case .output:
            if let pane { drawOutput(pane) }
        case .help:
            drawTitle()
            drawHelp()
        case .list, .asking:
            drawTitle()
            drawLists()
        }
        drawFoot()
    }

    // MARK: Head and foot

    private mutating func drawTitle() {
        let rate = model.queues.compactMap(\.rate).reduce(0, +)
        let busy = "\(grouped(model.running.count)) running"
        let right = busy + (rate > 0 ? ", \(BriefTime.rate(rate))" : "")
        drawBand(left: "petiole  \(model.store)", right: right)
        func sum(_ count: KeyPath<TopModel.Queue, Int>) -> String {
            grouped(model.queues.reduce(0) { $0 + $1[keyPath: count] })
        }
        var parts = [
            "\(sum(\.ready)) ready", "\(sum(\.waiting)) waiting", "\(sum(\.succeeded)) succeeded",
            "\(sum(\.failed)) failed",
        ]
        let unserved = model.queues.count { $0.pid == nil && $0.ready > 0 }
        if unserved > 0 {
            parts.append("\(counted(unserved, "queue")) without a runner")
        }
        screen.put(
            CellWidth.cut(parts.joined(separator: ", "), to: columns - 2), row: 1, column: 1,
            .faint)
    }

    private mutating func drawBand(left: String, right: String) {
        screen.paint(row: 0, .chosen)
        let room = columns - right.count - 4
        screen.put(CellWidth.cut(left, to: room), row: 0, column: 1, .chosen)
        screen.put(right, row: 0, column: columns - right.count - 1, .chosen)
    }

    private mutating func drawFoot() {
        let row = rows - 1
        if case .asking(let question, _) = state.mode {
            screen.paint(row: row, .chosen)
            return screen.put(
                CellWidth.cut(question, to: columns - 2), row: row, column: 1, .chosen)
        }
        if let message = state.message {
            return screen.put(
                CellWidth.cut(message, to: columns - 2), row: row, column: 1, .strong)
        }
        let keys =
            switch state.mode {
            case .output:
                [
                    ("↑↓", "scroll"), ("PgUp PgDn", "page"), ("G", "to the end"), ("q", "back"),
                ]
            case .help: [("any key", "back")]
            case .list, .asking:
                [
                    ("↑↓", "choose"), ("o", "output"), ("c", "cancel"), ("r", "retry"),
                    ("p", "pause"), ("+ -", "limit"), ("?", "help"), ("q", "quit"),
                ]
            }
        var column = 1
        for (key, meaning) in keys {
            let width = key.count + 1 + meaning.count
            if column + width > columns { return }
            screen.put(key, row: row, column: column, .strong)
            screen.put(meaning, row: row, column: column + key.count + 1, .faint)
            column += width + 2
        }
    }

    // MARK: Lists

    private enum Side { case left, right }
    private struct Column {
        var title: String
        var width: Int
        var side = Side.right
    }

    /// Rows for each of the three lists: a third each, and what one does not need goes to the others.
    private func shares() -> [Int] {
        let needs = [model.queues.count, model.running.count, model.failures.count].map {
            max(1, $0)
        }
        // The head, a blank and a heading for each list, the foot.
        var rest = max(3, rows - 2 - 6 - 1)
        var shares = [0, 0, 0]
        while rest > 0, zip(shares, needs).contains(where: { $0 < $1 }) {
            for list in shares.indices where rest > 0 && shares[list] < needs[list] {
                shares[list] += 1
                rest -= 1
            }
        }
        return shares
    }

    private mutating func drawLists() {
        let shares = shares()
        var row = 3
        drawQueues(at: row, shares[0])
        row += shares[0] + 2
        drawRunning(at: row, shares[1])
        row += shares[1] + 2
        drawFailures(at: row, shares[2])
    }

    /// The part of a list that is shown: so that what is chosen is in it.
    private func window(_ count: Int, _ share: Int, chosen: Int?) -> Range<Int> {
        let first = chosen.map { max(0, min($0 - share / 2, count - share)) } ?? 0
        return first..<min(count, first + share)
    }

    private mutating func heading(_ columns: [Column], row: Int, hidden: Int) {
        var place = 1
        for column in columns {
            let text = CellWidth.cut(column.title, to: column.width)
            let shift = column.side == .right ? column.width - CellWidth.of(text) : 0
            screen.put(text, row: row, column: place + shift, .strong)
            place += column.width + 1
        }
        guard hidden > 0 else { return }
        let more = "\(grouped(hidden)) more"
        screen.put(more, row: row, column: self.columns - more.count - 1, .faint)
    }

    private mutating func line(
        _ cells: [(String, Screen.Style)], _ columns: [Column], row: Int, isChosen: Bool
    ) {
        if isChosen { screen.paint(row: row, .chosen) }
        var place = 1
        for (cell, column) in zip(cells, columns) {
            let text = CellWidth.cut(cell.0, to: column.width)
            let shift = column.side == .right ? column.width - CellWidth.of(text) : 0
            screen.put(text, row: row, column: place + shift, isChosen ? .chosen : cell.1)
            place += column.width + 1
        }
    }

    /// Wide enough for a run's name where there is room.
    private var queueWidth: Int { min(24, max(10, columns / 6)) }

    private mutating func drawQueues(at row: Int, _ share: Int) {
        var columns = [
            Column(title: "PROCESS", width: 7), Column(title: "RUNNING", width: 7),
            Column(title: "LIMIT", width: 5), Column(title: "READY", width: 8),
            Column(title: "WAITING", width: 7), Column(title: "DONE", width: 8),
            Column(title: "FAILED", width: 6), Column(title: "RATE", width: 7),
        ]
        // Without room for its name a queue's numbers say little.
        while columns.count > 3, self.columns - 2 - Self.width(columns) < 13 {
            columns.remove(at: columns.count > 6 ? 2 : columns.count - 2)
        }
        let name = min(40, self.columns - 2 - Self.width(columns) - 1)
        columns.insert(Column(title: "QUEUE", width: name, side: .left), at: 0)
        let chosen = model.queues.firstIndex { .queue($0.name) == state.choice }
        let window = window(model.queues.count, share, chosen: chosen)
        heading(columns, row: row, hidden: 0)
        if model.queues.isEmpty {
            return screen.put("no queue was ever used", row: row + 1, column: 1, .faint)
        }
        for (offset, index) in window.enumerated() {
            let queue = model.queues[index]
            let all: [String: (String, Screen.Style)] = [
                "QUEUE": (visible(queue.name), queue.isPaused ? .warning : .plain),
                "PROCESS": (queue.pid.map(String.init) ?? "-", .plain),
                "RUNNING": (grouped(queue.running), queue.running > 0 ? .good : .plain),
                "LIMIT": (queue.limit.map(grouped) ?? "-", .plain),
                "READY": (grouped(queue.ready), .plain),
                "WAITING": (grouped(queue.waiting), .plain),
                "DONE": (grouped(queue.succeeded), .plain),
                "FAILED": (grouped(queue.failed), queue.failed > 0 ? .bad : .plain),
                "RATE": queue.isPaused
                    ? ("paused", .warning)
                    : (queue.rate.map { $0 > 0 ? BriefTime.rate($0) : "-" } ?? "-", .plain),
            ]
            line(
                columns.map { all[$0.title] ?? ("", .plain) }, columns, row: row + 1 + offset,
                isChosen: index == chosen)
        }
        let hidden = model.queues.count - window.count
        if hidden > 0 {
            let more = "\(grouped(hidden)) more"
            screen.put(more, row: row - 1, column: self.columns - more.count - 1, .faint)
        }
    }

    private static func width(_ columns: [Column]) -> Int {
        columns.reduce(0) { $0 + $1.width + 1 }
    }

    /// Takes columns away, the first one named first, until so many cells are left for what a job is.
    /// - Returns: how many are left.
    private func makeRoom(in columns: inout [Column], without names: [String]) -> Int {
        func rest() -> Int { self.columns - 2 - Self.width(columns) }
        for name in names where rest() < 20 { columns.removeAll { $0.title == name } }
        return rest()
    }

    private mutating func drawRunning(at row: Int, _ share: Int) {
        var columns = [
            Column(title: "RUNNING", width: 9), Column(title: "TIME", width: 6),
            Column(title: "PROCESS", width: 8),
            Column(title: "QUEUE", width: queueWidth, side: .left),
        ]
        let rest = makeRoom(in: &columns, without: ["PROCESS", "QUEUE"])
        columns.append(Column(title: "COMMAND", width: rest, side: .left))
        let chosen = model.running.firstIndex { .running($0.id) == state.choice }
        let window = window(model.running.count, share, chosen: chosen)
        heading(columns, row: row, hidden: model.running.count - window.count)
        if model.running.isEmpty { screen.put("none", row: row + 1, column: 7, .faint) }
        for (offset, index) in window.enumerated() {
            let job = model.running[index]
            let attempt = job.attempt > 1 ? "(attempt \(job.attempt)) " : ""
            let all: [String: (String, Screen.Style)] = [
                "RUNNING": (job.id.description, .plain),
                "TIME": (BriefTime.text(job.elapsed), .plain),
                "PROCESS": (String(job.pid), .plain),
                "QUEUE": (visible(job.queue), .plain),
                "COMMAND": (attempt + job.title, .plain),
            ]
            line(
                columns.map { all[$0.title] ?? ("", .plain) }, columns, row: row + 1 + offset,
                isChosen: index == chosen)
        }
    }

    private mutating func drawFailures(at row: Int, _ share: Int) {
        var columns = [
            Column(title: "FAILED", width: 9), Column(title: "AGO", width: 6),
            Column(title: "ATTEMPT", width: 8),
            Column(title: "QUEUE", width: queueWidth, side: .left),
        ]
        let rest = makeRoom(in: &columns, without: ["ATTEMPT", "QUEUE"]) - 1
        columns.append(Column(title: "ERROR", width: rest * 11 / 20, side: .left))
        columns.append(Column(title: "COMMAND", width: rest - rest * 11 / 20, side: .left))
        let chosen = model.failures.firstIndex { .failed($0.id) == state.choice }
        let window = window(model.failures.count, share, chosen: chosen)
        heading(columns, row: row, hidden: model.failures.count - window.count)
        if model.failures.isEmpty {
            let hasFailed = model.queues.contains { $0.failed > 0 }
            let searched = grouped(TopModel.failuresSearched)
            let text = hasFailed ? "none among the last \(searched) that ended" : "none"
            screen.put(
                CellWidth.cut(text, to: self.columns - 8), row: row + 1, column: 7, .faint)
        }
        for (offset, index) in window.enumerated() {
            let job = model.failures[index]
            let all: [String: (String, Screen.Style)] = [
                "FAILED": (job.id.description, .plain),
                "AGO": (BriefTime.text(job.age), .plain),
                "ATTEMPT": (String(job.attempt), .plain),
                "QUEUE": (visible(job.queue), .plain),
                "ERROR": (job.error, .bad),
                "COMMAND": (job.title, .plain),
            ]
            line(
                columns.map { all[$0.title] ?? ("", .plain) }, columns, row: row + 1 + offset,
                isChosen: index == chosen)
        }
    }

    // MARK: The other screens

    private mutating func drawOutput(_ pane: OutputPane) {
        let rows = pane.rows(last: Self.page(rows: rows), before: state.scroll)
        let count = pane.rowCount
        let last = max(0, count - state.scroll)
        let place =
            count == 0
            ? "" : "\(grouped(last - rows.count + 1))-\(grouped(last)) of \(grouped(count))"
        drawBand(left: "job \(pane.id)  \(pane.title)", right: place)
        var note = pane.end ?? (count == 0 ? "nothing written yet" : "it goes on")
        if pane.hasLost {
            let condition = pane.end == nil ? " (when it has ended)" : ""
            note = "older lines: petiole log \(pane.id)\(condition); \(note)"
        }
        screen.put(CellWidth.cut(note, to: columns - 2), row: 1, column: 1, .faint)
        for (offset, row) in rows.enumerated() {
            screen.put(
                row.text, row: 2 + offset, column: 0,
                row.stream == .errorOutput ? .warning : .plain)
        }
    }

    private mutating func drawHelp() {
        let lines = [
            ("↑ ↓  k j", "choose a line"), ("Tab", "the next list"),
            ("Home End  g G", "the first and the last line"),
            ("o  Enter", "what the chosen job writes, live"),
            ("c", "cancel the chosen job, which runs; asks first"),
            ("r", "run the chosen job, which failed, once more"),
            ("p", "pause the chosen line's queue, or let it go on"),
            ("+ -", "let one more or one less of the queue run at once"),
            ("0", "take that limit away"), ("q  Ctrl-C", "quit; what runs goes on"),
            ("Ctrl-Z", "suspend; fg comes back"),
        ]
        for (offset, line) in lines.enumerated() {
            screen.put(line.0, row: 3 + offset, column: 3, .strong)
            screen.put(CellWidth.cut(line.1, to: columns - 20), row: 3 + offset, column: 19)
        }
        if rows > lines.count + 7 {
            screen.put(
                CellWidth.cut(
                    "FAILED counts dead letters too; RATE is that of ends in the last ten seconds.",
                    to: columns - 4), row: lines.count + 4, column: 3, .faint)
        }
    }
}
