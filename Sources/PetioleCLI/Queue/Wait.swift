import ArgumentParser
import Petiole

/// `petiole wait`: until jobs have ended.
struct Wait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Wait until jobs, or all of a queue, have ended, whoever runs them.",
        discussion: """
            Prints each with its state, in the order given. Exit status: 0 when all have succeeded, 1 when one has not.

            With --queue it waits until nothing is left to run in the queue, and prints how many ended meanwhile, and how many of \
            them did not succeed; a job that failed and was requeued counts as both. Jobs that are held behind others of any queue \
            are waited for, but not what is held by hand or behind such. Exit status: 0 when all that ended meanwhile have succeeded, 1 when one has not, or when some \
            are left that nobody will run as things are. `petiole drain` takes a timeout.

            EXAMPLES
              petiole wait 17 18 && ./publish
              petiole wait --queue nightly && ./publish
            """)

    @Option(help: ArgumentHelp("All that is to run in this queue.", valueName: "name"))
    var queue: String?

    @Flag(
        help:
            "Print a JSON object for each: v, id, state, attempt, error; or v, queue, ended, failed, left."
    )
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber] = []

    func validate() throws {
        guard ids.isEmpty != (queue == nil) else {
            throw ValidationError("say which jobs: ids, or --queue")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        if let queue { return try await wait(for: queue, store) }
        var haveSucceeded = true
        for id in ids.map(\.id) {
            let outcome: Outcome
            do { outcome = try await store.waitForEnd(of: id) } catch JobError.noSuchJob {
                throw Failure(StoreError.noSuchJob(id))
            } catch JobError.store(let error) {
                throw Failure(error)
            }
            haveSucceeded = haveSucceeded && outcome.kind == .succeeded
            if json {
                var line = JSONLine()
                line.add("id", Int(clamping: id.rawValue))
                line.add("state", JobText.word(outcome.kind))
                line.add("attempt", outcome.attempt)
                line.add("error", outcome.failure.map { "\($0.type): \($0.message)" })
                Standard.output.line(line.line)
            } else {
                Standard.output.line("\(id) \(JobText.word(outcome.kind))")
            }
            // Each as soon as it is known.
            if let failure = Standard.output.flush().flatMap(Failure.output) { throw failure }
        }
        if !haveSucceeded { throw Failure("", status: 1) }
    }

    private func wait(for queue: String, _ store: JobStore) async throws {
        try KnownQueue.check(queue, store)
        let before = try store.counts(queue: queue)
        let result = try await store.waitUntilDrained(queue: queue)
        let after = try store.counts(queue: queue)
        let failed = after.failuresEver - before.failuresEver
        let ended = after.endsEver - before.endsEver
        let left = if case .setAside(let count) = result { count } else { 0 }
        if json {
            var line = JSONLine()
            line.add("queue", queue)
            line.add("ended", ended)
            line.add("failed", failed)
            line.add("left", left)
            Standard.output.line(line.line)
        } else {
            var text = "\(counted(ended, "job")) ended, \(grouped(failed)) of them without success"
            if left > 0 { text += "; \(grouped(left)) are held, parked or paused" }
            Standard.output.line(text)
        }
        if failed > 0 || left > 0 { throw Failure("", status: 1) }
    }
}
