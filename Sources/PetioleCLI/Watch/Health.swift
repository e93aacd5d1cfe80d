import ArgumentParser
import Petiole

/// `petiole health`: whether all is well, for supervisors.
struct Health: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say in milliseconds whether the store and its runners are well.",
        discussion: """
            Looked at: that the store opens and is not nearly full, that its file system has room, that each queue with \
            jobs to run has a runner which looks around, that no attempt runs ten times as long as others of its type, \
            and the bounds that are given. Exit status: 0 all is well; 1 something is not, a sentence each; 65, 66, 74 and \
            77 when the store cannot be opened.

            With --json one object: v, healthy, problems (a list of sentences), queues (a list: queue, pid, beat (seconds \
            since its runner looked around), oldest (seconds that the oldest ready job has waited), ready, waiting, \
            parked, dead), used, limit, free (bytes), last_commit.

            EXAMPLES
              petiole health --queue commands --max-age 10m --max-ready 10000
            """)

    @Option(
        help: ArgumentHelp("Look at this queue; may be given several times.", valueName: "name"))
    var queue: [String] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many ready jobs of a queue at most.", valueName: "n"))
    var maxReady: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "So many jobs at most that are delayed or wait for another attempt.", valueName: "n"))
    var maxWaiting: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many dead letters at most.", valueName: "n"))
    var maxDead: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "So long at most may the oldest ready job wait: 90s, 10m.", valueName: "age"))
    var maxAge: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many MiB free on the file system at least.", valueName: "n"))
    var minFree = 64

    @Flag(help: "A queue without a runner is well.")
    var noRunner = false

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        for (name, value) in [
            ("--max-ready", maxReady), ("--max-waiting", maxWaiting), ("--max-dead", maxDead),
            ("--min-free", minFree),
        ] {
            if let value, value < 0 { throw ValidationError("\(name) takes 0 or more") }
        }
        if let maxAge, TimeText.age(maxAge) == nil {
            throw ValidationError("--max-age takes a number and one of s, m, h, d, w: 90s, 10m")
        }
        guard minFree < 1 << 40 else { throw ValidationError("--min-free takes MiB") }
    }

    func run() throws {
        let store = try location.openExisting()
        var bounds = HealthBounds()
        bounds.queues = queue
        bounds.needsRunner = !noRunner
        bounds.maxReady = maxReady
        bounds.maxWaiting = maxWaiting
        bounds.maxDead = maxDead
        bounds.maxAge = maxAge.flatMap { TimeText.age($0) }
        bounds.minFreeBytes = minFree << 20
        let report = try store.health(bounds)
        if json {
            Standard.output.line(Self.json(report))
        } else {
            for problem in report.problems {
                Standard.output.line(visible(problem.description) + Self.detail(problem, store.now))
            }
            if report.isHealthy { Standard.output.line("all is well") }
        }
        if !report.isHealthy { throw Failure("", status: 1) }
    }

    /// How long, of what runs for too long.
    private static func detail(_ problem: HealthProblem, _ now: WallTime) -> String {
        guard case .longRun(let run) = problem else { return "" }
        return ": for \(TimeText.duration(now.since(run.since))), others take "
            + "\(TimeText.duration(run.average)) on average"
    }

    private static func json(_ report: HealthReport) -> String {
        var line = JSONLine()
        line.add("healthy", report.isHealthy)
        line.add("problems", report.problems.map { Array($0.description.utf8) })
        line.add(
            "queues",
            objects: report.queues.map { queue in
                var part = JSONLine()
                part.add("queue", queue.status.name)
                part.add("pid", queue.status.ownerPID)
                part.add("beat", queue.beat.map { Int($0.components.seconds) })
                part.add("oldest", queue.oldest.map { Int($0.components.seconds) })
                part.add("ready", queue.status.counts.ready)
                part.add("waiting", queue.status.counts.waiting)
                part.add("parked", queue.status.counts.parked)
                part.add("dead", queue.status.counts.deadLetters)
                return part
            })
        line.add("used", report.usedBytes)
        line.add("limit", report.byteLimit)
        line.add("free", report.freeBytes)
        line.add("last_commit", report.lastCommit.map { TimeText.iso($0) })
        return line.line
    }
}
