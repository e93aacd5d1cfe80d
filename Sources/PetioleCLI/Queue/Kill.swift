import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole kill`: a signal for commands that run.
struct Kill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the command of a job that runs, or send it another signal.",
        discussion: """
            The signal goes to the command's whole process group. Without --signal it is SIGTERM, and SIGKILL when the \
            command is still there after 10 s; `kill` waits until it has ended. With --signal that one is sent, and nothing \
            is waited for. The process is known by when it started: a stranger that has got its pid is never hit.

            The attempt has failed then, as if the command had died by itself: where retries are left, another follows. To \
            end the job for good: petiole cancel. Says of each: killed, signalled, not running, missing. Exit status: 0 \
            when each was signalled; 75 when one does not run.

            EXAMPLES
              petiole kill 17
              petiole kill --signal HUP 17 18
            """)

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("This one alone: TERM, KILL, USR1, 9.", valueName: "signal"),
        transform: SignalName.init)
    var signal: SignalName?

    @Flag(help: "Print a JSON object for each: v, id, result.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber]

    func run() async throws {
        let store = try location.openExisting()
        var idle: [JobID] = []
        var missing: [JobID] = []
        for id in ids.map(\.id) {
            var result = "not running"
            do {
                let state = try store.state(of: id)
                if let process = store.commandProcess(of: id), !state.isEnded {
                    result = try end(process, id)
                }
            } catch StoreError.noSuchJob {
                result = "missing"
            }
            if result == "not running" { idle.append(id) }
            if result == "missing" { missing.append(id) }
            if json {
                var line = JSONLine()
                line.add("id", Int(clamping: id.rawValue))
                line.add("result", result)
                Standard.output.line(line.line)
            } else if result != "missing" {
                Standard.output.line("\(id) \(result)")
            }
        }
        if let first = missing.first { throw Failure(StoreError.noSuchJob(first)) }
        if let first = idle.first {
            throw Failure(
                """
                no command of job \(first) runs: see petiole show \(first)
                to see to it that it never does: petiole cancel \(first)
                """, status: 75)
        }
    }

    private func end(_ process: CommandProcess, _ id: JobID) throws -> String {
        if let signal {
            return try SignalName.check(process.signalGroup(signal.number), id)
                ? "signalled" : "not running"
        }
        guard try SignalName.check(process.signalGroup(SIGTERM), id) else { return "not running" }
        // One that is suspended takes no other signal before it goes on.
        _ = process.signalGroup(SIGCONT)
        if !process.awaitEnd(atMost: .seconds(10)) {
            _ = process.signalGroup(SIGKILL)
            // What not even that ends waits for a device that does not answer.
            if !process.awaitEnd(atMost: .seconds(10)) { return "signalled" }
        }
        return "killed"
    }
}

/// A signal as it is typed: by name, with or without SIG, or by number.
struct SignalName: Sendable {
    let number: Int32

    private static let names: [String: Int32] = [
        "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "KILL": SIGKILL, "USR1": SIGUSR1,
        "USR2": SIGUSR2, "TERM": SIGTERM, "CONT": SIGCONT, "STOP": SIGSTOP, "TSTP": SIGTSTP,
        "ALRM": SIGALRM, "WINCH": SIGWINCH, "ABRT": SIGABRT,
    ]

    /// What came of sending one to the process of a job.
    /// - Returns: whether it was there.
    static func check(_ code: Int32, _ id: JobID) throws -> Bool {
        if code == EPERM {
            throw Failure(
                """
                the process of job \(id) belongs to another user, and cannot be signalled
                ask its worker instead: petiole cancel \(id)
                """, status: 77)
        }
        return code == 0
    }

    init(_ text: String) throws {
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = Self.names[name] {
            self.number = number
        } else if let number = Int32(text), (1...64).contains(number) {
            self.number = number
        } else {
            throw ValidationError(
                "'\(visible(text))' is no signal; allowed are 1 to 64, and \(Self.names.keys.sorted().joined(separator: ", "))"
            )
        }
    }
}
