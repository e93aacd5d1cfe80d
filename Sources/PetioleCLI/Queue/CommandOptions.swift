import ArgumentParser
import Petiole

/// How a command is enqueued, and what it finds: what `add` and `schedule add` take.
struct CommandOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The queue.", valueName: "name"), completion: KnownQueue.completion)
    var queue = CommandQueue.standard

    @Option(
        parsing: .unconditional, help: ArgumentHelp("0 to 9, 0 first.", valueName: "n"))
    var priority = 4

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Attempts after the first failed one, 0 to 254.", valueName: "n"))
    var retries = 0

    @OptionGroup var time: TimeLimitOptions

    @Option(
        help: ArgumentHelp(
            "A word by which the job is found; may be given several times.", valueName: "tag"))
    var tag: [String] = []

    @Option(
        name: .customLong("env"),
        help: ArgumentHelp(
            "NAME keeps a variable, NAME=VALUE sets one; inherit keeps all, none drops all but those.",
            valueName: "variable"))
    var variables: [String] = []

    func validate() throws {
        guard (0...9).contains(priority) else { throw ValidationError("--priority takes 0 to 9") }
        if tag.contains(where: { Arguments.isMarked($0) }) {
            throw ValidationError("--tag takes a word in UTF-8")
        }
        guard (0...254).contains(retries) else { throw ValidationError("--retries takes 0 to 254") }
        try CommandQueue.check(queue)
    }

    var enqueueOptions: EnqueueOptions {
        var options = EnqueueOptions(queue: queue, priority: priority)
        options.maxAttempts = retries + 1
        options.timeLimit = time.limit
        if !tag.isEmpty { options.metadata = JobMetadata(tags: tag) }
        return options
    }

    /// The command of these words, to be run in this working directory, with what is kept of this environment. Says so when there
    /// is no such program here.
    /// - Parameter example: what a person who gave none might have meant.
    func command(_ words: [String], example: String) throws -> Command {
        let words = words.map { Arguments.bytes(of: $0) }
        guard let program = words.first, !program.isEmpty else {
            throw Failure.usage("there is no command to add\nfor example: \(example)")
        }
        let command: Command
        do {
            command = try Command(
                arguments: words, workingDirectory: try Surroundings.workingDirectory(),
                environment: .exactly(
                    KeptEnvironment.choose(
                        from: Surroundings.environment(), variables.map { Arguments.bytes(of: $0) })
                ))
        } catch let error as InvalidCommand {
            throw Failure.usage(error.description)
        }
        if ProgramSearch.find(program) == .missing {
            say("there is no program \(Command.quoted(program)) here now; added all the same")
        }
        return command
    }
}
