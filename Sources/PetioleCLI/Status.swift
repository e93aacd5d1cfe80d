import ArgumentParser
import Petiole

/// `petiole status`: what lies in the store, and who runs it.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show the queues: how many jobs are where, who runs them, what has been running longest.",
        discussion: """
            With --json one object a queue: v, queue, pid (of the process that runs it, or null), paused, accepted, \
            ready, running, waiting, parked, succeeded, failed, cancelled, dead, expired, discarded, retries, unserved \
            (whether jobs wait that no process runs), unknown (names of parked jobs), longest (null, or id, attempt, \
            since, seconds).
            """)

    @Flag(help: "Print a JSON object for each queue.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        let store = try location.openExisting()
        let queues = try store.queues()
        let running = try store.runningJobs()
        let now = store.now
        if json {
            for queue in queues {
                Standard.output.line(
                    Self.json(
                        queue, running.filter { $0.queue == queue.name },
                        try store.unknownNames(queue: queue.name), now))
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
                visible(queue.name) + (queue.isPaused ? " (paused)" : ""),
                queue.ownerPID.map { String($0) } ?? "-", grouped(inFlight),
                grouped(max(0, counts.ready - inFlight)), grouped(counts.waiting + counts.parked),
                grouped(counts.succeeded), grouped(counts.failed), grouped(counts.deadLetters),
                grouped(counts.cancelled),
            ])
        }
        for line in table.lines { Standard.output.line(line) }
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
    }

    private static func json(
        _ queue: QueueStatus, _ running: [RunningJob], _ unknown: [String], _ now: WallTime
    ) -> String {
        var line = JSONLine()
        let counts = queue.counts
        line.add("queue", queue.name)
        line.add("pid", queue.ownerPID)
        line.addRaw("paused", queue.isPaused ? "true" : "false")
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
        line.add("retries", counts.retries)
        line.addRaw("unserved", queue.isUnserved ? "true" : "false")
        line.add("unknown", unknown.map { Array($0.utf8) })
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
        return line.line
    }
}
