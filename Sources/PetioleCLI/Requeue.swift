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

            EXAMPLES
              petiole requeue 17 18
              petiole requeue --queue nightly --dry-run
              petiole requeue --fingerprint 3f2a9c0d41b7e658
            """)

    @Flag(
        help: """
            Print JSON: for each id v, id, result (requeued, not ended, missing); else v, requeued, or v, found.
            """)
    var json = false

    @OptionGroup var location: StoreLocation
    @OptionGroup var choice: JobChoice

    func run() async throws {
        let store = try location.openExisting()
        guard choice.ids.isEmpty else {
            return try await choice.answer(store, json: json) { id in
                switch try await store.requeue(id) {
                case .requeued: "requeued"
                case .notEnded: "not ended"
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
}
