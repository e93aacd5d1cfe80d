import ArgumentParser
import Petiole

/// `petiole clean`: takes what has ended out of the listings.
struct Clean: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete jobs that have ended.",
        discussion: """
            With their outcomes and what their commands wrote, however they ended: with --succeeded only those that did. Jobs \
            that have not ended are left alone. What has ended goes by itself after the store's retention (7 days unless \
            set), but for dead letters. A run knows by its jobs which inputs are done: those of runs that are not complete stay, \
            unless their queue is named (see petiole run --runs). `petiole purge` has more ways of saying which, and `petiole prune`, which goes by age \
            alone, is the cheapest.

            EXAMPLES
              petiole clean
              petiole clean --succeeded nightly
            """)

    @Flag(help: "Only those that have succeeded.")
    var succeeded = false

    @Flag(help: "Only say how many there are.")
    var dryRun = false

    @Flag(help: "Print a JSON object: v, dry_run, deleted, kept_runs.")
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
        let runs = queue == nil ? try Self.unfinishedRuns(store) : []
        filter.exceptQueues = Set(runs.flatMap { [$0, $0 + ".then"] })
        let counts = try await store.purge(filter, dryRun: dryRun)
        if json {
            var line = JSONLine()
            line.add("dry_run", dryRun)
            line.add("deleted", counts.deleted)
            line.add("kept_runs", runs.count)
            return Standard.output.line(line.line)
        }
        var text = "\(counted(counts.deleted, "job")) \(dryRun ? "would be deleted" : "deleted")"
        if !runs.isEmpty {
            text +=
                "; those of \(counted(runs.count, "run")) that "
                + (runs.count == 1 ? "is" : "are") + " not complete stay: see petiole run --runs"
        }
        Standard.output.line(text)
    }

    /// The queues of runs that go on when their line is started again, or are under way.
    private static func unfinishedRuns(_ store: JobStore) throws -> [String] {
        try store.queues().filter {
            RunIdentity.isRun($0.name) && ($0.counts.unfinished > 0 || $0.ownerPID != nil)
        }.map { $0.name }
    }
}
