import ArgumentParser
import Petiole

/// `petiole pause`: keeps jobs of queues or of job types from starting.
struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pause queues or job types: what runs finishes, and nothing else of them starts.",
        discussion: """
            Holds until `petiole resume`, whoever runs the queue, also after a restart. Jobs are accepted as before. With \
            --type jobs of that name alone are paused, in the queues named, or everywhere when none is; others in the \
            same queue go on.

            EXAMPLES
              petiole pause commands
              petiole pause --type resize images
            """)

    @OptionGroup var choice: WhatToPause

    func run() async throws { try await choice.set(paused: true) }
}

/// `petiole resume`: lets them go on.
struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let paused queues or job types go on.",
        discussion: """
            With --type and no queue a job type goes on everywhere. What is paused everywhere does not go on in one queue \
            alone.

            EXAMPLES
              petiole resume commands
              petiole resume --type resize
            """)

    @OptionGroup var choice: WhatToPause

    func run() async throws { try await choice.set(paused: false) }
}

/// What both take, and do.
struct WhatToPause: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Jobs of this name alone; may be given several times.", valueName: "name"))
    var type: [String] = []

    @Flag(
        help: """
            Print a JSON object for each: v, queue (null: everywhere), type (with --type), paused, changed.
            """)
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Names of queues.", valueName: "queue"))
    var names: [String] = []

    func validate() throws {
        guard !names.isEmpty || !type.isEmpty else {
            throw ValidationError("name queues, or job types with --type")
        }
    }

    func set(paused: Bool) async throws {
        let store = try location.openExisting()
        // The library lets one pause a queue or a type in advance; what is typed is more likely a slip.
        let known = Set(try store.queues().map(\.name))
        for name in names where !known.contains(name) {
            throw Failure(
                """
                there is no queue "\(visible(name))"
                see which there are with: petiole status
                """, status: 66)
        }
        for name in type where try !store.isKnown(jobName: name) {
            throw Failure(
                """
                no job was ever named "\(visible(name))"
                see the names of some with: petiole jobs
                """, status: 66)
        }
        guard !type.isEmpty else {
            for name in names {
                let hasChanged =
                    paused
                    ? try await store.pause(queue: name) : try await store.resume(queue: name)
                tell(queue: name, type: nil, paused, hasChanged)
            }
            return
        }
        for name in type {
            for queue in names.isEmpty ? [nil] : names.map({ $0 as String? }) {
                let hasChanged =
                    paused
                    ? try await store.pause(jobType: name, queue: queue)
                    : try await store.resume(jobType: name, queue: queue)
                tell(queue: queue, type: name, paused, hasChanged)
                if !paused, queue != nil,
                    try store.pausedJobTypes().contains(where: {
                        $0.name == name && $0.queue == nil
                    })
                {
                    say(
                        """
                        \(name) is paused everywhere
                        it goes on with: petiole resume --type \(name)
                        """)
                }
            }
        }
    }

    private func tell(queue: String?, type: String?, _ paused: Bool, _ hasChanged: Bool) {
        if json {
            var line = JSONLine()
            line.add("queue", queue)
            if let type { line.add("type", type) }
            line.add("paused", paused)
            line.add("changed", hasChanged)
            return Standard.output.line(line.line)
        }
        let state = paused ? "paused" : "running"
        let name = [type, queue].compactMap { $0 }.joined(separator: " in ")
        Standard.output.line("\(name) \(hasChanged ? "is \(state)" : "was \(state) already")")
    }
}
