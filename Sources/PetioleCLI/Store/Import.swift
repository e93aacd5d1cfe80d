import ArgumentParser
import Petiole

/// `petiole import`: enqueues what `petiole export` has written.
struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Enqueue commands that `petiole export` has written, in this store.",
        discussion: """
            Takes the JSON lines of `petiole export --what jobs`, from a file or standard input. Commands that had not ended are \
            enqueued: with their arguments, working directory, environment, standard input, niceness, queue, priority, attempts, time limits, tags, \
            headers, due time and expiry; a due time that is not before the expiry is not carried. Ids are new. What had ended is passed over; one \
            that ran, or was held by hand, is enqueued like one that was ready. Not carried \
            are attempts that failed, unique keys, limits, capacities, pauses and schedules.

            Left out, which is said with the id and by the exit status, is what is no command, came \
            after a job that is not among those that are taken, is a block of `petiole run --pipe`, or follows a run (--then, --on-failure).

            A command of `petiole run` keeps its input: the same line in the same directory goes on with it, and runs what had ended in the \
            other store once more, since that is not here. `petiole backup` takes a run whole.

            A line that cannot be read ends it: what came before it stays enqueued, and how much that is, is said. The same jobs \
            imported again are passed over as long as they are here: so an import that was interrupted is started again. To move \
            jobs, export those of a queue that nobody runs, import them, then purge them. Ids of the jobs, some 100 bytes each, are \
            kept in memory.

            Exit status: 0 all are enqueued, or are here already; 1 some were left out; 64 a line cannot be read.

            EXAMPLES
              petiole export --queue nightly | petiole import --store /srv/jobs
              petiole import --queue later nightly.jsonl
            """)

    @Option(help: ArgumentHelp("Into this queue, whatever the line says.", valueName: "name"))
    var queue: String?

    @Flag(help: "Enqueue those once more that were imported before.")
    var again = false

    @Flag(help: "Only say how many would be enqueued.")
    var dryRun = false

    @Flag(help: "Print a JSON object: v, dry_run, enqueued, present, ended, left_out.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        help: ArgumentHelp("The file; - or none: standard input.", valueName: "file"),
        completion: .file())
    var file = "-"

    func validate() throws {
        if let queue { try CommandQueue.check(queue) }
    }

    func run() async throws {
        // Opened first: a store is not made for a file that is not there.
        let wake = try WakePipe()
        var stream = try ByteStream.ofImport(Arguments.bytes(of: file), stop: wake.reading)
        let importer = Importer(
            store: try store(), queue: queue, isDry: dryRun, takesPresent: again)
        do {
            var rest: [UInt8] = []
            while !stream.isAtEnd {
                var lines: [[UInt8]] = []
                _ = try stream.read { bytes in
                    var left = bytes[...]
                    while let end = left.firstIndex(of: UInt8(ascii: "\n")) {
                        lines.append(rest + left[..<end])
                        rest = []
                        left = left[(end + 1)...]
                    }
                    rest += left
                }
                for line in lines { try await importer.take(line) }
                if rest.count > Importer.lineLimit {
                    throw Failure.usage("line \(importer.line + 1) has more than 64 MiB")
                }
            }
            if !rest.isEmpty { try await importer.take(rest) }
            try await importer.flush()
            try await importer.settle()
        } catch {
            await importer.giveUp()
            guard var failure = Failure(error) else { throw error }
            if failure.status == 125 { failure.status = 74 }
            failure.message +=
                "\n\(counted(importer.enqueued, "job")) \(importer.enqueued == 1 ? "is" : "are") enqueued"
            throw failure
        }
        tell(importer)
        if importer.leftOut > 0 { throw Failure("", status: 1) }
    }

    /// Nil: there is none, and none is to be made.
    private func store() throws -> JobStore? {
        guard dryRun else { return try location.openOrMake() }
        if try location.path() == nil { return nil }
        do {
            return try location.openExisting()
        } catch StoreError.noStore {
            return nil
        }
    }

    private func tell(_ importer: Importer) {
        if json {
            var line = JSONLine()
            line.add("dry_run", dryRun)
            line.add("enqueued", importer.enqueued)
            line.add("present", importer.present)
            line.add("ended", importer.ended)
            line.add("left_out", importer.leftOut)
            return Standard.output.line(line.line)
        }
        var text =
            "\(counted(importer.enqueued, "job")) \(dryRun ? "would be" : importer.enqueued == 1 ? "is" : "are") enqueued"
        if importer.present > 0 {
            text +=
                ", \(grouped(importer.present)) \(importer.present == 1 ? "is" : "are") here already"
        }
        if importer.ended > 0 { text += ", \(grouped(importer.ended)) had ended" }
        if importer.leftOut > 0 {
            text +=
                ", \(grouped(importer.leftOut)) \(importer.leftOut == 1 ? "is" : "are") left out"
        }
        Standard.output.line(text)
    }
}

extension ByteStream {
    fileprivate static func ofImport(_ path: [UInt8], stop: Int32) throws -> ByteStream {
        do {
            return try ByteStream(path: path, stop: stop)
        } catch {
            guard var failure = Failure(error) else { throw error }
            failure.status = 66
            throw failure
        }
    }
}
