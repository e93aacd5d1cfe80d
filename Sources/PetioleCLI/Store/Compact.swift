import ArgumentParser
import Petiole

/// `petiole compact`: gives room back to the file system.
struct Compact: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give what is free inside the store's file back to the file system.",
        discussion: """
            The file is copied without what is free in it, checked, and put in the place of the old one. Nobody may have \
            the store open: exit status 75 names those who do. Who opens it meanwhile waits. A store reuses what is free \
            by itself, so this is for one that will not grow again soon.

            EXAMPLES
              petiole prune --older-than 1d && petiole compact
            """)

    @Flag(help: "Print a JSON object: v, before, after (bytes of the file).")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() async throws {
        guard let path = try location.path() else {
            throw Failure(
                """
                there is no store: neither --store nor PETIOLE_STORE is given, and no .petiole is here \
                or above
                """, status: 66)
        }
        let report = try await JobStore.compact(at: path)
        if json {
            var line = JSONLine()
            line.add("before", report.bytesBefore)
            line.add("after", report.bytesAfter)
            return Standard.output.line(line.line)
        }
        Standard.output.line(
            "\(grouped(report.bytesBefore)) bytes before, \(grouped(report.bytesAfter)) after")
    }
}
