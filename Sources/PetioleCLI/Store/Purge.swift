import ArgumentParser
import Petiole

/// `petiole purge`: deletes jobs now.
struct Purge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete jobs before their time, ended or not started.",
        discussion: """
            Says how many there are, and does nothing; with --yes it deletes them. A job that has not started is cancelled \
            first, which tells who waits for it; then it is gone with its outcome, its attempts and what its command \
            wrote: `show` knows no such job. Jobs that run are left alone. `prune` deletes by age alone, and is cheaper.

            EXAMPLES
              petiole purge --queue import --state ready
              petiole purge --queue import --state ready --yes
              petiole purge --state dead --ended-before 30d --yes
            """)

    @OptionGroup var passing: JobFilterOptions

    @Flag(help: "All of the store, whatever their queue.")
    var all = false

    @Flag(help: "Delete them, and do not only say how many there are.")
    var yes = false

    @Flag(
        help: """
            Print a JSON object: v, dry_run, deleted, cancelled (of these: had not ended), running (left alone).
            """)
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        guard all || !passing.isEmpty else {
            throw ValidationError(
                "say which jobs: --queue, --name, --tag, --state, --ended-before, --all and others")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        let counts = try await store.purge(passing.filter(store), dryRun: !yes)
        if json {
            var line = JSONLine()
            line.add("dry_run", !yes)
            line.add("deleted", counts.deleted)
            line.add("cancelled", counts.cancelled)
            line.add("running", counts.running)
            return Standard.output.line(line.line)
        }
        var text = "\(counted(counts.deleted, "job")) \(yes ? "deleted" : "would be deleted")"
        if counts.cancelled > 0 {
            text += ", of which \(grouped(counts.cancelled)) \(yes ? "had" : "have") not ended"
        }
        if counts.running > 0 { text += "; \(grouped(counts.running)) that run are left alone" }
        Standard.output.line(text)
        if !yes, counts.deleted > 0 { say("nothing was deleted: the same with --yes does it") }
    }
}
