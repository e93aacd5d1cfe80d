import ArgumentParser
import Petiole

/// How many commands of `run` go on at once, how long and how often each may try, and when the run stops early.
struct RunPaceOptions: ParsableArguments {
    @Option(
        name: [.customShort("j", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp(
            "Commands at once, 1 to 128; else one for each usable processor.", valueName: "n"))
    var jobs: Int?

    // Unconditional: else -1 is no value but an option, and nobody says what is allowed.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Attempts after the first failed one, 0 to 254.", valueName: "n"))
    var retries = 0

    @OptionGroup var time: TimeLimitOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Stop when so many have come to that: soon or now, and fail, success or done: soon,fail=3, now,done=50%.",
            valueName: "when"))
    var halt: String?

    @Flag(help: "Go on when commands fail. This is what happens in any case.")
    var keepGoing = false

    func validate() throws {
        if let jobs, !(1...128).contains(jobs) {
            throw ValidationError("-j takes 1 to 128")
        }
        if let halt, HaltRule(halt) == nil {
            throw ValidationError(
                "--halt takes soon or now, a comma, and fail, success or done with a number or percent: soon,fail=3"
            )
        }
        guard (0...254).contains(retries) else { throw ValidationError("--retries takes 0 to 254") }
    }

    var haltRule: HaltRule? { halt.flatMap { HaltRule($0) } }
}
