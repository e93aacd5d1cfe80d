import ArgumentParser

/// `petiole schedule`: jobs that come by the clock.
struct ScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Show when a rule of times comes true.",
        discussion: """
            EXAMPLES
              petiole schedule preview '0 3 * * 1-5' --zone Europe/Berlin
            """,
        subcommands: [SchedulePreview.self])
}
