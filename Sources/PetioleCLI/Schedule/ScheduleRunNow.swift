import ArgumentParser
import Petiole

/// `petiole schedule run-now`: the job of a schedule beside its planned times.
struct ScheduleRunNow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run-now",
        abstract: "Enqueue the job of a schedule now, beside its planned times, and print its id.",
        discussion: """
            The planned times of the schedule stay as they are; it may be paused. That of this job is this instant. While its \
            last job has not ended, a schedule with --overlap skip or queue refuses; and a time that comes before this one \
            has ended is left out, or waits.

            EXAMPLES
              petiole schedule run-now nightly
              petiole wait "$(petiole schedule run-now nightly)"
            """)

    @Flag(help: "Print a JSON object: v, id, name, queue.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("The name of the schedule.", valueName: "name"))
    var name: String

    func run() async throws {
        let store = try location.openExisting()
        let schedule = try store.schedule(named: name)
        let id = try await store.runNow(schedule: name)
        if json {
            var line = JSONLine()
            line.add("id", Int(clamping: id.rawValue))
            line.add("name", name)
            line.add("queue", schedule.queue)
            Standard.output.line(line.line)
        } else {
            Standard.output.line(id.description)
        }
        if var failure = Standard.output.flush().flatMap(Failure.output) {
            // Else the job would be taken for not enqueued, and enqueued again.
            failure.message += "\nthe job is on the disk all the same, with the id \(id)"
            throw failure
        }
        try location.sayWhenNothingRuns(schedule, store)
    }
}
