import ArgumentParser
import Petiole

/// How long a command may take.
struct TimeLimitOptions: ParsableArguments {
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

    func validate() throws {
        for (name, text) in [("--timeout", timeout), ("--hard-timeout", hardTimeout)] {
            if let text, TimeText.age(text) == nil {
                throw ValidationError("\(name) takes a number and one of s, m, h, d, w: 90s, 12h")
            }
        }
    }

    /// Nil: as long as it does.
    var limit: TimeLimit? {
        if timeout == nil, hardTimeout == nil { return nil }
        return TimeLimit(
            soft: timeout.flatMap { TimeText.age($0) },
            hard: hardTimeout.flatMap { TimeText.age($0) })
    }
}
