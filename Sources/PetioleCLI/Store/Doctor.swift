import ArgumentParser
import Petiole

/// `petiole doctor`: looks at every page and every record of the store.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the store: every page in use, and the checksum of every job and outcome.",
        discussion: """
            Reads alone, and may be used while others work on the store. Exit status 1 when the store is damaged, \
            65 when its format is newer than this program.

            With --json one object: v, store, verdict (whole, damaged, changing), bytes, pages, free, leaked, jobs, \
            outcomes, findings (a list of sentences), count (of all findings).
            """)

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        guard let path = try location.path() else {
            throw Failure(
                "there is no store: neither --store nor PETIOLE_STORE is given, and no .petiole is here or above",
                status: 66)
        }
        let check = try StoreCheck.run(directory: path)
        if json {
            Standard.output.line(Self.json(check, path))
        } else {
            Self.show(check, visible(StoreLocation.resolved(path)))
        }
        switch check.verdict {
        case .whole: return
        case .damaged: throw Failure("", status: 1)
        case .changing: throw Failure("", status: 75)
        }
    }

    private static func show(_ check: StoreCheck, _ path: String) {
        let output = Standard.output
        switch check.verdict {
        case .whole: output.line("\(path) is whole")
        case .damaged:
            output.line("\(path) is damaged: \(counted(check.findingCount, "finding"))")
        case .changing:
            output.line(
                "\(path) changed all the time while it was looked at: stop who writes to it and look again"
            )
        }
        for finding in check.findings { output.line("  \(visible(finding))") }
        if check.findingCount > check.findings.count {
            output.line("  and \(grouped(check.findingCount - check.findings.count)) more")
        }
        if check.pages > 0 {
            output.line(
                """
                \(counted(check.jobs, "job")) in \(counted(check.jobBlocks, "block")), \
                \(counted(check.outcomes, "outcome")) in \(counted(check.outcomeBlocks, "block")); each checksum \
                was compared
                """)
            output.line(
                """
                \(grouped(Int(clamping: check.fileBytes))) bytes, \(counted(Int(clamping: check.pages), "page")), \
                \(grouped(Int(clamping: check.freePages))) free
                """)
        }
        if let leaked = check.leakedPages, leaked > 0 {
            output.line(
                "\(counted(Int(clamping: leaked), "page")) are neither free nor in use, which harms nothing but the room"
            )
        }
        if check.verdict == .damaged {
            output.line(
                """
                keep the store as it is and work on a copy; jobs and outcomes that are not named above can still be \
                read; restore a copy made by `petiole backup` if there is one
                """)
        }
    }

    private static func json(_ check: StoreCheck, _ path: String) -> String {
        var line = JSONLine()
        line.add("store", path)
        line.add(
            "verdict",
            check.verdict == .whole ? "whole" : check.verdict == .damaged ? "damaged" : "changing")
        line.add("bytes", Int(clamping: check.fileBytes))
        line.add("pages", Int(clamping: check.pages))
        line.add("free", Int(clamping: check.freePages))
        line.add("leaked", check.leakedPages.map { Int(clamping: $0) })
        line.add("jobs", check.jobs)
        line.add("outcomes", check.outcomes)
        line.addRaw(
            "findings",
            "[" + check.findings.map { JSONLine.quoted($0) }.joined(separator: ",") + "]")
        line.add("count", check.findingCount)
        return line.line
    }
}
