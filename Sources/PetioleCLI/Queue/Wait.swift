import ArgumentParser
import Petiole

/// `petiole wait`: until jobs have ended.
struct Wait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Wait until jobs have ended, whoever runs them.",
        discussion: """
            Prints each with its state, in the order given. Exit status: 0 when all have succeeded, 1 when one has not.

            EXAMPLES
              petiole wait 17 18 && ./publish
            """)

    @Flag(help: "Print a JSON object for each: v, id, state, attempt, error.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber]

    func run() async throws {
        let store = try location.openExisting()
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
}
