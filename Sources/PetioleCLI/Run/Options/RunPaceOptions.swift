import ArgumentParser
import Petiole

/// How many commands of `run` go on at once, what a start waits for, how long and how often each may try, and when the run
/// stops early.
struct RunPaceOptions: ParsableArguments {
    @Option(
        name: [.customShort("j", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp(
            "Commands at once: \(JobsAtOnce.help); else one for each usable processor.",
            valueName: "n"))
    var jobs: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Let a run that goes on elsewhere run so many at once, and do nothing else: that of the same line, or the only one.",
            valueName: "n"))
    var setJobs: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Start a command so long after the one before, at least: \(ShortTime.help).",
            valueName: "time"))
    var delay: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Start no command while less memory than this is available: 4G.", valueName: "size"))
    var memfree: String?

    @OptionGroup var resources: ResourceOptions

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Attempts after the first failed one, 0 to 254.", valueName: "n"))
    var retries = 0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The longest wait before the first retry; doubled for each further one, up to 10 minutes. Any time up to that is waited. 1 s unless given.",
            valueName: "time"))
    var backoff: String?

    @Option(
        name: [.long, .customLong("soft-timeout")], parsing: .unconditional,
        help: ArgumentHelp(
            "Asked to stop by SIGTERM after this: 90s, 12h; or 200%: of the median of those that have succeeded, when there are three. It has failed then.",
            valueName: "time"))
    var timeout: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Ended by SIGKILL after this; 10 s after the SIGTERM unless given.", valueName: "time"))
    var hardTimeout: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Stop when so many have come to that: soon or now, and fail, success or done: soon,fail=3, now,done=50%.",
            valueName: "when"))
    var halt: String?

    @Flag(help: "Go on when commands fail. This is what happens in any case.")
    var keepGoing = false

    func validate() throws {
        for (name, text) in [("--jobs (-j)", jobs), ("--set-jobs", setJobs)] {
            if let text, JobsAtOnce(text) == nil {
                throw ValidationError("\(name) takes \(JobsAtOnce.help)")
            }
        }
        for (name, text) in [
            ("--delay", delay), ("--backoff", backoff), ("--hard-timeout", hardTimeout),
        ] {
            if let text, ShortTime.duration(text) == nil {
                throw ValidationError("\(name) takes a time: \(ShortTime.help)")
            }
        }
        if let timeout, medianPercent == nil, ShortTime.duration(timeout) == nil {
            throw ValidationError(
                "--timeout takes a time, \(ShortTime.help), or a percentage: 200%, 100% to 100000%")
        }
        if let memfree, SizeText.bytes(memfree) == nil {
            throw ValidationError("--memfree takes a size: 512M, 4G")
        }
        if let halt, HaltRule(halt) == nil {
            throw ValidationError(
                "--halt takes soon or now, a comma, and fail, success or done with a number or percent: soon,fail=3"
            )
        }
        guard (0...254).contains(retries) else { throw ValidationError("--retries takes 0 to 254") }
        if let soft = timeout.flatMap({ ShortTime.duration($0) }),
            let hard = hardTimeout.flatMap({ ShortTime.duration($0) }), hard <= soft
        {
            throw ValidationError("--hard-timeout is longer than --timeout, or left out")
        }
    }

    var haltRule: HaltRule? { halt.flatMap { HaltRule($0) } }
    var jobsAtOnce: JobsAtOnce? { jobs.flatMap { JobsAtOnce($0) } }
    var wantedJobs: JobsAtOnce? { setJobs.flatMap { JobsAtOnce($0) } }

    /// Of the median run time.
    var medianPercent: Int? {
        guard let timeout, timeout.hasSuffix("%"), let percent = Int(timeout.dropLast()),
            (100...100_000).contains(percent)
        else { return nil }
        return percent
    }

    /// Nil: as long as it does.
    var timeLimit: TimeLimit? {
        let soft = timeout.flatMap { ShortTime.duration($0) }
        let hard = hardTimeout.flatMap { ShortTime.duration($0) }
        return soft == nil && hard == nil ? nil : TimeLimit(soft: soft, hard: hard)
    }

    var retryPolicy: RetryPolicy {
        let wait = backoff.flatMap { ShortTime.duration($0) } ?? .seconds(1)
        return RetryPolicy(
            maxAttempts: retries + 1, backoff: .exponential(max(wait, .milliseconds(1))))
    }

    /// What each start waits for.
    var start: StartGate.Rules {
        var rules = StartGate.Rules()
        rules.resources = resources.needs
        rules.onMissing = ResourceOptions.sayMissing
        rules.delay = delay.flatMap { ShortTime.duration($0) }
        rules.memory = memfree.flatMap { SizeText.bytes($0) }.map { UInt64($0) }
        if let memfree {
            rules.onShortage = { bytes in
                say(
                    "no command is started while less than \(memfree) of memory is available: it is \(SizeText.text(Int(clamping: bytes)))"
                )
            }
        }
        return rules
    }
}
