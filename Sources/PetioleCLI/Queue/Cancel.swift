import ArgumentParser
import Petiole

/// `petiole cancel`: asks that jobs not run, or stop.
struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Cancel jobs: one that waits will not start, one that runs is asked to stop.",
        discussion: """
            Says of each job what came of it: cancelled (it never starts, which is recorded), stopping (it runs and was \
            asked to stop), ended (it had ended before). With options instead of ids, all that have not ended and that \
            they let pass are cancelled. A command that is asked to stop gets SIGTERM, and SIGKILL after 10 s.

            With the job that stands for a workflow all of it is: what has not started never will, what runs is asked to \
            stop, and when nothing of it runs it ends. A step that is cancelled has failed, from which follows what the workflow's rule says. Either goes on \
            with `petiole requeue`.

            EXAMPLES
              petiole cancel 17 18
              petiole cancel --tag import --dry-run
            """)

    @Flag(
        help: """
            Print JSON: for each id v, id, result (cancelled, stopping, ended, missing); else v, cancelled, stopping, \
            or v, found.
            """)
    var json = false

    @OptionGroup var location: StoreLocation
    @OptionGroup var choice: JobChoice

    func run() async throws {
        let store = try location.openExisting()
        guard choice.ids.isEmpty else {
            return try await choice.answer(store, json: json) { id in
                let isWorkflow = try store.standsForWorkflow(id)
                return switch try await store.cancel(id) {
                case .cancelled:
                    JobChoice.Answer(
                        result: "cancelled", note: isWorkflow ? "with all of its workflow" : nil)
                case .stopping:
                    JobChoice.Answer(
                        result: "stopping",
                        note: isWorkflow ? "it ends when nothing of its workflow runs" : nil)
                case .alreadyEnded: "ended"
                }
            }
        }
        let filter = choice.passing.filter(store)
        var line = JSONLine()
        if choice.dryRun {
            let count = try JobChoice.count(filter, ended: false, store)
            line.add("found", count)
            return Standard.output.line(
                json ? line.line : "\(counted(count, "job")) would be cancelled")
        }
        let counts = try await store.cancel(matching: filter)
        line.add("cancelled", counts.cancelled)
        line.add("stopping", counts.stopping)
        let stopping =
            counts.stopping > 0 ? ", \(grouped(counts.stopping)) that run were asked to stop" : ""
        Standard.output.line(
            json ? line.line : "\(counted(counts.cancelled, "job")) will not start\(stopping)")
    }
}
