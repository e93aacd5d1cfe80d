import ArgumentParser
import Petiole

/// `petiole failures`: the kinds of failures, and how many jobs have each.
struct Failures: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the kinds of failures, the most frequent first.",
        discussion: """
            Failures are of one kind when their texts differ in numbers alone; the text shown is that of the first. Counted \
            are jobs that are kept: failed, dead and discarded ones. The fingerprint is what --fingerprint takes.

            With --json one object a line: v, fingerprint, count, error, first, last.

            EXAMPLES
              petiole failures
              petiole requeue --fingerprint 3f2a9c0d41b7e658
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        let kinds = try location.openExisting().failureKinds()
        if json {
            for kind in kinds {
                var line = JSONLine()
                line.add("fingerprint", kind.fingerprint)
                line.add("count", kind.count)
                line.add("error", "\(kind.failure.type): \(kind.failure.message)")
                line.add("first", TimeText.iso(kind.firstAt))
                line.add("last", TimeText.iso(kind.lastAt))
                Standard.output.line(line.line)
            }
            return
        }
        if kinds.isEmpty { return Standard.output.line("no failures") }
        var table = TextTable([
            ("jobs", .right), ("last", .left), ("fingerprint", .left), ("error", .left),
        ])
        for kind in kinds {
            let text = visible("\(kind.failure.type): \(kind.failure.message)")
            table.add([
                grouped(kind.count), TimeText.local(kind.lastAt), kind.fingerprint,
                text.count > 100 ? text.prefix(99) + "…" : text,
            ])
        }
        for line in table.lines { Standard.output.line(line) }
    }
}
