import Petiole

/// Jobs and their states in words and in JSON.
enum JobText {
    /// One word, the same as `--state` takes.
    static func word(_ state: JobState) -> String {
        switch state {
        case .ready: "ready"
        case .waiting: "waiting"
        case .parked: "parked"
        case .paused: "paused"
        case .awaiting: "awaiting"
        case .held: "held"
        case .running: "running"
        case .ended(let outcome): word(outcome.kind)
        }
    }

    static func word(_ kind: Outcome.Kind) -> String {
        switch kind {
        case .succeeded: "succeeded"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .deadLetter: "dead"
        case .expired: "expired"
        case .discarded: "discarded"
        case .dropped: "dropped"
        }
    }

    /// The command line of a job that is a command; nil for any other.
    static func command(name: String, payload: [UInt8]) -> Command? {
        guard name == CommandJob.name else { return nil }
        do throws(CompactFault) {
            return try Command.decode(payload)
        } catch {
            // Shown as any payload that cannot be read.
            return nil
        }
    }

    /// A command as a person wants to see it: of a shell line of `run`, the line and the input, as they are given to it.
    static func line(
        _ command: Command, queue: String, input: [[UInt8]]?, _ lines: inout RunLine
    ) -> String {
        guard let input, let template = lines.template(of: command, queue: queue) else {
            return command.description
        }
        return Command.quoted(template) + " ::: "
            + input.map { Command.quoted($0) }.joined(separator: " ")
    }

    /// The same where there is room for its beginning alone: what tells it from others of its run comes first.
    static func brief(
        _ command: Command, queue: String, input: [[UInt8]]?, _ lines: inout RunLine
    ) -> String {
        guard let input, let template = lines.template(of: command, queue: queue) else {
            return command.description
        }
        let values = input.map { Command.quoted($0) }.joined(separator: " ")
        return values + " in " + Command.quoted(template)
    }

    /// The fields that `jobs` and `show` share.
    static func add(_ summary: JobSummary, to line: inout JSONLine) {
        line.add("id", Int(clamping: summary.id.rawValue))
        line.add("state", word(summary.state))
        line.add("queue", summary.queue)
        line.add("priority", summary.priority)
        line.add("name", summary.name)
        line.add("accepted", TimeText.iso(summary.acceptedAt))
        if !summary.metadata.tags.isEmpty {
            line.add("tags", summary.metadata.tags.map { Array($0.utf8) })
        }
        add(summary.state, to: &line)
    }

    /// What a state has besides its word.
    static func add(_ state: JobState, to line: inout JSONLine) {
        switch state {
        case .ended(let outcome):
            line.add("attempt", outcome.attempt)
            line.add("started", TimeText.iso(outcome.startedAt))
            line.add("microseconds", outcome.runTime.wholeMicroseconds)
            line.add("error", outcome.failure.map { "\($0.type): \($0.message)" })
            if let failure = outcome.failure { line.add("fingerprint", failure.fingerprint) }
        case .running(let attempt, let since, let pid):
            line.add("attempt", attempt)
            line.add("started", TimeText.iso(since))
            line.add("pid", pid)
        case .waiting(let due, let attempts):
            line.add("attempt", attempts)
            line.add("due", TimeText.iso(due))
        case .awaiting(let workflow): line.add("workflow", Int(clamping: workflow.rawValue))
        case .held(let after):
            line.addRaw("after", "[\(after.map(\.description).joined(separator: ","))]")
        case .ready, .parked, .paused: break
        }
    }

    /// The input of a command of `run`; of one with several values all of them.
    static func add(input: [[UInt8]]?, to line: inout JSONLine) {
        guard let input else { return }
        if input.count == 1 { line.add("input", input[0]) } else { line.add("inputs", input) }
    }

    static func add(_ command: Command, to line: inout JSONLine) {
        line.add("arguments", command.arguments)
        if let directory = command.workingDirectory { line.add("directory", directory) }
    }
}
