import ArgumentParser
import Petiole
import Synchronization

/// `petiole tail`: what happens, as it happens.
struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what happens to jobs, as it is committed, until Ctrl-C.",
        discussion: """
            Events: accepted, ready (what waited, was parked or paused), retried (an attempt failed, another follows), \
            postponed, parked, paused, requeued, edited, interrupted (its process died), succeeded, failed, dead, \
            cancelled, expired, discarded, deleted (purged), and missed: events before are not known. Starts are not \
            told, since nothing is written of them; an end says when its attempt began.

            With --json one object each: v, position, at, event, id, and as far as the job is still there queue, name, \
            priority, and of an end attempt, started, microseconds, error. --from goes on behind a position that was \
            printed; what happened while nobody followed is there if events are kept, the newest 16 MiB.

            EXAMPLES
              petiole tail --queue commands
              petiole tail --json --event failed --event dead
              petiole tail --keep; petiole tail --json --from 1234
            """)

    @Option(help: ArgumentHelp("Only this event; may be given several times.", valueName: "event"))
    var event: [EventWord] = []

    @Option(help: ArgumentHelp("Only jobs of this queue.", valueName: "name"))
    var queue: String?

    @Option(help: ArgumentHelp("Only jobs of this name.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("Only jobs with this tag.", valueName: "tag"))
    var tag: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Go on behind this position; 0: from the oldest that is known.", valueName: "n"))
    var from: UInt64?

    @Flag(help: "From now on keep events also while nobody follows; print nothing.")
    var keep = false

    @Flag(help: "Do not keep them any more; print nothing.")
    var forget = false

    @Flag(help: "Print a JSON object for each event and job.")
    var json = false

    @OptionGroup var location: StoreLocation

    func validate() throws {
        if keep, forget { throw ValidationError("--keep or --forget, not both") }
    }

    func run() async throws {
        let store = try location.openExisting()
        if keep || forget {
            try await store.keepEvents(keep)
            return
        }
        // Also when a reader went away: who is not there any more is not to be written for.
        defer { store.close() }
        let broken = Mutex<StoreError?>(nil)
        let events = try await store.events(after: from) { error in
            broken.withLock { $0 = error }
        }
        let task = Task {
            var lines = RunLine()
            for await event in events {
                // An event may be of millions of jobs: who stops or goes away is not to wait for all of them.
                var rest = event.ids
                while true {
                    let end =
                        rest.lowerBound + min(Self.piece - 1, rest.upperBound - rest.lowerBound)
                    try print(event, rest.lowerBound...end, store, &lines)
                    // A reader that went away has heard enough.
                    if let code = Standard.output.flush() {
                        if let failure = Failure.output(code) { throw failure }
                        return
                    }
                    if end == rest.upperBound || Task.isCancelled { break }
                    rest = end + 1...rest.upperBound
                }
            }
            // Nobody has stopped it: the store cannot be read any more.
            if !Task.isCancelled, let error = broken.withLock({ $0 }) { throw error }
        }
        StopSignals.start(store) { _ in task.cancel() }
        say("follows \(visible(StoreLocation.resolved(store.path))); Ctrl-C stops")
        do { try await task.value } catch is CancellationError {}
    }

    /// So many jobs of an event are printed before it is looked whether to go on.
    private static let piece: UInt64 = 1_000

    /// - Parameter ids: those of the event's jobs that are to be printed.
    private func print(
        _ event: JobEvent, _ ids: ClosedRange<UInt64>, _ store: JobStore, _ lines: inout RunLine
    ) throws {
        let word = EventWord(event.kind)
        if !self.event.isEmpty, !self.event.contains(word) { return }
        if case .missed = event.kind {
            tell(event, word, id: nil, nil, &lines)
            return
        }
        var filter = JobFilter()
        filter.after = JobID(rawValue: ids.lowerBound - 1)
        filter.upTo = JobID(rawValue: ids.upperBound)
        filter.queue = queue
        filter.name = name
        filter.tag = tag
        let isFiltered = queue != nil || name != nil || tag != nil
        // A job that is gone by now is told without what was known of it.
        var next = ids.lowerBound
        if case .deleted = event.kind {
            if !isFiltered { for id in ids { tell(event, word, id: id, nil, &lines) } }
            return
        }
        try store.forEachRecord(filter) { summary, extras, payload in
            let id = summary.id.rawValue
            if !isFiltered {
                for gone in next..<id { tell(event, word, id: gone, nil, &lines) }
            }
            next = id + 1
            let input = InputMark.values(extras)
            tell(event, word, id: id, (summary, Array(payload), input), &lines)
            return true
        }
        if !isFiltered, next <= ids.upperBound {
            for gone in next...ids.upperBound { tell(event, word, id: gone, nil, &lines) }
        }
    }

    private typealias Job = (summary: JobSummary, payload: [UInt8], input: [[UInt8]]?)

    private func tell(
        _ event: JobEvent, _ word: EventWord, id: UInt64?, _ job: Job?, _ lines: inout RunLine
    ) {
        // What a job came to is told with its end alone: it may have gone on since.
        var outcome: Outcome?
        if case .ended = event.kind, case .ended(let end)? = job?.summary.state { outcome = end }
        if json {
            var line = JSONLine()
            line.add("position", Int(clamping: event.position))
            line.add("at", TimeText.iso(event.at))
            line.add("event", word.rawValue)
            if let id { line.add("id", Int(clamping: id)) }
            if let job {
                line.add("queue", job.summary.queue)
                line.add("name", job.summary.name)
                line.add("priority", job.summary.priority)
            }
            if let outcome {
                line.add("attempt", outcome.attempt)
                line.add("started", TimeText.iso(outcome.startedAt))
                line.add("microseconds", outcome.runTime.wholeMicroseconds)
                line.add("error", outcome.failure.map { "\($0.type): \($0.message)" })
            }
            return Standard.output.line(line.line)
        }
        guard let id else {
            return Standard.output.line("\(TimeText.local(event.at))  events before are not known")
        }
        var text = "\(TimeText.local(event.at))  \(id)  \(word.rawValue)"
        if let job {
            let command = JobText.command(name: job.summary.name, payload: job.payload)
            let title =
                command.map {
                    JobText.line($0, queue: job.summary.queue, input: job.input, &lines)
                } ?? visible(job.summary.name)
            text += "  \(visible(job.summary.queue))  \(title)"
        }
        if let outcome {
            text += "  \(TimeText.duration(outcome.runTime))"
            if let failure = outcome.failure { text += ": \(visible(failure.message))" }
        }
        Standard.output.line(text)
    }
}

/// An event in one word.
enum EventWord: String, CaseIterable, ExpressibleByArgument {
    case accepted, ready, retried, postponed, parked, paused, requeued, edited, interrupted
    case deleted, missed, succeeded, failed, dead, cancelled, expired, discarded, dropped

    init(_ kind: JobEvent.Kind) {
        switch kind {
        case .accepted: self = .accepted
        case .ready: self = .ready
        case .retried: self = .retried
        case .postponed: self = .postponed
        case .parked: self = .parked
        case .paused: self = .paused
        case .requeued: self = .requeued
        case .edited: self = .edited
        case .interrupted: self = .interrupted
        case .deleted: self = .deleted
        case .missed: self = .missed
        case .ended(let kind):
            switch kind {
            case .succeeded: self = .succeeded
            case .failed: self = .failed
            case .cancelled: self = .cancelled
            case .deadLetter: self = .dead
            case .expired: self = .expired
            case .discarded: self = .discarded
            case .dropped: self = .dropped
            }
        }
    }
}
