import Petiole

/// A workflow as JSON.
enum WorkflowJSON {
    static func line(_ tree: WorkflowTree, hasMore: Bool) -> String {
        var line = part(tree)
        line.add("cause", tree.cause.map { Int(clamping: $0.id.rawValue) })
        var error: String?
        if let cause = tree.cause, case .ended(let end) = cause.state {
            error = end.failure.map { "\($0.type): \($0.message)" }
        }
        line.add("error", error)
        line.add("more", hasMore)
        return line.line
    }

    private static func part(_ tree: WorkflowTree) -> JSONLine {
        let summary = tree.summary
        var line = JSONLine()
        line.add("id", Int(clamping: summary.id.rawValue))
        line.add("name", summary.name)
        line.add("state", JobText.word(summary.state))
        line.add("accepted", TimeText.iso(summary.acceptedAt))
        line.add("jobs", summary.jobs)
        line.add("ended", summary.ended)
        line.add("failed", summary.failed)
        line.add("done", summary.progress.done)
        line.add("weight", summary.progress.total)
        line.add("resuming", summary.isResuming)
        line.add(
            "steps",
            objects: summary.steps.enumerated().map { place, step in
                self.step(step, inner: tree.inner[place] ?? [])
            })
        return line
    }

    private static func step(_ step: WorkflowStep, inner: [WorkflowTree]) -> JSONLine {
        var line = JSONLine()
        line.add("name", step.name)
        line.add("state", step.state.rawValue)
        line.add("condition", step.condition.rawValue)
        line.add("jobs", step.jobs)
        line.add("ended", step.ended)
        line.add("failed", step.failed)
        line.add("weight", step.weight)
        let ids = step.ids.map { "[\($0.lowerBound),\($0.upperBound)]" }
        line.addRaw("ids", "[" + ids.joined(separator: ",") + "]")
        line.addRaw("after", "[" + step.after.map(String.init).joined(separator: ",") + "]")
        if step.jobs == 1, let job = step.job {
            var part = JSONLine()
            part.add("state", JobText.word(job))
            JobText.add(job, to: &part)
            line.add("job", part)
        }
        if !inner.isEmpty { line.add("inner", objects: inner.map { part($0) }) }
        return line
    }
}
