import ArgumentParser
import Petiole

/// `petiole pause`: keeps the jobs of queues from starting.
struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pause queues: what runs finishes, and nothing else of them starts.",
        discussion: """
            Holds until `petiole resume`, whoever runs the queue, also after a restart. Jobs are accepted as before.

            EXAMPLES
              petiole pause commands
            """)

    @OptionGroup var queues: QueuesToPause

    func run() async throws { try await queues.set(paused: true) }
}

/// `petiole resume`: lets paused queues go on.
struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let paused queues go on.",
        discussion: """
            EXAMPLES
              petiole resume commands
            """)

    @OptionGroup var queues: QueuesToPause

    func run() async throws { try await queues.set(paused: false) }
}

/// What both take, and do.
struct QueuesToPause: ParsableArguments {
    @Flag(help: "Print a JSON object for each: v, queue, paused, changed.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Names of queues.", valueName: "queue"))
    var names: [String]

    func set(paused: Bool) async throws {
        let store = try location.openExisting()
        let known = Set(try store.queues().map(\.name))
        for name in names {
            // The library lets one pause a queue in advance; what is typed is more likely a slip.
            guard known.contains(name) else {
                throw Failure(
                    """
                    there is no queue "\(visible(name))"
                    see which there are with: petiole status
                    """, status: 66)
            }
            let hasChanged =
                paused
                ? try await store.pause(queue: name) : try await store.resume(queue: name)
            if json {
                var line = JSONLine()
                line.add("queue", name)
                line.addRaw("paused", paused ? "true" : "false")
                line.addRaw("changed", hasChanged ? "true" : "false")
                Standard.output.line(line.line)
            } else {
                let state = paused ? "paused" : "running"
                Standard.output.line(
                    "\(name) \(hasChanged ? "is \(state)" : "was \(state) already")")
            }
        }
    }
}
