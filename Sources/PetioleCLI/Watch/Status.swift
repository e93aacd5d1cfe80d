import ArgumentParser
import Petiole

/// `petiole status`: what lies in the store, and who runs it.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show the queues: how many jobs are where, who runs them, what has been running longest.",
        discussion: """
            With --json one object a queue: v, queue, pid (of the process that runs it, or null), at_once (how many jobs that process runs at once, or null), paused, accepted, \
            paused_types, ready, running, waiting, parked, succeeded, failed, cancelled, dead, expired, discarded, dropped, \
            retries, unserved (whether jobs wait that no process runs), unknown (names of parked jobs), \
            suspended (ids of those that run and are suspended), bytes (of those that have not ended), capacity (null, or jobs, bytes, whenFull, waitUpTo), longest (null, \
            or id, attempt, since, seconds), overdue (null, or id and average, in seconds, of an attempt that runs ten times \
            as long as others of its type).
            """)

    @Flag(help: "Print a JSON object for each queue.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        let store = try location.openExisting()
        let queues = try store.queues()
        let running = try store.runningJobs()
        let pausedTypes = try store.pausedJobTypes()
        let longRuns = try store.longRuns()
        let now = store.now
        if json {
            for queue in queues {
                Standard.output.line(
                    Self.json(
                        queue, running.filter { $0.queue == queue.name },
                        try store.unknownNames(queue: queue.name),
                        pausedTypes.filter { $0.queue == nil || $0.queue == queue.name },
                        longRuns.first { $0.queue == queue.name }, now, store))
            }
            return
        }
        Standard.output.line(
            "store \(visible(StoreLocation.resolved(store.path)))\(store.isScratch ? " (scratch: not durable)" : "")"
        )
        if queues.isEmpty { return Standard.output.line("no queue was ever used") }
        var table = TextTable([
            ("queue", .left), ("pid", .right), ("running", .right), ("ready", .right),
            ("waiting", .right), ("succeeded", .right), ("failed", .right), ("dead", .right),
            ("cancelled", .right),
        ])
        for queue in queues {
            let counts = queue.counts
            let inFlight = running.count { $0.queue == queue.name }
            table.add([
                visible(queue.name) + Self.marks(queue),
                queue.ownerPID.map { String($0) } ?? "-", grouped(inFlight),
                grouped(max(0, counts.ready - inFlight)), grouped(counts.waiting + counts.parked),
                grouped(counts.succeeded), grouped(counts.failed), grouped(counts.deadLetters),
                grouped(counts.cancelled),
            ])
        }
        for line in table.lines { Standard.output.line(line) }
        for type in pausedTypes {
            let place = type.queue.map { "in \(visible($0))" } ?? "everywhere"
            Standard.output.line(
                "paused: \(visible(type.name)) \(place), for \(TimeText.duration(now.since(type.since)))"
            )
        }
        for queue in queues {
            if queue.isUnserved {
                let count = queue.counts.ready + queue.counts.waiting
                Standard.output.line(
                    "no process runs queue \(visible(queue.name)), in which "
                        + (count == 1 ? "1 job waits" : "\(grouped(count)) jobs wait"))
            }
            let names = queue.counts.parked > 0 ? try store.unknownNames(queue: queue.name) : []
            if !names.isEmpty {
                Standard.output.line(
                    "parked in queue \(visible(queue.name)), since no runner of it knows the name: "
                        + names.map { visible($0) }.joined(separator: ", "))
            }
        }
        if let longest = running.first {
            Standard.output.line(
                "longest running: job \(longest.id) of \(visible(longest.queue)), attempt \(longest.attempt), for "
                    + TimeText.duration(now.since(longest.since)))
        }
        let suspended = running.filter { store.isSuspended($0.id) }
        if !suspended.isEmpty {
            Standard.output.line(
                "suspended: job \(suspended.map(\.id.description).joined(separator: ", "))")
        }
        for run in longRuns {
            let others = run.others > 0 ? ", and \(grouped(run.others)) more" : ""
            Standard.output.line(
                """
                far longer than others of its type: job \(run.id) of \(visible(run.queue)), for \
                \(TimeText.duration(now.since(run.since))) and not \(TimeText.duration(run.average))\(others)
                """)
        }
    }

    /// What is out of the ordinary about a queue.
    private static func marks(_ queue: QueueStatus) -> String {
        var marks: [String] = []
        if queue.isPaused { marks.append("paused") }
        if let capacity = queue.capacity, CapacityText.isFull(capacity, queue.counts) {
            marks.append("full")
        }
        return marks.isEmpty ? "" : " (\(marks.joined(separator: ", ")))"
    }

    private static func json(
        _ queue: QueueStatus, _ running: [RunningJob], _ unknown: [String],
        _ pausedTypes: [PausedJobType], _ longRun: LongRun?, _ now: WallTime,
        _ store: JobStore
    ) -> String {
        var line = JSONLine()
        let counts = queue.counts
        line.add("queue", queue.name)
        line.add("pid", queue.ownerPID)
        line.add("at_once", queue.ownerPID.flatMap { store.placesOfRunners()[$0] })
        line.addRaw("paused", queue.isPaused ? "true" : "false")
        line.add("paused_types", Set(pausedTypes.map(\.name)).sorted().map { Array($0.utf8) })
        line.add("accepted", counts.accepted)
        line.add("ready", max(0, counts.ready - running.count))
        line.add("running", running.count)
        line.add("waiting", counts.waiting)
        line.add("parked", counts.parked)
        line.add("succeeded", counts.succeeded)
        line.add("failed", counts.failed)
        line.add("cancelled", counts.cancelled)
        line.add("dead", counts.deadLetters)
        line.add("expired", counts.expired)
        line.add("discarded", counts.discarded)
        line.add("dropped", counts.dropped)
        line.add("retries", counts.retries)
        line.addRaw("unserved", queue.isUnserved ? "true" : "false")
        line.add("unknown", unknown.map { Array($0.utf8) })
        let suspended = running.filter { store.isSuspended($0.id) }
        line.addRaw(
            "suspended", "[\(suspended.map(\.id.description).joined(separator: ","))]")
        line.add("bytes", counts.unfinishedBytes)
        if let capacity = queue.capacity {
            var part = JSONLine()
            CapacityText.add(capacity, to: &part)
            line.add("capacity", part)
        } else {
            line.addRaw("capacity", "null")
        }
        if let longest = running.first {
            var part = JSONLine()
            part.add("id", Int(clamping: longest.id.rawValue))
            part.add("attempt", longest.attempt)
            part.add("since", TimeText.iso(longest.since))
            part.add("seconds", Int(now.since(longest.since).components.seconds))
            line.add("longest", part)
        } else {
            line.addRaw("longest", "null")
        }
        if let longRun {
            var part = JSONLine()
            part.add("id", Int(clamping: longRun.id.rawValue))
            part.add("average", Int(longRun.average.components.seconds))
            line.add("overdue", part)
        } else {
            line.addRaw("overdue", "null")
        }
        return line.line
    }
}
