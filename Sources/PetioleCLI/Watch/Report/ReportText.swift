import Petiole

/// A report for people: for so many columns, with blocks or plain characters.
struct ReportText {
    let data: ReportData
    /// What it is about.
    let subject: String
    /// What the jobs are, by their ids.
    let titles: [JobID: String]
    let columns: Int
    let look: TerminalLook
    private var lines: [String] = []

    init(
        _ data: ReportData, subject: String, titles: [JobID: String], columns: Int,
        look: TerminalLook
    ) {
        self.data = data
        self.subject = subject
        self.titles = titles
        // Narrower than that nothing lines up; wider than this nobody reads a line.
        self.columns = min(max(columns, 60), 160)
        self.look = look
    }

    static func lines(
        _ data: ReportData, subject: String, titles: [JobID: String], columns: Int,
        look: TerminalLook
    ) -> [String] {
        var text = ReportText(
            data, subject: subject, titles: titles, columns: columns, look: look)
        text.write()
        return text.lines
    }

    private mutating func write() {
        writeSummary()
        if data.runTimes.count > 0 {
            writeRate()
            writeRunTimes()
            writeSlowest()
        }
        writeFailures()
    }

    // MARK: Parts

    private mutating func writeSummary() {
        lines.append(look.styled(cut(subject, columns), "1"))
        var parts = [("\(grouped(data.count(.succeeded))) succeeded", nil as String?)]
        for kind in [
            Outcome.Kind.failed, .deadLetter, .cancelled, .expired, .discarded, .dropped,
        ] where data.count(kind) > 0 {
            parts.append(
                (
                    "\(grouped(data.count(kind))) \(JobText.word(kind))",
                    kind == .failed || kind == .deadLetter ? "31" : nil
                ))
        }
        if data.running > 0 { parts.append(("\(grouped(data.running)) running", nil)) }
        if data.waiting > 0 { parts.append(("\(grouped(data.waiting)) not begun", nil)) }
        if data.jobs == 0 {
            lines.append("no jobs")
            return
        }
        writeParts(parts, after: "\(counted(data.jobs, "job")):")
        guard let first = data.first, let last = data.last, let span = data.span else { return }
        let seconds = span / .seconds(1)
        var text = "\(TimeText.local(first)) to \(Self.clock(last)), \(BriefTime.text(span))"
        if seconds > 0 {
            let atOnce = Double(data.runTimes.totalMicroseconds) / 1_000_000 / seconds
            text += ", \(BriefTime.rate(Double(data.runTimes.count) / seconds))"
            text += ", \(Self.tenths(atOnce)) at once"
        }
        if data.retries > 0 {
            text += ", \(grouped(data.retries)) \(data.retries == 1 ? "retry" : "retries")"
        }
        lines.append(cut(text, columns))
    }

    /// In as many lines as they need.
    private mutating func writeParts(_ parts: [(text: String, style: String?)], after head: String)
    {
        var (line, width) = (head, head.count)
        for (index, part) in parts.enumerated() {
            let text = part.text + (index == parts.count - 1 ? "" : ",")
            if width + 1 + text.count > columns {
                lines.append(line)
                (line, width) = (" ", 1)
            }
            let end = text.dropFirst(part.text.count)
            line += " " + (part.style.map { look.styled(part.text, $0) } ?? part.text) + end
            width += 1 + text.count
        }
        lines.append(line)
    }

    private mutating func writeRate() {
        let labelWidth = 9
        let width = columns - labelWidth - 2
        // Of few jobs a column each would show nothing but chance: some ten are put into one.
        let parts = min(width, max(10, data.runTimes.count / 10))
        let some = data.ends.rates(parts)
        guard let highest = some.max(), highest > 0 else { return }
        let rates = (0..<width).map { some[$0 * parts / width] }
        let used = data.ends.used.count
        let each = Duration.microseconds(data.ends.width * used / parts)
        heading("Rate", "ends each second, in parts of \(BriefTime.text(each))")
        let height = 5
        for row in (0..<height).reversed() {
            let label = row == height - 1 ? BriefTime.rate(highest) : row == 0 ? "0/s" : ""
            var line = pad(label, labelWidth, .right) + " "
            for rate in rates {
                // Whatever happened is seen.
                let eighths = max(
                    rate > 0 ? 1 : 0, Int((rate / highest * Double(height * 8)).rounded()))
                line += block(eighths - row * 8)
            }
            lines.append(trimmed(line))
        }
        let start = Self.clock(WallTime(microseconds: Int64(data.ends.start)))
        let end = Self.clock(
            WallTime(microseconds: Int64(data.ends.start + data.ends.width * used)))
        lines.append(
            String(repeating: " ", count: labelWidth + 1) + start
                + String(repeating: " ", count: max(1, width - start.count - end.count)) + end)
    }

