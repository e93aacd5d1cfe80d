import Petiole

/// Jobs and their states in words and in JSON.
enum JobText {
    /// One word, the same as `--state` takes.
    static func word(_ state: JobState) -> String {
        switch state {
        case .ready: "ready"
        case .waiting: "waiting"
        case .parked: "parked"
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

    /// What a person wants to see of a job in a list: a command's line, else its type.
    static func title(name: String, payload: [UInt8], input: [UInt8]) -> String {
        guard let command = command(name: name, payload: payload) else { return visible(name) }
        if input.isEmpty { return command.description }
        // A run's commands differ in their inputs; a shell line does not show them.
        if case .inheritedWith = command.environment, let line = command.arguments.last {
            return Command.quoted(line) + " ::: " + Command.quoted(input)
        }
        return command.description
    }

    /// The fields that `jobs` and `show` share.
    static func add(_ summary: JobSummary, to line: inout JSONLine) {
        line.add("id", Int(clamping: summary.id.rawValue))
        line.add("state", word(summary.state))
        line.add("queue", summary.queue)
        line.add("priority", summary.priority)
        line.add("name", summary.name)
        line.add("accepted", TimeText.iso(summary.acceptedAt))
        switch summary.state {
        case .ended(let outcome):
            line.add("attempt", outcome.attempt)
            line.add("started", TimeText.iso(outcome.startedAt))
            line.add("microseconds", outcome.runTime.wholeMicroseconds)
            line.add("error", outcome.failure.map { "\($0.type): \($0.message)" })
        case .running(let attempt, let since, let pid):
            line.add("attempt", attempt)
            line.add("started", TimeText.iso(since))
            line.add("pid", pid)
        case .waiting(let due, let attempts):
            line.add("attempt", attempts)
            line.add("due", TimeText.iso(due))
        case .ready, .parked: break
        }
    }

    static func add(_ command: Command, to line: inout JSONLine) {
        line.add("arguments", command.arguments)
        if let directory = command.workingDirectory { line.add("directory", directory) }
    }
}
