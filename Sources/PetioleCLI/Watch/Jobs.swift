import ArgumentParser
import Petiole

/// `petiole jobs`: lists jobs.
struct Jobs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List jobs, in the order in which they were accepted.",
        discussion: """
            States: ready, running, waiting (for its due time or another attempt), parked (no runner knows the name), \
            paused (its job type is), awaiting (others of its workflow), succeeded, failed, dead (failed at all of several attempts), cancelled, expired, \
            discarded, dropped.

            With --json one object a job: v, id, state, queue, priority, name, accepted, tags, and as the state has them \
            attempt, started, microseconds (of the last attempt), error, fingerprint, pid, due, workflow; of commands \
            arguments and directory, of those of `run` also input. Bytes that are not UTF-8 stand as {"base64": "..."}.

            EXAMPLES
              petiole jobs --state failed --state dead
              petiole jobs --queue commands --limit 20 --after 1000
              petiole jobs --ended-since 1h --error 'No space left'
            """)

    @OptionGroup var passing: JobFilterOptions

    @Option(help: ArgumentHelp("Only jobs with a greater id.", valueName: "id"))
    var after: JobNumber?

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many at most; 0: all.", valueName: "n"))
    var limit = 100

    @Flag(help: "Print a JSON object for each job.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit takes 0 or more") }
    }

    func run() throws {
        let store = try location.openExisting()
        var filter = passing.filter(store)
        filter.after = after?.id
        var table = TextTable([
            ("id", .right), ("state", .left), ("attempt", .right), ("time", .right),
            ("queue", .left),
            ("job", .left),
        ])
        let now = store.now
        var lines = RunLine()
        var count = 0
        var hasMore = false
        var last = JobID(rawValue: 0)
        let damage = try readable {
            try store.forEachRecord(filter) { summary, extras, payload in
                if limit > 0, count == limit {
                    hasMore = true
                    return false
                }
                count += 1
                last = summary.id
                let input = InputMark.values(extras)
                if json {
                    Standard.output.line(Self.json(summary, Array(payload), input))
                } else {
                    table.addPrinting(Self.row(summary, Array(payload), input, now, &lines))
                }
                return true
            }
        }
        if !json {
            if count == 0 { Standard.output.line("no such jobs") } else { table.printRows() }
            if hasMore { say("there are more: go on with --after \(last), or raise --limit") }
        }
        if let damage { throw damage }
    }

    /// Lists; that some jobs cannot be read is said behind the others.
    private func readable(_ list: () throws -> Void) throws -> StoreError? {
        do {
            try list()
            return nil
        } catch let error as StoreError {
            guard case .damaged = error else { throw error }
            return error
        }
    }

    private static func row(
        _ summary: JobSummary, _ payload: [UInt8], _ input: [[UInt8]]?, _ now: WallTime,
        _ lines: inout RunLine
    ) -> [String] {
        var attempt = ""
        var time = ""
        switch summary.state {
        case .ended(let outcome):
            attempt = String(outcome.attempt)
            time = TimeText.duration(outcome.runTime)
        case .running(let number, let since, _):
            attempt = String(number)
            time = TimeText.duration(now.since(since))
        case .waiting(_, let attempts): attempt = String(attempts)
        case .ready, .parked, .paused, .held, .awaiting: break
        }
        let command = JobText.command(name: summary.name, payload: payload)
        let title =
            command.map { JobText.line($0, queue: summary.queue, input: input, &lines) }
            ?? visible(summary.name)
        return [
            summary.id.description, JobText.word(summary.state), attempt, time,
            visible(summary.queue),
            title.count > 100 ? title.prefix(99) + "…" : title,
        ]
    }

    private static func json(_ summary: JobSummary, _ payload: [UInt8], _ input: [[UInt8]]?)
        -> String
    {
        var line = JSONLine()
        JobText.add(summary, to: &line)
        if let command = JobText.command(name: summary.name, payload: payload) {
            JobText.add(command, to: &line)
            JobText.add(input: input, to: &line)
        }
        return line.line
    }
}

extension JobFilter.State: ExpressibleByArgument {}
