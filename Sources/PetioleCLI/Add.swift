import ArgumentParser
import Petiole

/// `petiole add`: a command for whoever runs its queue, on the disk when the id is printed.
struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Add a command to a queue, for `petiole worker` to run.",
        usage: "petiole add [options] -- <command> ...",
        discussion: """
            Prints the job's id once the job is on the disk. The working directory and the arguments are kept byte for \
            byte; no shell reads them. Of the environment these variables are kept: HOME, LANG, LC_*, LOGNAME, PATH, \
            SHELL, TERM, TMPDIR, TZ, USER; and those that --env names. What is kept lies in the store.

            EXAMPLES
              petiole add -- make -C docs html
              petiole add --queue nightly --retries 3 --env API_KEY -- ./export --all
              petiole add -- sh -c 'pg_dump shop | gzip > shop.gz'
            """)

    @Option(help: ArgumentHelp("The queue.", valueName: "name"))
    var queue = CommandQueue.standard

    @Option(
        parsing: .unconditional, help: ArgumentHelp("0 to 9, 0 first.", valueName: "n"))
    var priority = 4

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Attempts after the first failed one, 0 to 254.", valueName: "n"))
    var retries = 0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Asked to stop by SIGTERM after this: 90s, 12h. It has failed then.", valueName: "time")
    )
    var timeout: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Ended by SIGKILL after this; 10 s after the SIGTERM unless given.", valueName: "time"))
    var hardTimeout: String?

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

    @Flag(help: "Print a JSON object: v, id, queue.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("The program and its arguments.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        guard (0...9).contains(priority) else { throw ValidationError("--priority takes 0 to 9") }
        guard (0...254).contains(retries) else { throw ValidationError("--retries takes 0 to 254") }
        if let first = command.first, first.hasPrefix("-"), first != "--" {
            // The parser takes it for a part of the command.
            if ["-h", "--help"].contains(first) { throw CleanExit.helpRequest(self) }
            throw ValidationError("Unknown option '\(visible(first))'")
        }
        try CommandQueue.check(queue)
        for (name, text) in [("--timeout", timeout), ("--hard-timeout", hardTimeout)] {
            if let text, TimeText.age(text) == nil {
                throw ValidationError("\(name) takes a number and one of s, m, h, d, w: 90s, 12h")
            }
        }
    }

    private var timeLimit: TimeLimit? {
        if timeout == nil, hardTimeout == nil { return nil }
        return TimeLimit(
            soft: timeout.flatMap { TimeText.age($0) },
            hard: hardTimeout.flatMap { TimeText.age($0) })
    }

    func run() async throws {
        let words = (command.first == "--" ? Array(command.dropFirst()) : command)
            .map { Arguments.bytes(of: $0) }
        guard let program = words.first, !program.isEmpty else {
            throw Failure.usage(
                "there is no command to add\nfor example: petiole add -- make -C docs html")
        }
        let job: Command
        do {
            job = try Command(
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
        let store = try location.openOrMake()
        var options = EnqueueOptions(queue: queue, priority: priority)
        options.maxAttempts = retries + 1
        options.timeLimit = timeLimit
        if !tag.isEmpty { options.metadata = JobMetadata(tags: tag) }
        let ids = try await store.enqueue(
            commands: [JobStore.CommandRequest(command: job)], options: options)
        guard let id = ids.first?.lowerBound else { return }
        if json {
            var line = JSONLine()
            line.add("id", Int(clamping: id))
            line.add("queue", queue)
            Standard.output.line(line.line)
        } else {
            Standard.output.line(String(id))
        }
        if var failure = Standard.output.flush().flatMap(Failure.output) {
            // Else the job would be taken for not added, and added again.
            failure.message += "\nthe job is on the disk all the same, with the id \(id)"
            throw failure
        }
    }
}

/// The queue of commands that are not told another.
enum CommandQueue {
    static let standard = "commands"

    static func check(_ queue: String) throws {
        guard NameForm.isValid(queue) else {
            throw ValidationError(
                """
                '\(visible(String(queue.prefix(80))))' is not a queue name: 1 to 64 letters, digits, dots, dashes and \
                underscores, a letter or digit first
                """)
        }
    }
}

/// Which variables go with a job that another process will run, maybe for other eyes: few, unless asked for.
enum KeptEnvironment {
    private static let names: Set<String> = [
        "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
    ]

    /// - Parameter wishes: `inherit`, `none`, names, and `name=value`; a later value goes before an earlier one.
    static func choose(from environment: [[UInt8]], _ wishes: [[UInt8]]) -> [Command.Variable] {
        let keepsAll = wishes.contains(Array("inherit".utf8))
        let keepsNone = wishes.contains(Array("none".utf8))
        let named = wishes.filter { !$0.contains(equals) }
        var chosen: [Command.Variable] = []
        for entry in environment {
            guard let variable = split(entry) else { continue }
            if keepsAll || !keepsNone && isKept(variable.name) || named.contains(variable.name) {
                chosen.append(variable)
            }
        }
        for wish in wishes {
            guard let variable = split(wish) else { continue }
            chosen.removeAll { $0.name == variable.name }
            chosen.append(variable)
        }
        return chosen
    }

    private static let equals = UInt8(ascii: "=")

    private static func isKept(_ name: [UInt8]) -> Bool {
        let text = String(decoding: name, as: UTF8.self)
        return names.contains(text) || text.hasPrefix("LC_")
    }

    private static func split(_ entry: [UInt8]) -> Command.Variable? {
        guard let place = entry.firstIndex(of: equals), place > 0 else { return nil }
        return Command.Variable(
            name: Array(entry[..<place]), value: Array(entry[(place + 1)...]))
    }
}
