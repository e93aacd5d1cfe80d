import ArgumentParser
import Petiole

/// `petiole workflow show`: one workflow, for people, for programs, or as a picture.
struct WorkflowShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a workflow: how far it is, and each of its steps.",
        discussion: """
            Takes the id of the job that stands for the workflow, or of any job of it; of a job that gave way to a \
            workflow, that one is shown. The head says how many jobs have ended and how much of the weight. A line for \
            each step follows, in an order in which they could run: the ids of its jobs, name, state, attempt and run \
            time; of a group how many are done and failed, and its time so far (of up to 1,000 jobs). What a step comes \
            after is said when that is not the step above alone. A workflow that a job gave way to is drawn under it. If \
            it has not succeeded, the cause and the next step stand at the end.

            States: of one job those of `petiole jobs`; of a group awaiting, started, succeeded, failed, cancelled.

            With --json an object: v, id, name, state, accepted, jobs, ended, failed, done and weight (of what has \
            ended, and of all), resuming, cause and error (of the job that ended it, else null), more (steps were left \
            out), and steps, each with name, state (waiting, started, succeeded, failed, cancelled), condition (always, \
            onSuccess, onFailure, onEnd), jobs, ended, failed, weight, ids (first and last of each range), after (places \
            in steps, from 0), of one job also job (state, attempt, started, microseconds, error and others as \
            `petiole jobs --json` has them), and inner (workflows that its jobs gave way to, as this object without v, \
            cause, error and more).

            EXAMPLES
              petiole workflow show 17
              petiole workflow show 17 --dot | dot -Tsvg > 17.svg
              petiole workflow show 17 --mermaid >> notes.md
            """)

    @Flag(help: "Print a JSON object.")
    var json = false

    @Flag(help: "Print a graph for Graphviz.")
    var dot = false

    @Flag(help: "Print a flowchart for Mermaid.")
    var mermaid = false

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Go on into workflows within it until there are so many steps.", valueName: "n"))
    var limit = 1_000

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("The id of the workflow, or of a job of it.", valueName: "id"))
    var number: JobNumber

    func validate() throws {
        guard limit >= 1 else { throw ValidationError("--limit takes 1 or more") }
        guard [json, dot, mermaid].filter({ $0 }).count <= 1 else {
            throw ValidationError("--json, --dot or --mermaid: one of them")
        }
    }

    func run() throws {
        let store = try location.openExisting()
        var room = WorkflowTree.Room(steps: limit)
        let tree = try WorkflowTree(number.id, store, &room)
        if json {
            Standard.output.line(WorkflowJSON.line(tree, hasMore: room.isUsedUp))
        } else if dot {
            for line in WorkflowPicture(tree).dot { Standard.output.line(line) }
        } else if mermaid {
            for line in WorkflowPicture(tree).mermaid { Standard.output.line(line) }
        } else {
            show(tree, store.now)
        }
        if room.isUsedUp, !json { say("there are more steps within others: raise --limit") }
    }

    private func show(_ tree: WorkflowTree, _ now: WallTime) {
        let output = Standard.output
        output.line(WorkflowDrawing.head(tree.summary))
        let drawing = WorkflowDrawing(tree, now: now, columns: output.columns)
        for line in drawing.lines { output.line(line) }
        output.line("accepted \(TimeText.local(tree.summary.acceptedAt))")
        for line in Self.ending(tree) { output.line(line) }
    }

    /// The cause of a failure, and the next step.
    private static func ending(_ tree: WorkflowTree) -> [String] {
        let summary = tree.summary
        var lines: [String] = []
        if summary.isResuming {
            lines.append(
                "it is being resumed; should that take long: petiole requeue \(summary.id)")
        }
        guard case .ended(let outcome) = summary.state, outcome.kind != .succeeded else {
            return lines
        }
        if let cause = tree.cause {
            let word = JobText.word(cause.state)
            var text = "cause: job \(cause.id), \(visible(cause.name)), \(word)"
            if case .ended(let end) = cause.state, let failure = end.failure {
                text += " at attempt \(end.attempt): \(visible(failure.message))"
            }
            lines.append(text)
        }
        lines.append(
            "next: petiole requeue \(summary.id) carries it on from there;"
                + " what has succeeded stays")
        return lines
    }
}
