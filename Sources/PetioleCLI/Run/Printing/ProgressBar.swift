import Petiole

/// How far a run is, as a line of text.
struct ProgressBar {
    var total: Int?
    /// Ended before this start.
    var before = 0
    /// Ended since this start.
    private(set) var ended = 0
    private(set) var failed = 0
    private var running = 0
    private var runTimes = RunTimeHistogram()
    private var estimate = RateEstimate()
    private var elapsed = Duration.zero

    init(total: Int?, before: Int = 0) {
        self.total = total
        self.before = before
    }

    /// Counts a job that has ended.
    /// - Parameter runTime: nil: it never began.
    mutating func add(hasFailed: Bool, runTime: Duration?) {
        ended += 1
        if hasFailed { failed += 1 }
        if let runTime { runTimes.add(runTime) }
    }

    /// - Parameters:
    ///   - elapsed: since the start.
    ///   - running: for how long each job that runs has run.
    mutating func look(after elapsed: Duration, running: [Duration]) {
        self.elapsed = elapsed
        self.running = running.count
        estimate.look(
            at: Self.seconds(elapsed), ended: ended, running: running.map(Self.seconds),
            average: runTimes.average.map(Self.seconds))
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.wholeMicroseconds) / 1_000_000
    }

    // MARK: A line

    private struct Part {
        var text: String
        var style: String?
    }

    /// For a terminal of so many columns, one less wide: a bar, counts, rate, run times and time left; as much of it as fits.
    func line(columns: Int, look: TerminalLook, isLast: Bool = false) -> String {
        let room = max(0, columns - 1)
        // The widest that fits: whole words, then short ones, then without the bar, then without the run times, then without
        // what runs and how fast.
        for (size, barWidth) in [
            (Size.words, 10), (.short, 8), (.short, 0), (.brief, 8), (.brief, 0), (.least, 8),
            (.least, 0),
        ] {
            for gap in ["  ", " "] {
                let parts = parts(size, isLast: isLast)
                let width = parts.reduce(0) { $0 + $1.text.count } + gap.count * (parts.count - 1)
                let barRoom = room - width - gap.count
                guard total.map({ $0 > 0 }) == true, barWidth > 0 else {
                    if barWidth == 0 || total == nil, width <= room {
                        return join(parts, gap, look)
                    }
                    continue
                }
                if barRoom < barWidth { continue }
                return bar(min(barRoom, 40), look) + gap + join(parts, gap, look)
            }
        }
        return String(parts(.least, isLast: isLast)[0].text.prefix(room))
    }

    /// For a log.
    var plain: String {
        var text = "\(grouped(before + ended)) done"
        if let total, total > 0 {
            text = "\(grouped(before + ended)) of \(grouped(total)) done, \(percent(total)) %"
        }
        if running > 0 { text += ", \(grouped(running)) running" }
        if failed > 0 { text += ", \(grouped(failed)) failed" }
        if let rate = estimate.rate { text += ", \(BriefTime.rate(rate))" }
        if let half = runTimes.percentile(50), let most = runTimes.percentile(95) {
            text += ", run time p50 \(BriefTime.text(half)), p95 \(BriefTime.text(most))"
        }
        if let left = timeLeft { text += ", \(TimeText.seconds(left)) left" }
        return text
    }

    private func join(_ parts: [Part], _ gap: String, _ look: TerminalLook) -> String {
        parts.map { part in part.style.map { look.styled(part.text, $0) } ?? part.text }
            .joined(separator: gap)
    }

    private func bar(_ width: Int, _ look: TerminalLook) -> String {
        let done = min(width, (before + ended) * width / max(1, total ?? 1))
        let full = String(repeating: look.full, count: done)
        let rest = String(repeating: look.light, count: width - done)
        return look.styled(full, "32") + look.styled(rest, "2")
    }

    /// How much of it is told.
    private enum Size { case words, short, brief, least }

    private func parts(_ size: Size, isLast: Bool) -> [Part] {
        let isShort = size != .words
        var parts: [Part] = []
        if let total, total > 0 {
            parts.append(Part(text: "\(percent(total))%"))
            parts.append(Part(text: "\(grouped(before + ended))/\(grouped(total))"))
        } else {
            parts.append(Part(text: "\(grouped(before + ended)) done"))
        }
        if running > 0, size != .least {
            parts.append(Part(text: "\(running) \(isShort ? "run" : "running")"))
        }
        if failed > 0 {
            parts.append(
                Part(text: "\(grouped(failed)) \(isShort ? "fail" : "failed")", style: "31"))
        }
        if let rate = estimate.rate, size != .least {
            parts.append(Part(text: BriefTime.rate(rate)))
        }
        if size == .words || size == .short, let half = runTimes.percentile(50),
            let most = runTimes.percentile(95)
        {
            parts.append(
                Part(
                    text: "p50 \(BriefTime.text(half)) p95 \(BriefTime.text(most))", style: "2"))
        }
        if isLast {
            parts.append(Part(text: "in \(BriefTime.text(elapsed))"))
        } else if let left = timeLeft {
            parts.append(Part(text: "\(BriefTime.text(.seconds(left))) left"))
        }
        return parts
    }

    private func percent(_ total: Int) -> Int { min(100, (before + ended) * 100 / total) }

    /// In whole seconds; nil when it cannot be told.
    private var timeLeft: Int? {
        guard let total, let left = estimate.timeLeft(of: total - before) else { return nil }
        let isOver = before + ended >= total
        return isOver ? 0 : max(1, Int(min(left, 1e9).rounded(.up)))
    }
}
