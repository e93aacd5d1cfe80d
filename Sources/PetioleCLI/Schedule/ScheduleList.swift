import ArgumentParser
import Petiole

/// `petiole schedule list`: which schedules there are, and how they do.
struct ScheduleList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List schedules by name: when they come next, and how they did last.",
        discussion: """
            States: on, paused (`petiole schedule resume` lets it go on), disabled (the program that declared it does not \
            any more), over (no time of it is to come). Times are those of this system's zone, which is named below the \
            table. Last is when a job was enqueued last, outcome the state of that job now, - when it was pruned. Missed are times \
            at which nobody ran the queue, skipped those at which the last job had not ended.

            With --json one object each: v, name, state, program (that declares it, or null), rule, description, zone, \
            queue, priority, job, of commands arguments and directory, tags, next, waiting (a planned time that waits for \
            the last job's end), lastPlanned, lastFired, lastJob, lastState, fired, missed, skipped, paused, disabled, over, start, end, \
            excluded, jitterMicroseconds, whenMissed, missedMost, missedLaterThanMicroseconds, overlap. Times are in UTC, or null.

            EXAMPLES
              petiole schedule list
              petiole schedule list --json
            """)

    @Flag(help: "Print a JSON object for each schedule.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        let store = try location.openExisting()
        let schedules = try store.schedules()
        if json {
            for schedule in schedules {
                var line = JSONLine()
                try ScheduleText.add(schedule, store, to: &line)
                Standard.output.line(line.line)
            }
            return
        }
        if schedules.isEmpty { return Standard.output.line("no schedules") }
        let zone = ZoneTime.zone(ScheduleZone.systemName())
        var table = TextTable([
            ("name", .left), ("state", .left), ("next", .left), ("last", .left),
            ("outcome", .left), ("fired", .right), ("missed", .right), ("skipped", .right),
            ("rule", .left), ("job", .left),
        ])
        for schedule in schedules { table.add(try Self.row(schedule, zone, store)) }
        for line in table.lines { Standard.output.line(line) }
        Standard.output.line("times are those of \(zone.name)")
    }

    private static func row(
        _ schedule: ScheduleStatus, _ zone: ScheduleZone, _ store: JobStore
    ) throws -> [String] {
        let job: String
        if let program = schedule.program {
            job = "\(visible(schedule.job)) of \(visible(program))"
        } else {
            job = try store.command(of: schedule)?.description ?? visible(schedule.job)
        }
        return [
            visible(schedule.name), ScheduleText.state(schedule),
            schedule.next.map { ZoneTime.short($0, zone) } ?? "-",
            schedule.lastFired.map { ZoneTime.short($0, zone) } ?? "-",
            try store.lastState(of: schedule).map { JobText.word($0) } ?? "-",
            grouped(schedule.firedCount), grouped(schedule.missedCount),
            grouped(schedule.skippedCount), cut(visible(schedule.rule), to: 30), cut(job, to: 60),
        ]
    }

    private static func cut(_ text: String, to length: Int) -> String {
        text.count > length ? text.prefix(length - 1) + "…" : text
    }
}
