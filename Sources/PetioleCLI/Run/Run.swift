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
            EXAMPLES
              petiole run 'gzip -9 < {} > {}.gz' ::: logs/*.log
              find . -name '*.png' -print0 | petiole run -0 -j4 --bar optipng -quiet
              petiole run --retries 3 'curl -fsS {} | sha256sum' < urls.txt > sums.txt
              petiole run --dry-run 'convert {} {.}.png' ::: *.jpg
              petiole run --csv -a people.csv 'mail -s {subject} {address} < {letter}'
              petiole run echo {2}-{1} ::: a b ::: 1 2 3
              petiole run -j 50% --delay 0.2 --timeout 300% --tag wget -q < urls.txt
              petiole run --set-jobs 8 'gzip -9 < {} > {}.gz'
              petiole run --pipe --block 10M -k 'grep -c ERROR' < large.log
              petiole run --then 'sort *.part > all' './count {} > {}.part' ::: *.log

            INPUTS
            They follow :::, or come from a file (:::: or -a), from the files below a folder (--find, --glob), or from \
            standard input, one a line; empty lines are left out. Several lists give all combinations; one with + behind \
            (:::+, ::::+) goes with the list before it, one by one. Rows of --csv, --tsv and --colsep have columns, lines of \
            --jsonl fields. There may be any number: few are held in memory, of several lists all but the first.

            THE COMMAND
            Several words are a program and its arguments, without a shell. One word is a line for /bin/sh, in which \
            the input stays one literal argument whatever it holds; a line that says the same without a shell is run without.

              {}         the input; without any place it goes to the end
              {.}        without its extension         {/}   its name      {//}  its folder
              {/.}       its name without extension    {#}   its number
              {%}        which of the commands at once it is: 1, 2, ...
              {1} {2}    of several lists, columns, or inputs together (-n); {}: all
              {name}     that column or field; {2/} and {name.} are parts of these

            A column is found by its name (letters, digits, and _ . - or blanks inside) before its number; in single quotes a \
            name is left as it is. The names are so part of the command: read headers of those you trust. The line finds the input in \
            PETIOLE_INPUT, too. Do not hand {} to another shell inside of the line; {} in $(( )) or a here-document is refused.

            An input of which no command can be made (more than 128 KiB, too few columns, no such field) is a job that \
            fails; the others go on.

            THE SAME LINE AGAIN
            A run is known by its command, the working directory, and what an input is made of (lists, columns, fields, \
            -n); no other option is part of it. An input is known by its bytes and by which of its equals it is. Started \
            again, the same line runs what has not ended and what is new. What failed stays failed until --retry-failed (once \
            more, with the same --retries), --redo (all that is listed, also what succeeded) or --fresh (as if never run).

            What ended before is printed again, first, unless standard output is a terminal: so a file that it is sent to is \
            whole. A job keeps its command, --env, --workdir, --tmpdir, --nice, --retries and the time of --timeout from \
            the start that accepted it; all else is as each start says. --runs lists the runs that the store knows, with \
            what is left of them.

            WHILE IT RUNS
            SIGUSR1 lets one more command run at once and SIGUSR2 one less; --set-jobs, from another terminal, so many. What runs goes on. \
            Ctrl-C lets running commands end (30 s at most) and stops; a second one asks them to end and kills them after 10 s, a third one \
            kills them at once. --halt stops the run when so many have failed, succeeded or ended, or so many percent of \
            all inputs (three at least, and when these are read): soon lets the running ones end, now asks them to. A run \
            that is paused (petiole pause) waits until it is resumed.

            --resources gpu=1 lets a command begin when one of "gpu" is free in the store, whichever processes want it; \
            `petiole limit --resource gpu=2` says that there are two. Who needs several takes all or none; \
            between processes there is no turn.

            OUTPUT
            It is printed when the command's outcome is on the disk, whole, in the order of finishing (-k: of the inputs). \
            To a terminal control characters are printed as \\u{1b}, unless --raw. --line-buffer prints lines while commands run; \
            one of more than 1 MiB comes in pieces. A command whose output has no room on the disk waits until it has, \
            and this is said; --output-limit cuts an output, says how much was behind, and lets the command go on.

            --results writes DIR/1/<input>/stdout, stderr, seq (the job's number) and exitval (128 + n for signal n), as GNU \
            parallel does; / in an input is +z and + is ++ there, control bytes +x and their hex digits, and a long name is \
            cut and ends with +h and a digest. A file has its name when it is whole, and exitval comes last: the same \
            line again writes what is not there, and replaces what a job came to before.

            ONE LARGE INPUT
            With --pipe standard input, or the file of -a, is cut into blocks, each the standard input of a command, which \
            has no {}; {#} is the number of the block. A block ends with the first record that ends at or behind its size \
            (--block 10M, --recend, --recstart), or has so many records (-N 1000). A regular file is read in place and must stay as it is until the run has \
            ended: a command whose file has changed fails. A pipe's blocks lie in the store until their command has \
            succeeded, no more at once than --blocks-ahead. The same file, or the same bytes from the pipe, go on; another \
            size or other records are another run.

            AFTER THE RUN
            The line of --then runs once when all inputs have succeeded, that of --on-failure when all have ended and some \
            did not; each is a job of the run with as many --retries, and {} means nothing in it. The same line again finishes \
            what a crash interrupted and does not repeat what has ended; when there were new inputs, it runs once more. What \
            failed stays failed until `petiole requeue` of its job and the same line, or --fresh.

            EXIT STATUS
            0 all succeeded; 1 to 100 so many failed or were cancelled, 101 more (of those that have ended, after --halt); 102 the command of --then \
            or --on-failure failed, however the inputs ended; 125 petiole itself failed; 126 and 127 the program cannot be executed or is not \
            there; 128 + n stopped by signal n.
            """)

    @OptionGroup var inputs: RunInputOptions
    @OptionGroup var blocks: RunPipeOptions
    @OptionGroup var pace: RunPaceOptions
    @OptionGroup var surroundings: RunSurroundingsOptions
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
        if blocks.isOn { try blocks.checkAlone(inputs) } else { try inputs.checkCount() }
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
        let place = try surroundings.workingDirectory(in: directory)
        // Before anything is waited for: it might come to nothing.
        if let jobs = pace.wantedJobs {
            let identity =
                words.isEmpty
                ? nil : try identity(template(words, directory, inputs.rules), directory, nil)
            if identity != nil, try inputs.shape.hasHeader, !blocks.isOn {
                throw Failure.usage(
                    """
                    what its columns are named is a part of that run, and is not read for --set-jobs
                    leave the line out when no other run goes on, or send SIGUSR1 for one command more: petiole run --runs --json names its process
                    """)
            }
            return try SetJobs.set(jobs, identity, location.openExisting())
        }
        let plain = try template(words, place, try inputs.rules)
        // A path may mean something else where it runs.
        if place == directory || words.first?.contains("/") != true { try plain.checkProgram() }
        let followUps = try [(FollowUp.Occasion.then, then), (.onFailure, onFailure)].compactMap {
            occasion, line in
            try line.map {
                try FollowUp(occasion, line: Arguments.bytes(of: $0), directory: directory)
            }
        }
        let stopReading = try WakePipe()
        let reader =
            blocks.isOn ? nil : try inputs.reader(for: plain, stop: stopReading.reading)
        let template = try reader.map { try self.template(words, place, $0.rules) } ?? plain
        try template.check(reader?.names)
        let identity = try self.identity(template, directory, reader?.names)
        let session = RunSession(
            identity: identity, rules: template.rules,
            pace: pace, output: output, again: again,
            surroundings: try surroundings.surroundings(in: directory),
            jobLog: try output.jobLog.map { try JobLog(Arguments.bytes(of: $0)) },
            followUps: followUps, location: location, stopReading: stopReading,
            hasOwnDirectory: place != directory)
        do {
            if let reader {
                try await run(session, InputFeed(reader, template))
            } else {
                try await run(
                    session,
                    blocks.feed(
                        files: inputs.inputFiles.map { Arguments.bytes(of: $0) },
                        records: inputs.count,
                        words: template.words, isLine: template.isLine, directory: place,
                        from: directory, run: identity.queue(generation: 1),
                        stop: stopReading.reading))
            }
        } catch {
            guard var failure = Failure(error) else { throw error }
            // 1 to 101 count failed jobs, which is said without a message.
            if !failure.message.isEmpty, failure.status != 64, failure.status < 125 {
                failure.status = 125
            }
            throw failure
        }
    }

    private func run(_ session: RunSession, _ feed: some RunFeed) async throws {
        if dryRun { try session.preview(feed) } else { try await session.run(feed) }
    }

    private func template(
        _ words: [String], _ directory: [UInt8], _ rules: PlaceRules
    ) throws -> CommandTemplate {
        try CommandTemplate(
            words: words.map { Arguments.bytes(of: $0) }, directory: directory, rules: rules,
            joins: inputs.shell)
    }

    private func identity(
        _ template: CommandTemplate, _ directory: [UInt8], _ names: [[UInt8]]?
    ) throws -> RunIdentity {
        RunIdentity(
            template, directory: directory,
            shape: try blocks.isOn
                ? blocks.mark(records: inputs.count) : inputs.shape.mark(names: names))
    }
}