    private mutating func writeRunTimes() {
        func text(_ percent: Double) -> String {
            data.runTimes.percentile(percent).map { BriefTime.text($0) } ?? "-"
        }
        heading("Run time", "of the last attempt of each job")
        var parts = [
            "p50 \(text(50))", "p90 \(text(90))", "p95 \(text(95))", "p99 \(text(99))",
            "longest \(BriefTime.text(data.runTimes.longest))",
        ]
        if let average = data.runTimes.average {
            parts.append("average \(BriefTime.text(average))")
        }
        lines.append(cut("  " + parts.joined(separator: columns < 80 ? "  " : "   "), columns))
        let rows = RunTimeRows.of(data.runTimes)
        let most = rows.map(\.count).max() ?? 0
        let countWidth = max(5, grouped(most).count)
        let barWidth = columns - 20 - countWidth - 8
        for row in rows {
            let from = BriefTime.text(.microseconds(row.from))
            let to = BriefTime.text(.microseconds(row.to))
            let percent = Self.tenths(Double(row.count) * 100 / Double(data.runTimes.count))
            lines.append(
                trimmed(
                    pad(from, 8, .right) + (look.usesUnicode ? " – " : " - ") + pad(to, 7, .left)
                        + "  " + pad(bar(row.count, of: most, barWidth), barWidth, .left) + " "
                        + pad(grouped(row.count), countWidth, .right) + pad(percent, 6, .right)
                        + "%"))
        }
    }

    private mutating func writeSlowest() {
        if data.slowest.isEmpty { return }
        heading("Slowest", "petiole show ID tells all of one")
        let idWidth = max(6, data.slowest.map { $0.id.description.count }.max() ?? 0)
        for slow in data.slowest {
            let state = pad(JobText.word(slow.kind), 9, .left)
            let line =
                "  " + pad(slow.id.description, idWidth, .right) + "  "
                + pad(BriefTime.text(slow.runTime), 6, .right) + "  " + state + "  "
                + plain(titles[slow.id] ?? "deleted meanwhile")
            lines.append(cut(trimmed(line), columns))
        }
    }

    private mutating func writeFailures() {
        let failures = data.failures
        if failures.isEmpty { return }
        heading("Failures", "of one kind when they differ in numbers alone")
        let limit = 10
        let countWidth = max(6, grouped(failures[0].count).count)
        let idWidth = max(4, failures.prefix(limit).map { $0.example.description.count }.max() ?? 0)
        for failure in failures.prefix(limit) {
            lines.append(
                cut(
                    "  " + look.styled(pad(grouped(failure.count), countWidth, .right), "31")
                        + "  \(failure.fingerprint)  "
                        + "job " + pad(failure.example.description, idWidth, .left) + "  "
                        + plain(visible(failure.text)),
                    // What a style adds is not seen.
                    columns + (look.usesColour ? 9 : 0)))
        }
        let others = failures.dropFirst(limit).reduce(data.otherFailures) { $0 + $1.count }
        if others > 0 {
            lines.append("  " + pad(grouped(others), countWidth, .right) + "  of other kinds")
        }
        lines.append(
            look.styled(
                cut(
                    "  petiole log \(failures[0].example) prints one; petiole requeue --fingerprint F runs a kind again",
                    columns), "2"))
    }

    // MARK: Characters

    private mutating func heading(_ text: String, _ note: String) {
        lines.append("")
        lines.append(
            look.styled(text, "1") + "  "
                + look.styled(cut(note, columns - text.count - 2), "2"))
    }

    private enum Side { case left, right }

    private func pad(_ text: String, _ width: Int, _ side: Side) -> String {
        let blanks = String(repeating: " ", count: max(0, width - CellWidth.of(text)))
        return side == .left ? text + blanks : blanks + text
    }

    private func trimmed(_ text: String) -> String {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }

    private func cut(_ text: String, _ width: Int) -> String {
        let cut = CellWidth.cut(text, to: width)
        return look.usesUnicode || !cut.hasSuffix("…") ? cut : cut.dropLast() + "~"
    }

    /// A text of jobs, in the letters that can be shown.
    private func plain(_ text: String) -> String {
        look.usesUnicode ? text : String(text.map { $0.isASCII ? $0 : "?" })
    }

    /// A cell that is filled from below by so many eighths.
    private func block(_ eighths: Int) -> String {
        guard look.usesUnicode else { return eighths >= 4 ? "#" : eighths > 0 ? "." : " " }
        return Self.below[min(max(0, eighths), 8)]
    }

    private static let below = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    private static let fromLeft = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

    private func bar(_ count: Int, of most: Int, _ width: Int) -> String {
        guard most > 0, count > 0 else { return "" }
        let eighths = max(1, Int((Double(count) / Double(most) * Double(width * 8)).rounded()))
        guard look.usesUnicode else {
            return String(repeating: "#", count: max(1, (eighths + 4) / 8))
        }
        return String(repeating: "█", count: eighths / 8) + Self.fromLeft[eighths % 8]
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int((min(value, 1e12) * 10).rounded())
        return "\(grouped(tenths / 10)).\(tenths % 10)"
    }

    /// The time of day alone.
    private static func clock(_ time: WallTime) -> String {
        String(TimeText.local(time).split(separator: " ")[1])
    }
}
