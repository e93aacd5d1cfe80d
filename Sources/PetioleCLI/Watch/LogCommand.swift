import ArgumentParser
import Petiole

/// `petiole log`: what commands wrote, as it is recorded.
struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Print what the commands of jobs wrote, as it is recorded.",
        discussion: """
            Standard output goes to standard output, standard error to standard error. Of several jobs, given by ids or \
            by options, each begins with a line that names it; --quiet leaves those lines out. On a terminal what could \
            steer it is written out; with --raw, and to a pipe or file, it comes as it is. Jobs that are no commands are \
            left out.

            With --json one object a job: v, id, state, attempt, exit or signal, stdout, stderr (one of them alone with \
            --stdout or --stderr). Bytes that are not UTF-8 stand as {"base64": "..."}; of what lies in a file the first \
            16 MiB are there.

            Exit status: 0; 66 a job is not there or wrote nothing, since it never ran; 75 one has not ended: petiole \
            follow prints what it has written so far.

            EXAMPLES
              petiole log 17
              petiole log --stderr --state failed --state dead --queue nightly
              petiole log --json 17 18 | jq -r .stdout
            """)

    @Flag(help: "Only what was written to standard output.")
    var stdout = false

    @Flag(help: "Only what was written to standard error.")
    var stderr = false

    @Flag(name: [.customShort("q"), .long], help: "Leave out the lines that name the jobs.")
    var quiet = false

    @Flag(help: "To a terminal, too, print what was written as it is.")
    var raw = false

    @Flag(help: "Print a JSON object for each job.")
    var json = false

    @OptionGroup var location: StoreLocation
    @OptionGroup var choice: JobChoice

    private var streams: [CommandStream] {
        stdout == stderr ? [.output, .errorOutput] : stdout ? [.output] : [.errorOutput]
    }

    func run() throws {
        let store = try location.openExisting()
        guard choice.ids.isEmpty else { return try printNamed(choice.ids.map(\.id), store) }
        let filter = choice.passing.filter(store)
        if choice.dryRun {
            let count = try JobChoice.count(filter, ended: true, store)
            var line = JSONLine()
            line.add("found", count)
            return Standard.output.line(json ? line.line : "\(counted(count, "job")) ended")
        }
        var problem: (any Error)?
        var unread: Failure?
        var lines = RunLine()
        try store.forEachRecord(filter) { summary, extras, payload in
            guard summary.state.isEnded, summary.name == CommandJob.name else { return true }
            do {
                if try store.commandOutcome(of: summary.id)?.end == nil {
                    // It never ran, and hides none of the others.
                    if json { Standard.output.line(try line(summary, nil, store)) }
                    return true
                }
                let title = Self.title(
                    summary, Array(payload), InputMark.values(extras), &lines)
                try print(summary, title: quiet ? nil : title, store)
                // A reader that went away has heard enough.
                return Standard.output.flush() == nil
            } catch let failure as Failure {
                say("job \(summary.id): \(failure.message)")
                unread = unread ?? failure
                return true
            } catch {
                problem = error
                return false
            }
        }
        if let problem { throw problem }
        if let unread { throw Failure("", status: unread.status) }
    }

    /// Each is printed that can be; then the first that cannot is told.
    private func printNamed(_ ids: [JobID], _ store: JobStore) throws {
        var problem: Failure?
        var lines = RunLine()
        for id in ids {
            do {
                let details = try store.details(of: id)
                let input = details.extras.withUnsafeBytes { InputMark.values($0) }
                let title =
                    ids.count > 1 && !quiet
                    ? Self.title(details.summary, details.payload, input, &lines) : nil
                try print(details.summary, title: title, store)
            } catch {
                guard let failure = Failure(error) else { throw error }
                if ids.count > 1 { say(failure.message) }
                problem = problem ?? failure
            }
        }
        if ids.count > 1 { problem?.message = "" }
        if let problem { throw problem }
    }

    private func print(_ summary: JobSummary, title: String?, _ store: JobStore) throws {
        let id = summary.id
        guard case .ended = summary.state else {
            throw Failure(
                """
                job \(id) has not ended: it is \(JobText.word(summary.state))
                see what it writes with: petiole follow \(id)
                """, status: 75)
        }
        guard let outcome = try store.commandOutcome(of: id), let end = outcome.end else {
            if json { Standard.output.line(try line(summary, nil, store)) }
            throw Failure(
                "job \(id) wrote nothing: it is \(JobText.word(summary.state))", status: 66)
        }
        if json { return Standard.output.line(try line(summary, end, store)) }
        if let title { Standard.output.line(title) }
        for stream in streams { try write(stream, stream.of(end), id, store) }
    }

    private func write(
        _ stream: CommandStream, _ output: CapturedOutput, _ id: JobID, _ store: JobStore
    ) throws {
        let target = stream.standard
        // In the order in which they are read.
        if stream == .errorOutput { Standard.output.flush() }
        try OutputText.copy(output, store, to: target, escapes: target.isTerminal && !raw)
        OutputText.sayLost(output, of: id)
    }

    private func line(
        _ summary: JobSummary, _ end: CommandEnd?, _ store: JobStore
    ) throws -> String {
        var line = JSONLine()
        line.add("id", Int(clamping: summary.id.rawValue))
        line.add("state", JobText.word(summary.state))
        if case .ended(let outcome) = summary.state { line.add("attempt", outcome.attempt) }
        guard let end else { return line.line }
        switch end.cause {
        case .exited(let code): line.add("exit", Int(code))
        case .signalled(let signal, _): line.add("signal", Int(signal))
        case .lost: break
        }
        for stream in streams {
            line.add(stream.name, try OutputText.bytes(stream.of(end), store))
        }
        return line.line
    }

    /// What stands above the outputs of one of several.
    private static func title(
        _ summary: JobSummary, _ payload: [UInt8], _ input: [[UInt8]]?, _ lines: inout RunLine
    ) -> String {
        let text =
            JobText.command(name: summary.name, payload: payload).map {
                JobText.line($0, queue: summary.queue, input: input, &lines)
            } ?? visible(summary.name)
        return "==> \(summary.id) \(JobText.word(summary.state)): \(text) <=="
    }
}
