import ArgumentParser
import Petiole

/// `petiole clean`: takes what has ended out of the listings.
struct Clean: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete jobs that have ended.",
        discussion: """
            With their outcomes and what their commands wrote, however they ended: with --succeeded only those that did. Jobs \
            that have not ended are left alone. What has ended goes by itself after the store's retention (7 days unless \
            set), but for dead letters. `petiole purge` has more ways of saying which, and `petiole prune`, which goes by age \
            alone, is the cheapest.

            EXAMPLES
              petiole clean
              petiole clean --succeeded nightly
            """)

    @Flag(help: "Only those that have succeeded.")
    var succeeded = false

    @Flag(help: "Only say how many there are.")
    var dryRun = false

    @Flag(help: "Print a JSON object: v, dry_run, deleted.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        help: ArgumentHelp("A queue; without one, all of them.", valueName: "queue"),
        completion: KnownQueue.completion)
    var queue: String?

    func run() async throws {
        let store = try location.openExisting()
        if let queue { try KnownQueue.check(queue, store) }
        var filter = JobFilter()
        filter.queue = queue
        filter.states =
            succeeded
            ? [.succeeded]
            : [.succeeded, .failed, .cancelled, .deadLetter, .expired, .discarded, .dropped]
        let counts = try await store.purge(filter, dryRun: dryRun)
        if json {
            var line = JSONLine()
            line.add("dry_run", dryRun)
            line.add("deleted", counts.deleted)
            return Standard.output.line(line.line)
        }
        Standard.output.line(
            "\(counted(counts.deleted, "job")) \(dryRun ? "would be deleted" : "deleted")")
    }
}
