import Petiole

/// How far a run is, as a line of text.
struct ProgressBar {
    var total: Int?
    /// Ended before this start.
    var before = 0
    /// Ended since this start.
    var ended = 0
    var failed = 0

    /// For a terminal of so many columns: a bar, counts, rate, and time left.
    func line(columns: Int, elapsed: Duration) -> String {
        let text = counts + details(elapsed)
        let room = min(columns - text.count - 4, 40)
        guard let total, total > 0, room >= 8 else {
            return String(text.prefix(max(0, columns - 1)))
        }
        let filled = min(room, (before + ended) * room / total)
        return "[" + String(repeating: "#", count: filled)
            + String(repeating: ".", count: room - filled) + "] " + text
    }

    /// For a log.
    func plain(elapsed: Duration) -> String { counts + details(elapsed) }

    private var counts: String {
        guard let total, total > 0 else { return "\(grouped(before + ended)) done" }
        let percent = min(100, (before + ended) * 100 / total)
        return "\(grouped(before + ended)) of \(grouped(total)) done, \(percent) %"
    }

    private func details(_ elapsed: Duration) -> String {
        var text = ""
        let seconds = Double(elapsed.wholeMicroseconds) / 1_000_000
        if ended > 0, seconds > 0 {
            let rate = Double(ended) / seconds
            text += ", \(Self.rounded(rate))/s"
            if let total {
                let left = max(0, Double(total - before - ended) / rate)
                text += ", \(TimeText.seconds(Int(left.rounded(.up)))) left"
            }
        }
        if failed > 0 { text += ", \(grouped(failed)) failed" }
        return text
    }

    private static func rounded(_ rate: Double) -> String {
        if rate >= 100 { return grouped(Int(rate.rounded())) }
        let tenths = Int((rate * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
