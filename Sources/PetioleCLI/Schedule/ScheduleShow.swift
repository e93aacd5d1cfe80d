import ArgumentParser
import Petiole

/// `petiole schedule show`: all that is known of a schedule.
struct ScheduleShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a schedule: rule, job, how it did, and its coming planned times.",
        discussion: """
            Times are those of the schedule's zone. The planned times are those that the rule gives, whether it is paused or \
            not; those of a rule that is a program's own are not known here.

            With --json the object that `petiole schedule list --json` prints, and times: objects with planned (in UTC) \
            and local (with its offset).

            EXAMPLES
              petiole schedule show nightly
              petiole schedule show nightly --count 20 --json
            """)

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("So many planned times, 0 to 100,000.", valueName: "n"))
    var count = 5

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("The name of the schedule.", valueName: "name"))
    var name: String

    func validate() throws {
        guard (0...100_000).contains(count) else {
            throw ValidationError("--count takes 0 to 100000")
        }
    }

    func run() throws {
        let store = try location.openExisting()
        let schedule = try store.schedule(named: name)
        let zone = ZoneTime.zone(schedule.zone)
        var times: [WallTime] = []
        var problem: ScheduleError?
        do throws(ScheduleError) { times = try store.plannedTimes(of: name, count: count) } catch {
            // What else is known is shown all the same.
            problem = error
        }
        if json {
            var line = JSONLine()
            try ScheduleText.add(schedule, store, to: &line)
            line.add(
                "times",
                objects: times.map { time in
                    var part = JSONLine()
                    ScheduleText.add(time, zone, to: &part)
                    return part
                })
            Standard.output.line(line.line)
        } else {
            try show(schedule, zone, store)
            Self.lines("planned", times.map { ZoneTime.text($0, zone) })
        }
        if let problem { say("its planned times are not known: \(problem.description)") }
    }

    // MARK: For people

    private func show(
        _ schedule: ScheduleStatus, _ zone: ScheduleZone, _ store: JobStore
    ) throws {
        Self.line("schedule", visible(schedule.name))
        Self.line("state", Self.state(schedule))
        if let program = schedule.program { Self.line("program", visible(program)) }
        Self.line("rule", visible(schedule.rule))
        if schedule.description != schedule.rule {
            Self.line("", visible(schedule.description))
        }
        Self.line("zone", visible(schedule.zone))
        if let start = schedule.start { Self.line("start", ZoneTime.text(start, zone)) }
        if let end = schedule.end { Self.line("end", ZoneTime.text(end, zone)) }
        if !schedule.excludedDates.isEmpty {
            Self.line(
                "excluded", schedule.excludedDates.map { ZoneTime.date($0) }.joined(separator: ", ")
            )
        }
        if schedule.jitter > .zero {
            Self.line("jitter", "up to \(Self.interval(schedule.jitter)) later")
        }
        Self.line("missed", ScheduleText.line(schedule.missed))
        Self.line("overlap", ScheduleText.line(schedule.overlap))
        try showJob(schedule, store)
        Self.line(
            "times",
            "\(grouped(schedule.firedCount)) fired, \(grouped(schedule.missedCount)) missed, "
                + "\(grouped(schedule.skippedCount)) skipped")
        if let fired = schedule.lastFired {
            Self.line("last", ZoneTime.text(fired, zone) + (try Self.last(schedule, store)))
        }
        if let planned = schedule.lastPlanned {
            Self.line("", "planned \(ZoneTime.text(planned, zone))")
        }
        if let waiting = schedule.waiting {
            Self.line("waiting", "\(ZoneTime.text(waiting, zone)), for the last job to end")
        }
        if let next = schedule.next {
            Self.line("next", ZoneTime.text(next, zone) + (try Self.delay(schedule, next, store)))
        }
    }

    private func showJob(_ schedule: ScheduleStatus, _ store: JobStore) throws {
        let options = schedule.options
        Self.line("queue", "\(visible(schedule.queue)), priority \(options.priority)")
        if let attempts = options.maxAttempts, attempts > 1 {
            Self.line("attempts", "\(attempts) at most")
        }
        if let soft = options.timeLimit?.soft {
            Self.line("timeout", "stopped after \(Self.interval(soft))")
        }
        if let hard = options.timeLimit?.hard {
            Self.line("timeout", "killed after \(Self.interval(hard))")
        }
        if case .after(let wait)? = options.expiry {
            Self.line("expires", "\(Self.interval(wait)) after each enqueue")
        }
        if let tags = options.metadata?.tags, !tags.isEmpty {
            Self.line("tags", tags.map { visible($0) }.joined(separator: ", "))
        }
        guard let command = try store.command(of: schedule) else {
            return Self.line("name", visible(schedule.job))
        }
        Self.line("command", command.description)
        if let directory = command.workingDirectory { Self.line("in", Command.quoted(directory)) }
        if case .exactly(let variables) = command.environment {
            Self.line(
                "with",
                variables.map { visible(String(decoding: $0.name, as: UTF8.self)) }
                    .joined(separator: " "))
        }
    }

    private static func state(_ schedule: ScheduleStatus) -> String {
        let word = ScheduleText.state(schedule)
        return switch word {
        case "paused": "paused: it goes on with `petiole schedule resume \(schedule.name)`"
        case "disabled": "disabled: its program does not declare it any more"
        case "over": "over: no time of it is to come"
        default: word
        }
    }

    private static func last(_ schedule: ScheduleStatus, _ store: JobStore) throws -> String {
        guard let job = schedule.lastJob else { return "" }
        let word = try store.lastState(of: schedule).map { JobText.word($0) } ?? "pruned since"
        return ", job \(job): \(word)"
    }

    /// Why a time that has come was not fired, where that can be told.
    private static func delay(
        _ schedule: ScheduleStatus, _ next: WallTime, _ store: JobStore
    ) throws -> String {
        guard next < store.now,
            let queue = try store.queues().first(where: { $0.name == schedule.queue })
        else { return "" }
        if queue.isPaused { return ", which has come, but its queue is paused" }
        return queue.ownerPID == nil ? ", which has come, but no process runs its queue" : ""
    }

    private static func interval(_ duration: Duration) -> String {
        IntervalText.text(Int64(duration.wholeMicroseconds))
    }

    private static func line(_ label: String, _ text: String) {
        Standard.output.line(label + String(repeating: " ", count: max(1, 11 - label.count)) + text)
    }

    private static func lines(_ label: String, _ texts: [String]) {
        for (index, text) in texts.enumerated() { line(index == 0 ? label : "", text) }
    }
}
