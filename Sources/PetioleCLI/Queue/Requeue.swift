import ArgumentParser
import Petiole

/// `petiole requeue`: lets jobs that have ended run once more.
struct Requeue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let jobs that have ended run once more.",
        discussion: """
            By their ids, however they ended; or all that the options let pass: those that failed and dead letters, \
            unless --state says otherwise. What they came to before stays in their history. A fingerprint is that of \
            `show --json`: the same for failures that differ in numbers alone.

            A workflow that has not succeeded goes on from where it stopped, with the id of the job that stands for it or \
            of the step that failed: all of its jobs that did not succeed run once more, what has succeeded does not.

            EXAMPLES
              petiole requeue 17 18
              petiole requeue --queue nightly --dry-run
              petiole requeue --fingerprint 3f2a9c0d41b7e658
            """,
        aliases: ["restart"])

    @Flag(
        help: """
            Print JSON: for each id v, id, result (requeued, not ended, missing, succeeded: a \
            workflow that has nothing to run); else v, requeued, or v, found.
            """)
    var json = false

    @OptionGroup var location: StoreLocation
    @OptionGroup var choice: JobChoice

    func run() async throws {
        let store = try location.openExisting()
        guard choice.ids.isEmpty else {
            return try await choice.answer(store, json: json) { id in
                let stopped = try store.stoppedWorkflow(of: id)
                switch try await store.requeue(id) {
                case .requeued:
                    return JobChoice.Answer(
                        result: "requeued",
                        note: try stopped.flatMap { try Self.note($0, store) })
                case .notEnded:
                    // One that stands for a workflow has nothing to run.
                    if case .ended = try store.state(of: id), try store.standsForWorkflow(id) {
                        return JobChoice.Answer(
                            result: "succeeded", note: "all of its workflow; nothing is left to run"
                        )
                    }
                    return "not ended"
                }
            }
        }
        let filter = choice.passing.filter(store, states: [.failed, .deadLetter])
        var line = JSONLine()
        if choice.dryRun {
            let count = try JobChoice.count(filter, ended: true, store)
            line.add("found", count)
            return Standard.output.line(
                json ? line.line : "\(counted(count, "job")) would run once more")
        }
        let count = try await store.requeue(matching: filter)
        line.add("requeued", count)
        Standard.output.line(
            json ? line.line : "\(counted(count, "job")) \(count == 1 ? "is" : "are") ready again")
    }

    /// How a workflow goes on that had stopped.
    private static func note(_ id: JobID, _ store: JobStore) throws -> String? {
        let summary = try store.workflow(id)
        guard !summary.state.isEnded else { return nil }
        return "workflow \(id) goes on: \(grouped(summary.ended)) of "
            + "\(counted(summary.jobs, "job")) are done"
    }
}
