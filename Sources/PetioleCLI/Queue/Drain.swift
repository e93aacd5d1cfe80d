import ArgumentParser
import Petiole

/// `petiole drain`: until nothing is left to run.
struct Drain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Wait until all jobs of a queue, or of the store, have ended, whoever runs them.",
        discussion: """
            Waits for delayed jobs, for other attempts and for jobs that are held behind others of any queue too. What nobody \
            will run as things are (parked, held by hand, of a paused type, in a paused queue, or held behind such) is not \
            waited for. Exit status: 0 nothing is left; 1 only such are; 75 the time is \
            over.

            EXAMPLES
              petiole drain commands && ./publish
              petiole drain --timeout 10m
            """)

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Wait so long at most: a number and s, m, h, d or w.", valueName: "age"))
    var timeout: String?

    @Flag(
        help: """
            Print a JSON object: v, result (drained, set aside, timed out), left (jobs that have not ended).
            """)
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        help: ArgumentHelp("The queue; else the whole store.", valueName: "queue"),
        completion: KnownQueue.completion)
    var queue: String?

    func validate() throws {
        if let timeout, TimeText.age(timeout) == nil {
            throw ValidationError("--timeout takes a number and one of s, m, h, d, w: 90s, 10m")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        let queues = try store.queues()
        if let queue, !queues.contains(where: { $0.name == queue }) {
            throw Failure(
                """
                there is no queue "\(visible(queue))"
                see which there are with: petiole status
                """, status: 66)
        }
        for status in queues where queue == nil || status.name == queue {
            let counts = status.counts
            if status.ownerPID == nil, !status.isPaused, counts.ready + counts.waiting > 0 {
                say(
                    "nobody runs the queue \"\(visible(status.name))\" now, which has "
                        + counted(counts.ready + counts.waiting, "job"))
            }
        }
        let result = try await store.waitUntilDrained(
            queue: queue, timeout: timeout.flatMap { TimeText.age($0) })
        let (word, left, status): (String, Int, Int32) =
            switch result {
            case .drained: ("drained", 0, 0)
            case .setAside(let left): ("set aside", left, 1)
            case .timedOut(let left): ("timed out", left, 75)
            }
        if json {
            var line = JSONLine()
            line.add("result", word)
            line.add("left", left)
            Standard.output.line(line.line)
        } else {
            let jobs = counted(left, "job")
            switch result {
            case .drained: Standard.output.line("nothing is left to run")
            case .setAside:
                Standard.output.line("\(jobs) left, held, parked or paused: see petiole status")
            case .timedOut: Standard.output.line("\(jobs) left when the time was over")
            }
        }
        if status != 0 { throw Failure("", status: status) }
    }
}
