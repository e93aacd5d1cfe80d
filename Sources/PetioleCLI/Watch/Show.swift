import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole show`: all that is known of a job.
struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a job: payload, attempts, outcome, and what its command wrote.",
        discussion: """
            With --json the fields of `petiole jobs --json`, schedule and planned (which schedule enqueued it, and for \
            when) where one did, and payload (JSON, where its form can be shown so), \
            suspended (of one that runs), attempts (those that another followed: attempt, started, microseconds, error), exit or signal, stdout and \
            stderr of a command, or result. With --stdout or --stderr nothing but what the command wrote: as it is, and to a \
            terminal, unless --raw, with what could steer it written out.

            With --tree the family of the job instead: who enqueued whom with its success, a line each, from the first \
            that is still there on. With --json too, one object a job: the fields of `petiole jobs --json`, depth, parent.

            EXAMPLES
              petiole show 17
              petiole show --tree 17
              petiole show --stdout 17 > 17.txt
            """)

    @Flag(help: "Print a JSON object.")
    var json = false

    @Flag(help: "Print who enqueued whom.")
    var tree = false

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Of a tree so many jobs at most.", valueName: "n"))
    var limit = 1_000

    @Flag(help: "Print what the command wrote to its standard output, and nothing else.")
    var stdout = false

    @Flag(help: "Print what the command wrote to its standard error, and nothing else.")
    var stderr = false

    @Flag(help: "With --stdout or --stderr to a terminal, too, print what was written as it is.")
    var raw = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("A job's id.", valueName: "id"))
    var number: JobNumber

    private var id: JobID { number.id }

    func validate() throws {
        guard limit >= 1 else { throw ValidationError("--limit takes 1 or more") }
        if tree, stdout || stderr {
            throw ValidationError("--tree, or what a command wrote; not both")
        }
    }

    func run() throws {
        let store = try location.openExisting()
        if tree { return try showTree(store) }
        let details = try store.details(of: id)
        let outcome =
            details.summary.name == CommandJob.name ? try store.commandOutcome(of: id) : nil
        if stdout || stderr {
            guard let end = outcome?.end else {
                throw Failure(
                    "job \(id) has written nothing: it is \(JobText.word(details.summary.state))",
                    status: 66)
            }
            if stdout { try copy(end.output, store) }
            if stderr { try copy(end.errorOutput, store) }
        } else if json {
            Standard.output.line(try Self.json(details, outcome, store))
        } else {
            try Self.show(details, outcome, store)
        }
    }

    private func copy(_ output: CapturedOutput, _ store: JobStore) throws {
        try OutputText.copy(
            output, store, to: .output, escapes: Standard.output.isTerminal && !raw)
        if case .incomplete(_, let lost, let reason) = output.wanted {
            throw Failure(
                "\(grouped(Int(clamping: lost))) bytes more are lost: \(reason.text)", status: 74)
        }
    }

    private func showTree(_ store: JobStore) throws {
        let family = try store.family(of: id, limit: limit)
        for member in family.members {
            let summary = member.summary
            if json {
                var line = JSONLine()
                JobText.add(summary, to: &line)
                line.add("depth", member.depth)
                line.add("parent", member.parent.map { Int(clamping: $0.rawValue) })
                Standard.output.line(line.line)
            } else {
                let mark = summary.id == id ? "  <" : ""
                Standard.output.line(
                    String(repeating: "  ", count: member.depth)
                        + "\(summary.id) \(JobText.word(summary.state)) \(visible(summary.name))\(mark)"
                )
            }
        }
        if family.hasMore { say("there are more: raise --limit") }
    }

    // MARK: For people

    private static func show(
        _ details: JobDetails, _ outcome: CommandOutcome?, _ store: JobStore
    ) throws {
        let summary = details.summary
        line("job", summary.id.description)
        line("state", state(summary, store))
        if let progress = store.progress(of: summary.id) {
            let total = progress.total.map { " of \(grouped($0))" } ?? ""
            let note = progress.note.isEmpty ? "" : ", \(visible(progress.note))"
            line("progress", "\(grouped(progress.done))\(total)\(note)")
        }
        line("queue", "\(visible(summary.queue)), priority \(summary.priority)")
        line("accepted", TimeText.local(summary.acceptedAt))
        if let schedule = details.schedule {
            let planned = details.plannedTime.map { ", planned \(TimeText.local($0))" } ?? ""
            line("schedule", visible(schedule) + planned)
        }
        let tags = summary.metadata.tags
        if !tags.isEmpty { line("tags", tags.map { visible($0) }.joined(separator: ", ")) }
        for (name, value) in summary.metadata.headers.sorted(by: { $0.key < $1.key }) {
            line("header", "\(visible(name)): \(visible(value))")
        }
        if let command = JobText.command(name: summary.name, payload: details.payload) {
            let input = details.extras.withUnsafeBytes { InputMark.values($0) }
            var lines = RunLine()
            line("command", JobText.line(command, queue: summary.queue, input: input, &lines))
            if let directory = command.workingDirectory { line("in", Command.quoted(directory)) }
            if case .exactly(let variables) = command.environment {
                line(
                    "with",
                    variables.map { visible(String(decoding: $0.name, as: UTF8.self)) }
                        .joined(separator: " "))
            }
            if let input {
                line("input", input.map { Command.quoted($0) }.joined(separator: " "))
            }
        } else if details.isDamaged {
            line("payload", "cannot be read: it does not match its checksum")
        } else {
            line("name", visible(summary.name))
            line(
                "payload",
                details.payloadJSON().map { visible($0) } ?? counted(details.payload.count, "byte")
                    + (details.encryptionKey.map { ", encrypted with key \(visible($0))" } ?? ""))
        }
        for attempt in details.failedAttempts {
            line(
                "attempt \(attempt.attempt)",
                "\(TimeText.local(attempt.startedAt)), \(TimeText.duration(attempt.runTime)): "
                    + visible(attempt.failure.message))
        }
        if case .ended(let end) = summary.state, end.attempt > 0 {
            let text = end.failure.map { ": " + visible($0.message) } ?? ""
            line(
                "attempt \(end.attempt)",
                "\(TimeText.local(end.startedAt)), \(TimeText.duration(end.runTime))\(text)")
        }
        if let end = outcome?.end {
            try OutputText.show("stdout", end.output, of: summary.id, store)
            try OutputText.show("stderr", end.errorOutput, of: summary.id, store)
        } else if let result = details.resultJSON() {
            if case .ended(let end) = summary.state, end.kind == .succeeded {
                line("result", visible(result))
            }
        }
    }

    private static func line(_ label: String, _ text: String) {
        Standard.output.line(label + String(repeating: " ", count: max(1, 11 - label.count)) + text)
    }

    private static func state(_ summary: JobSummary, _ store: JobStore) -> String {
        switch summary.state {
        case .ready: "ready"
        case .waiting(let due, let attempts):
            "waiting for attempt \(attempts + 1), due \(TimeText.local(due))"
        case .parked(let name): "parked: no runner of its queue knows \"\(visible(name))\""
        case .paused(let name): "paused: the job type \"\(visible(name))\" is"
        case .awaiting(let workflow): "awaiting others: petiole workflow show \(workflow)"
        case .held(let after):
            after.isEmpty
                ? "held: it goes on with petiole resume \(summary.id)"
                : "held, until these have ended: \(after.map(\.description).joined(separator: ", "))"
        case .running(let attempt, let since, let pid):
            "running for \(TimeText.duration(store.now.since(since))), attempt \(attempt), in process \(pid)"
                + (store.isSuspended(summary.id)
                    ? ", suspended: it goes on with petiole resume \(summary.id)" : "")
        case .ended(let outcome):
            switch outcome.kind {
            case .succeeded: "succeeded"
            case .failed: "failed"
            case .cancelled:
                "cancelled" + (outcome.failure.map { ": \(visible($0.message))" } ?? "")
            case .deadLetter: "dead: failed at attempt \(outcome.attempt), the last"
            case .expired: "expired: it had not started by then"
            case .dropped: "dropped: its queue was full, and others took its room"
            case .discarded: "discarded on purpose at attempt \(outcome.attempt)"
            }
        }
    }

    // MARK: For programs

    private static func json(
        _ details: JobDetails, _ outcome: CommandOutcome?, _ store: JobStore
    ) throws -> String {
        var line = JSONLine()
        JobText.add(details.summary, to: &line)
        if case .running = details.summary.state {
            line.add("suspended", store.isSuspended(details.summary.id))
        }
        if let schedule = details.schedule {
            line.add("schedule", schedule)
            line.add("planned", details.plannedTime.map { TimeText.iso($0) })
        }
        if let command = JobText.command(name: details.summary.name, payload: details.payload) {
            JobText.add(command, to: &line)
            let input = details.extras.withUnsafeBytes { InputMark.values($0) }
            JobText.add(input: input, to: &line)
        } else if let payload = details.payloadJSON() {
            line.addRaw("payload", oneLine(payload))
        } else {
            line.add("payload", details.payload)
        }
        line.add(
            "attempts",
            objects: details.failedAttempts.map { attempt in
                var part = JSONLine()
                part.add("attempt", attempt.attempt)
                part.add("started", TimeText.iso(attempt.startedAt))
                part.add("microseconds", attempt.runTime.wholeMicroseconds)
                part.add("error", "\(attempt.failure.type): \(attempt.failure.message)")
                return part
            })
        if let end = outcome?.end {
            switch end.cause {
            case .exited(let code): line.add("exit", Int(code))
            case .signalled(let signal, _): line.add("signal", Int(signal))
            case .lost: break
            }
            line.add("stdout", try OutputText.bytes(end.output, store))
            line.add("stderr", try OutputText.bytes(end.errorOutput, store))
            for (name, output) in [("stdout_bytes", end.output), ("stderr_bytes", end.errorOutput)]
            {
                line.add(name, Int(clamping: output.byteCount))
            }
            for (name, output) in [("stdout_cut", end.output), ("stderr_cut", end.errorOutput)]
            where output.cutByteCount > 0 {
                line.add(name, Int(clamping: output.cutByteCount))
            }
        } else if let result = details.resultJSON(), details.resultCodec != CommandJob.codec {
            line.addRaw("result", oneLine(result))
        }
        return line.line
    }

    /// Line breaks stand only between the tokens of JSON text, never inside of one.
    static func oneLine(_ json: String) -> String {
        String(decoding: json.utf8.map { $0 == 10 || $0 == 13 ? 32 : $0 }, as: UTF8.self)
    }
}
