import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The tool: its commands, and what holds for all of them.
struct PetioleTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "petiole",
        abstract:
            "Runs jobs that survive: what was accepted is on the disk, and goes on after a crash.",
        discussion: """
            The store is a directory: the one given with --store, the one named by PETIOLE_STORE, or the nearest \
            .petiole from the working directory upward. `run`, `add`, `worker`, `schedule add` and `import` make ./.petiole when there \
            is none.

            Exit status: 0 done; 64 wrong usage; 65 the store is damaged or newer; 66 no such store, job or schedule; 73 no store can be made there; 74 the disk, the \
            system or standard output failed; 75 not now, try again later; 77 not permitted. `run` has its own: 0 all succeeded, 1 \
            to 100 so many failed, 101 more did; 102 what followed them failed; 125 petiole itself failed, 127 no such program; 128 + n stopped by \
            signal n. `import`: 1 some jobs were left out.

            EXAMPLES
              petiole run --bar 'gzip -9 < {} > {}.gz' ::: logs/*.log
              petiole add -- make -C docs html
              petiole worker
              petiole status
            """,
        version: Version.text,
        subcommands: [
            Run.self, Add.self, Worker.self, Cancel.self, Requeue.self, Edit.self,
            Pause.self, Resume.self, Limit.self, CapacityCommand.self, Status.self, Tail.self,
            Health.self,
            Jobs.self, Show.self, WorkflowCommand.self, ScheduleCommand.self,
            Failures.self,
            Follow.self, LogCommand.self, Top.self, Report.self,
            Wait.self, Drain.self, Prune.self, Purge.self, Backup.self,
            Compact.self, Doctor.self,
            Kill.self, Env.self, Clean.self, ConfigCommand.self,
            Export.self, Import.self,
        ])
}

/// Where the process begins.
///
/// Not the parser's own asynchronous `main`: when that is entered, threads run already that know nothing of the signals
/// which a run takes, and any thread that does not block a signal may be the one that dies of it.
@main
enum Entry {
    static func main() {
        Standard.fillClosed()
        if Arguments.command.map({ stoppable.contains($0) }) == true {
            StopSignals.block(
                resizes: Arguments.command == "run", windowSize: Arguments.command == "top")
        }
        // Detached: this thread, the main actor's, only waits.
        Task.detached {
            do {
                var command = try PetioleTool.parseAsRoot(
                    Settings.applied(to: Arguments.forParser))
                if var asynchronous = command as? any AsyncParsableCommand {
                    try await asynchronous.run()
                } else {
                    try command.run()
                }
                end(nil)
            } catch {
                end(error)
            }
        }
        // The task ends the process.
        while true { pause() }
    }

    /// Commands that take the signals by which they are stopped and suspended.
    private static let stoppable = ["run", "worker", "tail", "follow", "top"]

    private static func end(_ error: (any Error)?) -> Never {
        // Many jobs may come after one that has ended here: the stores are not closed, the process just ends.
        JobStore.finishFollowers()
        if let error {
            if let failure = Failure(error) { failure.end() }
            endParsing(error)
        }
        if let failure = Standard.output.flush().flatMap(Failure.output) { failure.end() }
        exit(0)
    }
}

/// How the argument parser ends the process: with help that was asked for, or with what is wrong.
private func endParsing(_ error: any Error) -> Never {
    let code = PetioleTool.exitCode(for: error)
    // What was typed stands in the text, bytes that are no UTF-8 under their mark.
    let lines = Arguments.withoutMarks(PetioleTool.fullMessage(for: error))
        .split(separator: "\n", omittingEmptySubsequences: false)
    let text = lines.map { visible(String($0)) }.joined(separator: "\n")
    let target = code.isSuccess ? Standard.output : Standard.error
    if !text.isEmpty { target.line(text) }
    Standard.error.flush()
    if !code.isSuccess, let hint = Settings.blame(text) { say(hint) }
    Failure("", status: code.rawValue).end()
}

/// What `--version` prints.
enum Version {
    static let number = "0.1.0"

    static var text: String {
        let forms = FormatVersions.payloads.map { "\($0.number) \($0.name)" }
        return """
            \(number)
            store format \(FormatVersions.store)
            payload forms \(forms.joined(separator: ", "))
            json schema \(JSONLine.version)
            """
    }
}
