import ArgumentParser
import Petiole

/// How long a command may take.
struct TimeLimitOptions: ParsableArguments {
    @Option(
        name: [.long, .customLong("soft-timeout")], parsing: .unconditional,
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
            if let text, ShortTime.duration(text) == nil {
                throw ValidationError("\(name) takes a time: \(ShortTime.help)")
            }
        }
    }

    /// Nil: as long as it does.
    var limit: TimeLimit? {
        if timeout == nil, hardTimeout == nil { return nil }
        return TimeLimit(
            soft: timeout.flatMap { ShortTime.duration($0) },
            hard: hardTimeout.flatMap { ShortTime.duration($0) })
    }
}
