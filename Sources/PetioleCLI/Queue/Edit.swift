import ArgumentParser
import Petiole

/// `petiole edit`: gives jobs that have not started another due time or priority.
struct Edit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give jobs that have not started another due time, another priority, or both.",
        discussion: """
            Says of each job what came of it: edited, started (it runs or ran meanwhile, and stays as it is), ended, \
            expires (it would expire before the new due time), awaiting (it starts when others of its workflow have \
            ended), no answer (the process that runs its queue, suspended perhaps, does not say whether it runs). With options \
            instead of ids, all that have not ended and that they let pass are edited. A job that was ready joins the end of its \
            new lane. Exit status 0 whatever came of each, but for 75 when there was no answer; 66 when there is no such job.

            EXAMPLES
              petiole edit 17 --priority 0
              petiole edit 17 --due 2026-11-24T06:00
              petiole edit --tag import --due now --dry-run
            """)

    @Option(
        help: ArgumentHelp(
            "Not before: a while (2h), a time (2026-11-23T22:06, with Z for UTC), or now.",
            valueName: "time"), transform: Moment.future)
    var due: Moment?

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(parsing: .unconditional, help: ArgumentHelp("0 to 9, 0 first.", valueName: "n"))
    var priority: Int?

    @Flag(
        help: """
            Print JSON: for each id v, id, result (edited, started, ended, expires, awaiting, no answer, missing); else v, \
            edited, started, expires, awaiting, no_answer, or v, found.
            """)
    var json = false

    @OptionGroup var location: StoreLocation
    @OptionGroup var choice: JobChoice

    func validate() throws {
        guard due != nil || priority != nil else {
            throw ValidationError("say what is to be changed: --due, --priority or both")
        }
        if let priority, !(0...9).contains(priority) {
            throw ValidationError("--priority takes 0 to 9")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        let time = due?.jobTime
        guard choice.ids.isEmpty else {
            var silent: (id: JobID, pid: Int)?
            try await choice.answer(store, json: json) { id in
                switch try await store.edit(id, due: time, priority: priority) {
                case .edited: "edited"
                case .started: "started"
                case .ended: "ended"
                case .expiresBefore: "expires"
                case .awaiting: "awaiting"
                case .unanswered(let pid):
                    {
                        silent = silent ?? (id, pid)
                        return Unanswered.answer(pid)
                    }()
                }
            }
            if let silent { throw Unanswered.failure(silent.id, silent.pid) }
            return
        }
        let filter = choice.passing.filter(store)
        var line = JSONLine()
        if choice.dryRun {
            let count = try JobChoice.count(filter, ended: false, store)
            line.add("found", count)
            return Standard.output.line(
                json ? line.line : "\(counted(count, "job")) would be edited")
        }
        let counts = try await store.edit(matching: filter, due: time, priority: priority)
        line.add("edited", counts.edited)
        line.add("started", counts.started)
        line.add("expires", counts.expiring)
        line.add("awaiting", counts.awaiting)
        line.add("no_answer", counts.unanswered)
        var text = "\(counted(counts.edited, "job")) edited"
        if counts.started > 0 { text += ", \(grouped(counts.started)) had started" }
        if counts.expiring > 0 { text += ", \(grouped(counts.expiring)) would expire before" }
        if counts.awaiting > 0 { text += ", \(grouped(counts.awaiting)) await others" }
        if counts.unanswered > 0 { text += ", of \(grouped(counts.unanswered)) no answer" }
        Standard.output.line(json ? line.line : text)
        if counts.unanswered > 0 {
            throw Failure(
                """
                a process that runs a queue did not say within 10 s what it runs: \(counted(counts.unanswered, "job")) stay as they are
                is it suspended? see which there are with `petiole status`, let it go on, and try again
                """, status: 75)
        }
    }
}
