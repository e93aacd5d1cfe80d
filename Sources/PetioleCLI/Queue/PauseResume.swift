import ArgumentParser
import Petiole

/// `petiole pause`: keeps jobs of queues or of job types from starting.
struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pause queues, job types or single jobs.",
        discussion: """
            Of a queue what runs finishes, and nothing else starts. Holds until `petiole resume`, whoever runs the queue, also after a restart. Jobs are accepted as before. With \
            --type jobs of that name alone are paused, in the queues named, or everywhere when none is; others in the \
            same queue go on.

            A number is a job's id. One that has not started is held: it does not start until it is resumed, and joins the end \
            of its lane then. A command that runs is suspended with its process group by SIGSTOP: it keeps its place and its \
            memory, its time limits go on, and a cancel or a worker that stops ends it all the same. When its worker dies, the \
            job begins anew with the next one, and is not suspended. Says of each job: held, suspended, running (it is no \
            command), awaiting (others of its workflow), ended, no answer (exit status 75: the process that runs its queue, \
            suspended perhaps, does not say whether it runs), missing.

            EXAMPLES
              petiole pause commands
              petiole pause 17
              petiole pause --type resize images
            """)

    @OptionGroup var choice: WhatToPause

    func run() async throws { try await choice.set(paused: true) }
}

/// `petiole resume`: lets them go on.
struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let paused queues, job types or jobs go on.",
        discussion: """
            With --type and no queue a job type goes on everywhere. What is paused everywhere does not go on in one queue \
            alone. A number is a job's id: says of each resumed, not paused, ended, missing.

            EXAMPLES
              petiole resume commands
              petiole resume 17
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
            Print a JSON object for each: v, queue (null: everywhere), type (with --type), paused, changed; of a job v, id, \
            result.
            """)
    var json = false

    @OptionGroup var location: StoreLocation

    @Option(
        name: .customLong("queue"),
        help: ArgumentHelp("A queue, also one whose name is a number.", valueName: "name"))
    var queues: [String] = []

    @Argument(
        help: ArgumentHelp("Names of queues, or ids of jobs.", valueName: "queue-or-id"),
        completion: KnownQueue.completion)
    var words: [String] = []

    private var ids: [JobID] { words.compactMap { JobID($0) } }
    private var names: [String] { queues + words.filter { JobID($0) == nil } }

    func validate() throws {
        guard !names.isEmpty || !type.isEmpty || !ids.isEmpty else {
            throw ValidationError("name queues, ids of jobs, or job types with --type")
        }
        if !type.isEmpty, !ids.isEmpty {
            throw ValidationError("give ids of jobs, or --type; not both")
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
        if !ids.isEmpty { try await HoldJobs(store: store, json: json).set(paused: paused, ids) }
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
