import ArgumentParser
import Petiole

/// `petiole report`: what a run came to.
struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Report on a run or a queue: counts, rate over time, run times, slowest, failures.",
        discussion: """
            On the run that goes on, or the one whose line was new last, unless --queue names another (see petiole run --runs) or --all asks for the whole store. \
            Told are the jobs that are kept; each is read once, and what is gathered has a fixed size: percentiles are \
            3 % off at most, and beyond 1,000 kinds of failures the others are counted as one.

            With --json one object: v, queue (null: all), run (its line, or null), jobs, succeeded, failed, dead, \
            cancelled, expired, discarded, dropped, running, waiting, retries, first, last (null: none began), \
            run_time (p50, p90, p95, p99, average, longest; microseconds), rate (a list: at, seconds, ended), histogram \
            (a list: from, to in microseconds, count), slowest (a list: id, microseconds, state, attempt), failures (a \
            list: fingerprint, count, example, error), other_failures (of further kinds).

            EXAMPLES
              petiole report
              petiole report --queue nightly --slowest 20
            """)

    @Option(help: ArgumentHelp("On the jobs of this queue.", valueName: "name"))
    var queue: String?

    @Flag(help: "On all jobs of the store.")
    var all = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many of the slowest jobs, 0 to 1000.", valueName: "n"))
    var slowest = 5

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        guard (0...1_000).contains(slowest) else {
            throw ValidationError("--slowest takes 0 to 1000")
        }
        if all, queue != nil { throw ValidationError("--queue or --all, not both") }
    }

    func run() throws {
        let store = try location.openExisting()
        let name = try wantedQueue(store)
        var data = ReportData(slowLimit: slowest)
        var filter = JobFilter()
        filter.queue = name
        var damage: StoreError?
        do throws(StoreError) {
            try store.forEachJob(filter) { summary in
                data.add(summary.id, summary.state)
                return true
            }
        } catch {
            // Told behind what can be read.
            guard case .damaged = error else { throw error }
            damage = error
        }
        let line = try name.flatMap { name in
            RunIdentity.isRun(name) ? try RunList.line(ofRun: name, store) : nil
        }
        if json {
            Standard.output.line(Self.json(data, queue: name, line: line))
        } else {
            let subject =
                line.map { "run \($0)" } ?? name.map { "queue \(visible($0))" } ?? "all queues"
            let lines = ReportText.lines(
                data, subject: subject, titles: try titles(data, store),
                columns: Standard.output.isTerminal ? Standard.output.columns : 80, look: look)
            for line in lines { Standard.output.line(line) }
        }
        if let damage { throw damage }
    }

    private var look: TerminalLook {
        var look = TerminalLook()
        if !Standard.output.isTerminal { look.usesColour = false }
        return look
    }

    /// Nil: all.
    private func wantedQueue(_ store: JobStore) throws -> String? {
        if let queue {
            guard try store.queues().contains(where: { $0.name == queue }) else {
                throw Failure(
                    """
                    there is no queue "\(visible(queue))"
                    see which there are with: petiole status
                    """, status: 66)
            }
            return queue
        }
        if all { return nil }
        let running = try store.queues().filter {
            $0.ownerPID != nil && RunIdentity.isRun($0.name)
        }
        return try running.last?.name ?? store.newestQueue(where: RunIdentity.isRun)
    }

    private func titles(_ data: ReportData, _ store: JobStore) throws -> [JobID: String] {
        var titles: [JobID: String] = [:]
        var lines = RunLine()
        for slow in data.slowest {
            guard let details = try found(slow.id, store) else { continue }
            let input = details.extras.withUnsafeBytes { InputMark.values($0) }
            titles[slow.id] =
                JobText.command(name: details.summary.name, payload: details.payload).map {
                    JobText.brief($0, queue: details.summary.queue, input: input, &lines)
                } ?? visible(details.summary.name)
        }
        return titles
    }

    /// Nil: it was deleted meanwhile.
    private func found(_ id: JobID, _ store: JobStore) throws -> JobDetails? {
        do throws(StoreError) { return try store.details(of: id) } catch {
            guard case .noSuchJob = error else { throw error }
            return nil
        }
    }

    private static func json(_ data: ReportData, queue: String?, line run: String?) -> String {
        var line = JSONLine()
        line.add("queue", queue)
        line.add("run", run)
        line.add("jobs", data.jobs)
        for kind in [
            Outcome.Kind.succeeded, .failed, .deadLetter, .cancelled, .expired, .discarded,
            .dropped,
        ] { line.add(JobText.word(kind), data.count(kind)) }
        line.add("running", data.running)
        line.add("waiting", data.waiting)
        line.add("retries", data.retries)
        line.add("first", data.first.map { TimeText.iso($0) })
        line.add("last", data.last.map { TimeText.iso($0) })
        var times = JSONLine()
        for percent in [50, 90, 95, 99] {
            times.add(
                "p\(percent)", data.runTimes.percentile(Double(percent))?.wholeMicroseconds)
        }
        times.add("average", data.runTimes.average?.wholeMicroseconds)
        times.add("longest", data.runTimes.longest.wholeMicroseconds)
        line.add("run_time", times)
        line.add("rate", objects: rate(data.ends))
        line.add(
            "histogram",
            objects: RunTimeRows.of(data.runTimes).map { row in
                var part = JSONLine()
                part.add("from", row.from)
                part.add("to", row.to)
                part.add("count", row.count)
                return part
            })
        line.add(
            "slowest",
            objects: data.slowest.map { slow in
                var part = JSONLine()
                part.add("id", Int(clamping: slow.id.rawValue))
                part.add("microseconds", slow.runTime.wholeMicroseconds)
                part.add("state", JobText.word(slow.kind))
                part.add("attempt", slow.attempt)
                return part
            })
        line.add(
            "failures",
            objects: data.failures.map { failure in
                var part = JSONLine()
                part.add("fingerprint", failure.fingerprint)
                part.add("count", failure.count)
                part.add("example", Int(clamping: failure.example.rawValue))
                part.add("error", failure.text)
                return part
            })
        line.add("other_failures", data.otherFailures)
        return line.line
    }

    private static func rate(_ ends: TimeBuckets) -> [JSONLine] {
        ends.used.enumerated().map { index, count in
            var part = JSONLine()
            part.add(
                "at", TimeText.iso(WallTime(microseconds: Int64(ends.start + index * ends.width))))
            part.addRaw("seconds", "\(Double(ends.width) / 1_000_000)")
            part.add("ended", count)
            return part
        }
    }
}
