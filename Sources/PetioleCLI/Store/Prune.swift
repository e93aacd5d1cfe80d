import ArgumentParser
import Petiole

/// `petiole prune`: deletes what ended long ago.
struct Prune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete jobs that ended longer ago than an age.",
        discussion: """
            A runner does this by itself for what ended longer ago than the store keeps it: see `petiole capacity --keep`. Dead letters, jobs whose results are kept \
            longer, and jobs that have not ended, stay. The file does not shrink: its room is used again. A run knows by its jobs which \
            inputs are done: one whose jobs were pruned starts with --fresh alone.

            EXAMPLES
              petiole prune --older-than 7d
              petiole prune --older-than 1h --dry-run
            """)

    // Unconditional: else -1d is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("A number and s, m, h, d or w: 90s, 12h, 7d.", valueName: "age"))
    var olderThan: String

    @Flag(help: "Only say how many there are.")
    var dryRun = false

    @Flag(help: "Print a JSON object: v, deleted, or with --dry-run v, found.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        guard TimeText.age(olderThan) != nil else {
            throw ValidationError(
                "--older-than takes a number and one of s, m, h, d, w: 90s, 12h, 7d")
        }
    }

    func run() async throws {
        guard let age = TimeText.age(olderThan) else { return }
        let store = try location.openExisting()
        if dryRun {
            let found = try store.prunable(olderThan: age)
            var line = JSONLine()
            line.add("found", found)
            return Standard.output.line(
                json ? line.line : "\(counted(found, "job")) would be deleted")
        }
        let deleted = try await store.prune(olderThan: age)
        if json {
            var line = JSONLine()
            line.add("deleted", deleted)
            Standard.output.line(line.line)
        } else {
            Standard.output.line("deleted \(counted(deleted, "job"))")
        }
    }
}
