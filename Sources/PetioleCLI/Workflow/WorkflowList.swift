import ArgumentParser
import Petiole

/// `petiole workflow list`: which workflows there are.
struct WorkflowList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List workflows, in the order in which they were accepted.",
        discussion: """
            Those that a job of another gave way to are left out: `petiole workflow show` draws them. One that has not \
            ended is awaiting; one that is dead goes on with `petiole requeue`.

            With --json one object each: v, id, name, state, queue, accepted, jobs, ended, failed, done and weight (of \
            what has ended, and of all), tags.

            EXAMPLES
              petiole workflow list --state awaiting
              petiole workflow list --state failed --state dead --json
            """)

    @Option(
        help: ArgumentHelp(
            "Only workflows in this state; may be given several times.", valueName: "state"))
    var state: [JobFilter.State] = []

    @Option(help: ArgumentHelp("Only workflows with a greater id.", valueName: "id"))
    var after: JobNumber?

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional, help: ArgumentHelp("So many at most; 0: all.", valueName: "n"))
    var limit = 100

    @Flag(help: "Print a JSON object for each workflow.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit takes 0 or more") }
    }

    func run() throws {
        let store = try location.openExisting()
        var table = TextTable([
            ("id", .right), ("state", .left), ("done", .right), ("of", .right),
            ("failed", .right), ("weight", .right), ("accepted", .left), ("workflow", .left),
        ])
        var count = 0
        var last = JobID(rawValue: 0)
        var hasMore = false
        try forEach(store) { workflow in
            let details: JobSummary
            do { details = try store.details(of: workflow.id).summary } catch StoreError.noSuchJob {
                // Purged since it was listed.
                return true
            }
            let word = JobText.word(details.state)
            guard state.isEmpty || state.contains(where: { $0.rawValue == word }) else {
                return true
            }
            if limit > 0, count == limit {
                hasMore = true
                return false
            }
            count += 1
            last = workflow.id
            if json {
                Standard.output.line(Self.json(workflow, details))
            } else {
                table.addPrinting(Self.row(workflow, details))
            }
            return true
        }
        if json { return }
        if count == 0 { return Standard.output.line("no such workflows") }
        table.printRows()
        if hasMore { say("there are more: go on with --after \(last), or raise --limit") }
    }

    /// Those that are no part of another, for as long as `visit` returns true.
    private func forEach(
        _ store: JobStore, _ visit: (WorkflowCounts) throws -> Bool
    ) throws {
        var next = JobID(rawValue: after.map { $0.id.rawValue &+ 1 } ?? 0)
        while true {
            let some = try store.workflows(from: next, limit: 1_000)
            guard let last = some.last else { return }
            for workflow in some where !workflow.isNested {
                guard try visit(workflow) else { return }
            }
            next = JobID(rawValue: last.id.rawValue + 1)
        }
    }

    private static func row(_ workflow: WorkflowCounts, _ details: JobSummary) -> [String] {
        let percent = WorkflowDrawing.percent(workflow.done, of: workflow.weight)
        let name = visible(details.name)
        return [
            workflow.id.description, JobText.word(details.state), grouped(workflow.ended),
            grouped(workflow.jobs), grouped(workflow.failed), "\(percent) %",
            TimeText.local(details.acceptedAt), name.count > 40 ? name.prefix(39) + "…" : name,
        ]
    }

    private static func json(_ workflow: WorkflowCounts, _ details: JobSummary) -> String {
        var line = JSONLine()
        line.add("id", Int(clamping: workflow.id.rawValue))
        line.add("name", details.name)
        line.add("state", JobText.word(details.state))
        line.add("queue", details.queue)
        line.add("accepted", TimeText.iso(details.acceptedAt))
        line.add("jobs", workflow.jobs)
        line.add("ended", workflow.ended)
        line.add("failed", workflow.failed)
        line.add("done", workflow.done)
        line.add("weight", workflow.weight)
        line.add("tags", details.metadata.tags.map { Array($0.utf8) })
        return line.line
    }
}
