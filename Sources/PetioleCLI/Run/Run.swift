import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole run`: a command for each input, durable, resumed by the same line.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command for each input; the same line again goes on where it was.",
        usage: "petiole run [options] <command> ... [::: <input> ...]",
        discussion: """
            {} stands for the input, also inside of words; without one the input goes to the end. As in GNU parallel \
            {.} is the input without its extension, {/} its name and {//} its folder, {/.} the name without extension, \
            {#} the number of the input. A command given as \
            one word is a line for /bin/sh, in which the input stays one literal argument whatever it holds (the line \
            finds it in the variable PETIOLE_INPUT, and its parts in others; do not hand {} to another shell inside of the line); a line with {} in $(( )) or in a here-document is \
            refused. Several words \
            are a program and its arguments, without a shell. Inputs follow ::: or come from a file (-a) or standard input, one a line; empty lines are left out, and an input has at \
            most 60,000 bytes.

            Output is printed when a command's outcome is on the disk, whole, in the order of finishing. A run is \
            known by its command and the working directory, an input by its bytes. Started again, the same line runs \
            what has not ended and what is new; what failed stays failed until --retry-failed or --fresh. What ended before is printed \
            again, first, unless standard output is a terminal: so a file that it is sent to is whole; \
            standard error has a line about it.

            --dry-run prints the commands that would be started now, one a line as a shell reads them, and starts none.

            With --retry-failed what did not succeed runs once more, with the same --retries; else it stays as it is. --halt \
            stops the run when so many commands have failed, succeeded or ended, or so many percent of those that ended \
            (three at least): soon lets the running ones end, now asks them to; the same line again goes on.

            --runs lists what runs there were, with what is left of them; with --json one object each: v, queue, run, \
            directory, jobs, succeeded, failed, left, pid.

            Ctrl-C lets running commands end (30 s at most) and stops; a second one asks them to end and kills them \
            after 10 s, a third one kills them at once.

            With --then a line for /bin/sh runs once when all inputs have succeeded, with --on-failure one when all have \
            ended and some did not; each as a job of the run, with as many --retries, and {} means nothing in it. Once \
            holds for the inputs that were run: the same line again finishes what a crash interrupted, and does not \
            repeat what has ended; when there were new inputs, it runs once more. What failed stays failed, until \
            `petiole requeue` of its job and the same line, or --fresh.

            Exit status: 0 all succeeded; 1 to 100 so many failed or were cancelled, 101 more (of those that have ended, after --halt); 102 the command of --then \
            or --on-failure failed, however the inputs ended; 125 petiole itself failed, 126 and 127 the program cannot be executed or is not there; 128 + n stopped by signal n.

            EXAMPLES
              petiole run 'gzip -9 {}' ::: logs/*.log
              find . -name '*.png' -print0 | petiole run -0 -j4 --bar optipng -quiet
              petiole run --dry-run 'convert {} {.}.png' ::: *.jpg
              petiole run --retries 3 'curl -fsS {} | sha256sum' < urls.txt > sums.txt
              petiole run --then 'sort *.part > all' './count {} > {}.part' ::: *.log
            """)

    @OptionGroup var inputs: RunInputOptions
    @OptionGroup var pace: RunPaceOptions
    @OptionGroup var output: RunOutputOptions
    @OptionGroup var again: RunAgainOptions

    @Flag(help: "List the runs that the store knows, and do nothing else.")
    var runs = false

    @Flag(help: "With --runs, print a JSON object for each.")
    var json = false

    @Flag(help: "Print the commands that would be started now, and start none.")
    var dryRun = false

    // Unconditional: a line for the shell may begin with a dash.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Run this line once, when all inputs have succeeded.", valueName: "command"))
    var then: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Run this line once, when all inputs have ended and some have not succeeded.",
            valueName: "command"))
    var onFailure: String?

    @OptionGroup var location: StoreLocation

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp(
            "A program and its arguments, or one word: a line for the shell.", valueName: "command")
    )
    var command: [String] = []

    func validate() throws {
        if json, !runs {
            throw ValidationError("--json is for --runs; petiole jobs --json tells of the jobs")
        }
        if let first = command.first, first.hasPrefix("-"), first != "--" {
            // The parser takes it for a part of the command.
            if ["-h", "--help"].contains(first) { throw CleanExit.helpRequest(self) }
            throw ValidationError("Unknown option '\(visible(first))'")
        }
    }

    func run() async throws {
        if runs { return try RunList.show(location.openExisting(), json: json) }
        let directory = try Surroundings.workingDirectory()
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        let template = try CommandTemplate(
            words: words.map { Arguments.bytes(of: $0) }, directory: directory)
        try template.checkProgram()
        let followUps = try [(FollowUp.Occasion.then, then), (.onFailure, onFailure)].compactMap {
            occasion, line in
            try line.map {
                try FollowUp(occasion, line: Arguments.bytes(of: $0), directory: directory)
            }
        }
        let stopReading = try WakePipe()
        let reader = try inputs.reader(stop: stopReading.reading)
        let session = RunSession(
            template: template, identity: RunIdentity(template, directory: directory),
            pace: pace, output: output, again: again,
            jobLog: try output.jobLog.map { try JobLog(Arguments.bytes(of: $0)) },
            followUps: followUps, location: location, stopReading: stopReading)
        do {
            if dryRun { try session.preview(reader) } else { try await session.run(reader) }
        } catch {
            guard var failure = Failure(error) else { throw error }
            // 1 to 101 count failed jobs, which is said without a message.
            if !failure.message.isEmpty, failure.status != 64, failure.status < 125 {
                failure.status = 125
            }
            throw failure
        }
    }
}
