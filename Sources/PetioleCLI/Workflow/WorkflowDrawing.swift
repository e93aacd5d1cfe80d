import Petiole

/// A workflow as lines of text: a head, then a line for each step, in an order in which they could run. What a step gave way to
/// is drawn under it. What it comes after is said when that is not the step above alone.
struct WorkflowDrawing {
    private let now: WallTime
    private let columns: Int
    private var rows: [Row] = []

    private struct Row {
        /// The branch and the step.
        let step: String
        /// What stands in its place on further lines.
        let branch: String
        let state: String
        let details: [String]
    }

    /// The longest name that is drawn whole, and how long it is even deep within others.
    private static let nameLimit = 28
    private static let nameMinimum = 8
    /// So many steps are named that one comes after.
    private static let afterLimit = 5

    init(_ tree: WorkflowTree, now: WallTime, columns: Int) {
        self.now = now
        self.columns = columns
        add(tree, indent: "")
    }

    /// The lines of the steps.
    var lines: [String] {
        let widthOfStep = rows.map { $0.step.count }.max() ?? 0
        let widthOfState = rows.map { $0.state.count }.max() ?? 0
        return rows.flatMap { row in
            let start =
                Self.padded(row.step, widthOfStep) + "  "
                + Self.padded(row.state, widthOfState) + "  "
            let further = Self.padded(row.branch, start.count)
            return Self.wrapped(row.details, start: start, further: further, columns)
        }
    }

    /// The head: name, state and progress of the whole.
    static func head(_ summary: WorkflowSummary, nested: Bool = false) -> String {
        let percent = percent(summary.progress.done, of: summary.progress.total)
        let failed = summary.failed > 0 ? ", \(grouped(summary.failed)) of them not well" : ""
        let name = nested ? "" : "\(summary.id) \(visible(summary.name)): "
        return "\(name)\(JobText.word(summary.state)), \(grouped(summary.ended)) of "
            + "\(counted(summary.jobs, "job")) done\(failed), \(percent) % by weight"
    }

    /// Rounded down: 100 is said of all alone.
    static func percent(_ done: Int, of total: Int) -> Int {
        total > 0 ? Int(Double(done) / Double(total) * 100) : 100
    }

    // MARK: Steps

    private mutating func add(_ tree: WorkflowTree, indent: String) {
        let steps = tree.summary.steps
        let names = tree.names().map { visible($0) }
        for (place, step) in steps.enumerated() {
            let isLast = place == steps.count - 1
            let below = indent + (isLast ? "   " : "│  ")
            let inner = tree.inner[place] ?? []
            rows.append(
                Row(
                    step: indent + (isLast ? "└─ " : "├─ ") + Self.ids(step)
                        + Self.short(
                            visible(step.name),
                            max(Self.nameMinimum, Self.nameLimit - indent.count)),
                    branch: below + (inner.isEmpty ? "" : "│"), state: Self.state(step),
                    details: details(step, place, names, tree)))
            for (number, other) in inner.enumerated() {
                if step.jobs > 1 {
                    rows.append(
                        Row(
                            step: below + (number == inner.count - 1 ? "└─ " : "├─ ")
                                + "\(other.summary.id)", branch: below,
                            state: JobText.word(other.summary.state),
                            details: [Self.done(other.summary.ended, of: other.summary.jobs)]))
                    add(other, indent: below + (number == inner.count - 1 ? "   " : "│  "))
                } else {
                    add(other, indent: below)
                }
            }
        }
    }

    private static func ids(_ step: WorkflowStep) -> String {
        guard let first = step.ids.first?.lowerBound, let last = step.ids.last?.upperBound else {
            return ""
        }
        return first == last ? "\(first) " : "\(first)…\(last) "
    }

    /// Of one job its own state; of a group where it is.
    static func state(_ step: WorkflowStep) -> String {
        if step.jobs == 1, let job = step.job { return JobText.word(job) }
        return step.state == .waiting ? "awaiting" : step.state.rawValue
    }

    private func details(
        _ step: WorkflowStep, _ place: Int, _ names: [String], _ tree: WorkflowTree
    ) -> [String] {
        var details: [String] = []
        if step.jobs == 1, let job = step.job {
            details += self.details(job)
            // What is drawn below says how far it is.
            if tree.inner[place] != nil { details.append("gave way") }
        } else {
            details.append(Self.done(step.ended, of: step.jobs))
            if step.failed > 0 { details.append("\(grouped(step.failed)) failed") }
            if let time = tree.times[place], let length = time.length(now) {
                if time.running > 0 { details.append("\(grouped(time.running)) running") }
                details.append(TimeText.duration(length))
            }
        }
        switch step.condition {
        case .always: break
        case .onSuccess: details.append("on success")
        case .onFailure: details.append("on failure")
        case .onEnd: details.append("at the end")
        }
        return details + Self.after(step, place, names)
    }

    private func details(_ state: JobState) -> [String] {
        switch state {
        case .ready, .awaiting: []
        case .waiting(let due, let attempts):
            [
                "attempt \(attempts + 1)",
                due > now ? "due in \(TimeText.duration(due.since(now)))" : "due",
            ]
        case .parked: ["no runner knows it"]
        case .paused: ["its job type is paused"]
        case .held: ["held"]
        case .running(let attempt, let since, _):
            ["attempt \(attempt)", "for \(TimeText.duration(now.since(since)))"]
        case .ended(let outcome):
            outcome.attempt > 0
                ? ["attempt \(outcome.attempt)", TimeText.duration(outcome.runTime)] : []
        }
    }

    /// Nothing when it is the step above.
    private static func after(_ step: WorkflowStep, _ place: Int, _ names: [String]) -> [String] {
        if place == 0 || step.after == [place - 1] { return [] }
        guard let first = step.after.first else { return ["from the start"] }
        let others = step.after.dropFirst().prefix(afterLimit - 1).map { names[$0] }
        let more = step.after.count - 1 - others.count
        return ["after \(names[first])"] + others
            + (more > 0 ? ["and \(grouped(more)) others"] : [])
    }

    private static func done(_ ended: Int, of jobs: Int) -> String {
        "\(grouped(ended)) of \(grouped(jobs)) done"
    }

    // MARK: Lines

    private static func short(_ text: String, _ limit: Int) -> String {
        text.count > limit ? text.prefix(limit - 1) + "…" : text
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// The parts with commas between them, on as many lines as they take.
    private static func wrapped(
        _ parts: [String], start: String, further: String, _ columns: Int
    ) -> [String] {
        var lines: [String] = []
        var line = start
        var isEmpty = true
        for (index, part) in parts.enumerated() {
            let isLast = index == parts.count - 1
            let room = max(nameMinimum, columns - start.count - (isLast ? 0 : 1))
            let text = short(part, room) + (isLast ? "" : ",")
            if !isEmpty, line.count + 1 + text.count > columns {
                lines.append(line)
                line = further
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + text
            isEmpty = false
        }
        lines.append(line)
        return lines.map { line in
            var line = line
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
