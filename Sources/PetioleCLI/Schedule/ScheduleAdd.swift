import ArgumentParser
import Petiole

/// `petiole schedule add`: a command that is enqueued by the clock.
struct ScheduleAdd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a schedule: a command that is enqueued at each of its planned times.",
        usage: "petiole schedule add <name> <when> [options] -- <command> ...",
        discussion: """
            <when> is --cron and a rule, --every and a time, or --at and an instant. Prints the rule in words and the first planned time once the schedule is on the disk. Whoever runs the queue \
            fires it: `petiole worker`. Rules of cron are those of `petiole schedule preview`; --every counts from --start, or else from \
            now, the first time one interval later. Instants without Z are told by the clocks of the zone.

            Working directory, arguments and environment are kept as `petiole add` keeps them. Besides, the command finds \
            the name of the schedule in PETIOLE_SCHEDULE and the planned time, in UTC, in PETIOLE_PLANNED.

            Times at which nobody ran the queue are missed: with --missed once the newest of them is enqueued then, with \
            all each of them, with skip what is late by more than a minute is left out. While the last job has not ended, \
            with --overlap skip a time is left out, with queue one waits for that.

            With --json the object that `petiole schedule list --json` prints.

            EXAMPLES
              petiole schedule add nightly --cron '0 3 * * 1-5' -- ./backup --all
              petiole schedule add noon --cron '0 12 * * *' --zone Europe/Berlin -- ./chime
              petiole schedule add poll --every 15m --on-the-clock --overlap skip -- ./poll
              petiole schedule add once --at 2026-12-24T18:00 -- ./greet
              petiole schedule add sum --cron @daily -- sh -c './sum "$PETIOLE_PLANNED"'
            """)

    // Unconditional: a rule that begins with - is refused with the reason.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The times of a rule of cron, in quotes.", valueName: "rule"))
    var cron: String?

    @Flag(help: "A sixth field of the rule, in front of the others, is for seconds.")
    var seconds = false

    @Flag(
        help: "When day of the month and day of the week are both restricted, both are to be met.")
    var bothDays = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Each so long: 90s, 15m, 12h.", valueName: "time"))
    var every: String?

    @Flag(help: "Count intervals by the clock: a quarter of an hour comes on the quarter.")
    var onTheClock = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Once: an instant (2026-12-24T18:00), or a while from now (2h).", valueName: "instant"))
    var at: String?

    @Option(
        help: ArgumentHelp(
            "The time zone whose clocks count; without it that of this system.", valueName: "zone"))
    var zone: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("No time before this instant.", valueName: "instant"))
    var start: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("No time after this instant.", valueName: "instant"))
    var end: String?

    @Option(
        help: ArgumentHelp(
            "No time on this day (2026-12-25); may be given several times.", valueName: "date"))
    var exclude: [String] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Enqueue up to so much later than planned, drawn for each time: 5m.", valueName: "time")
    )
    var jitter: String?

    @Option(help: ArgumentHelp("What becomes of missed times: skip, once, all.", valueName: "word"))
    var missed = Missed.once

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --missed all no more than the newest so many, 1 to 1,000; else 100.",
            valueName: "n"))
    var missedMost: Int?

    @Option(
        help: ArgumentHelp(
            "While the last job has not ended: allow, skip, queue.", valueName: "word"))
    var overlap = Overlap.allow

    @Flag(help: "Take the place of the schedule that has the name.")
    var replace = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "A job that has not started so long after its enqueue never will: 1h.",
            valueName: "time"))
    var expires: String?

    @OptionGroup var options: CommandOptions

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("The name of the schedule.", valueName: "name"))
    var name: String

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("The program and its arguments, behind --.", valueName: "command"))
    var command: [String] = []

    /// The words of --missed.
    enum Missed: String, CaseIterable, ExpressibleByArgument { case skip, once, all }

    /// The words of --overlap.
    enum Overlap: String, CaseIterable, ExpressibleByArgument {
        case allow, skip, queue

        var meaning: Schedule.Overlap {
            switch self {
            case .allow: .allow
            case .skip: .skip
            case .queue: .queueOne
            }
        }
    }

    func validate() throws {
        guard [cron, every, at].count(where: { $0 != nil }) == 1 else {
            throw ValidationError("say when its times are: one of --cron, --every and --at")
        }
        if cron == nil, seconds || bothDays {
            throw ValidationError("--seconds and --both-days go with --cron")
        }
        if every == nil, onTheClock { throw ValidationError("--on-the-clock goes with --every") }
        if missedMost != nil, missed != .all {
            throw ValidationError("--missed-most goes with --missed all")
        }
        if let missedMost, !(1...1_000).contains(missedMost) {
            throw ValidationError("--missed-most takes 1 to 1000")
        }
        for (option, text) in [("--every", every), ("--expires", expires)] {
            if let text, TimeText.age(text).map({ $0 > .zero }) != true {
                throw ValidationError(
                    "\(option) takes a number of 1 or more and one of s, m, h, d, w: 15m")
            }
        }
        if let jitter, TimeText.age(jitter) == nil {
            throw ValidationError("--jitter takes a number and one of s, m, h, d, w: 5m")
        }
        for text in exclude where ZoneTime.date(text) == nil {
            throw ValidationError("--exclude takes a day that there is: 2026-12-25")
        }
    }

    func run() async throws {
        // All that can be checked without a store is: none is made for what is refused.
        if !NameForm.isValid(name) { throw ScheduleError.invalidName(name) }
        let zone = try ScheduleZone.named(zone ?? ScheduleZone.systemName())
        let now = WallTime(microseconds: StoreClock().now)
        let rule = try rule(zone, now)
        let command = try options.command(
            command, example: "petiole schedule add \(name) --every 15m -- ./poll --all")
        var enqueueOptions = options.enqueueOptions
        enqueueOptions.expiry = expires.flatMap { TimeText.age($0) }.map { .after($0) }
        var schedule = Schedule(
            command: command, name: name, rule, in: zone.name, options: enqueueOptions)
        schedule.start = try start.map {
            try ScheduleText.instant($0, of: "--start", in: zone, now)
        }
        schedule.end = try end.map { try ScheduleText.instant($0, of: "--end", in: zone, now) }
        schedule.excludedDates = Set(exclude.compactMap { ZoneTime.date($0) })
        schedule.jitter = jitter.flatMap { TimeText.age($0) } ?? .zero
        schedule.missed =
            switch missed {
            case .skip: .skip
            case .once: .once
            case .all: .all(atMost: missedMost ?? 100)
            }
        schedule.overlap = overlap.meaning
        let store = try location.openOrMake()
        let first: WallTime
        do throws(ScheduleError) {
            first = try await store.add(schedule: schedule, replacing: replace)
        } catch {
            var failure = Failure(error)
            if case .exists(_, nil) = error {
                failure.message = """
                    there is a schedule "\(visible(name))" already
                    let this one take its place with --replace, or give it another name
                    """
            }
            throw failure
        }
        try tell(first, zone, store)
    }

    private func rule(_ zone: ScheduleZone, _ now: WallTime) throws -> Schedule.Rule {
        if let cron {
            if let interval = try ScheduleText.every(cron) {
                return .every(interval, alignedTo: .clock)
            }
            let days: CronDays = bothDays ? .both : .either
            _ = try CronRule(cron, hasSeconds: seconds, days: days)
            return .cron(cron, seconds: seconds, days: days)
        }
        if let interval = every.flatMap({ TimeText.age($0) }) {
            return .every(interval, alignedTo: onTheClock ? .clock : .start)
        }
        return .at(try ScheduleText.instant(at ?? "now", of: "--at", in: zone, now))
    }

    private func tell(_ first: WallTime, _ zone: ScheduleZone, _ store: JobStore) throws {
        let status = try store.schedule(named: name)
        if json {
            var line = JSONLine()
            try ScheduleText.add(status, store, to: &line)
            Standard.output.line(line.line)
        } else {
            let time = ZoneTime.text(status.next ?? first, zone)
            Standard.output.line(
                "\(name): \(visible(status.description)), \(zone.name); first \(time)")
        }
        if var failure = Standard.output.flush().flatMap(Failure.output) {
            // Else the schedule would be taken for not added.
            failure.message += "\nthe schedule is on the disk all the same"
            throw failure
        }
        if status.isPaused {
            say(
                """
                it is paused, as the one in whose place it is
                it goes on with: petiole schedule resume \(name)
                """)
        }
        try location.sayWhenNothingRuns(status, store)
    }
}
