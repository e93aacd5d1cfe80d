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

            With --after the command runs when all of those jobs have succeeded, whatever their queue. When one of them ends \
            otherwise, or had, the command is cancelled and does not run: `petiole show` says because of which, and `petiole \
            requeue` lets it run all the same. A job that has ended as awaited counts at once, and stays counted when it is \
            requeued later. With --after-any any end will do.

            EXAMPLES
              petiole add -- make -C docs html
              petiole add --queue nightly --retries 3 --env API_KEY -- ./export --all
              petiole add -- sh -c 'pg_dump shop | gzip > shop.gz'
              petiole add --at 22:30 --expires 6h -- ./backup
              petiole add --in 2h -- ./remind
              petiole add --after 17,18 -- ./publish
            """)

    @OptionGroup var options: CommandOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Not before: the next 18:00 of this system's clocks, or an instant (2026-12-24T18:00).",
            valueName: "time"))
    var at: String?

    @Option(
        name: .customLong("in"), parsing: .unconditional,
        help: ArgumentHelp("Not before so long from now: 90s, 2h, 1d.", valueName: "time"))
    var wait: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "A job that has not started so long from now, or from when it may, never will: 6h.",
            valueName: "time"))
    var expires: String?

    @OptionGroup var order: AfterOptions

    @Flag(help: "Print a JSON object: v, id, queue; with --after also state.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("The program and its arguments.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if let first = command.first, first.hasPrefix("-"), first != "--" {
            // The parser takes it for a part of the command.
            if ["-h", "--help"].contains(first) { throw CleanExit.helpRequest(self) }
            throw ValidationError("Unknown option '\(visible(first))'")
        }
        if at != nil, wait != nil { throw ValidationError("--at and --in both say when: give one") }
        for (name, text) in [("--in", wait), ("--expires", expires)] {
            if let text, TimeText.age(text) == nil {
                throw ValidationError("\(name) takes a number and one of s, m, h, d, w: 90s, 2h")
            }
        }
    }

    /// When it may start; nil: at once.
    private func due(_ now: WallTime) throws -> JobTime? {
        if let wait { return TimeText.age(wait).map { .after($0) } }
        guard let at else { return nil }
        if let next = TimeText.nextClock(at, after: now) { return .at(next) }
        guard let instant = TimeText.instant(at) else {
            throw Failure.usage(
                "--at takes a time of day (18:00) or an instant: 2026-12-24, 2026-12-24T18:00, with Z for UTC"
            )
        }
        return .at(instant)
    }

    /// A while goes on from when it may start.
    private func expiry(_ due: JobTime?, _ now: WallTime) -> JobTime? {
        guard let expires, let limit = TimeText.age(expires) else { return nil }
        switch due {
        case nil: return .after(limit)
        case .after(let wait): return .after(wait + limit)
        case .at(let instant):
            let start = max(instant, now)
            return .at(
                WallTime(microseconds: start.microseconds + Int64(limit.wholeMicroseconds)))
        }
    }

    func run() async throws {
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        let job = try options.command(words, example: "petiole add -- make -C docs html")
        var enqueueOptions = options.enqueueOptions
        let now = WallTime(microseconds: StoreClock().now)
        enqueueOptions.after = order.predecessors
        enqueueOptions.due = try due(now)
        enqueueOptions.expiry = expiry(enqueueOptions.due, now)
        let store = try location.openOrMake()
        let ids = try await store.enqueue(
            commands: [JobStore.CommandRequest(command: job)], options: enqueueOptions)
        guard let id = ids.first?.lowerBound else { return }
        let state =
            order.predecessors.isEmpty ? nil : try store.state(of: JobID(rawValue: id))
        if json {
            var line = JSONLine()
            line.add("id", Int(clamping: id))
            line.add("queue", options.queue)
            if let state { line.add("state", JobText.word(state)) }
            Standard.output.line(line.line)
        } else {
            Standard.output.line(String(id))
        }
        if var failure = Standard.output.flush().flatMap(Failure.output) {
            // Else the job would be taken for not added, and added again.
            failure.message += "\nthe job is on the disk all the same, with the id \(id)"
            throw failure
        }
        if case .ended(let outcome)? = state, outcome.kind == .cancelled,
            let reason = outcome.failure?.message
        {
            say(
                """
                \(visible(reason)): job \(id) is cancelled and does not run
                to run it all the same: petiole requeue \(id)
                """)
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
