import ArgumentParser
import Petiole

/// `petiole backup`: copies a store in use.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy the store, as it is at one instant, while others go on with it.",
        discussion: """
            What is at the path then is a store, synced to the disk, in which every page and checksum was compared. It \
            holds what commands wrote, too. Exit status 73 when no copy can be made; nothing is left at the path then.

            EXAMPLES
              petiole backup /backup/jobs-2026-11-23
            """)

    @Flag(help: "Copy the pages that are free as well: faster, and as long as the store's file.")
    var whole = false

    @Flag(help: "Do not compare the pages and checksums of the copy.")
    var unchecked = false

    @Flag(
        help:
            "Print a JSON object: v, store, bytes, outputs (files), output_bytes, jobs (null: not checked)."
    )
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Where there is nothing yet.", valueName: "path"))
    var path: String

    func run() async throws {
        guard let path = String(validating: Arguments.bytes(of: path), as: UTF8.self), !path.isEmpty
        else { throw Failure.usage("a path in UTF-8 is needed") }
        let store = try location.openExisting()
        let report = try await store.backup(to: path, compacting: !whole, checking: !unchecked)
        if json {
            var line = JSONLine()
            line.add("store", StoreLocation.resolved(path))
            line.add("bytes", report.bytes)
            line.add("outputs", report.outputs)
            line.add("output_bytes", report.outputBytes)
            line.add("jobs", report.jobs)
            return Standard.output.line(line.line)
        }
        let jobs = report.jobs.map { ", \(counted($0, "job")), whole" } ?? ", not checked"
        let outputs = report.outputs > 0 ? ", \(counted(report.outputs, "file")) of output" : ""
        Standard.output.line(
            "\(visible(StoreLocation.resolved(path))): \(grouped(report.bytes)) bytes\(outputs)\(jobs)"
        )
    }
}
