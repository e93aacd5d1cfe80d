import Petiole

/// The runs that a store knows: each generation of each, by the queues of their jobs.
enum RunList {
    static func show(_ store: JobStore, json: Bool) throws {
        var table = TextTable([
            ("jobs", .right), ("done", .right), ("failed", .right), ("left", .right),
            ("process", .right), ("in", .left), ("run", .left),
        ])
        var lines = RunLine()
        var count = 0
        let places = store.placesOfRunners()
        for queue in try store.queues() where RunIdentity.isRun(queue.name) {
            guard let (command, input) = try first(of: queue.name, store) else { continue }
            count += 1
            let counts = queue.counts
            let text = line(command, input, queue.name, &lines)
            let directory = command.workingDirectory ?? []
            if json {
                var line = JSONLine()
                line.add("queue", queue.name)
                line.add("run", text)
                line.add("directory", directory)
                line.add("jobs", counts.accepted)
                line.add("succeeded", counts.succeeded)
                line.add("failed", counts.ended - counts.succeeded)
                line.add("left", counts.unfinished)
                line.add("pid", queue.ownerPID)
                line.add("at_once", queue.ownerPID.flatMap { places[$0] })
                Standard.output.line(line.line)
            } else {
                table.add([
                    grouped(counts.accepted), grouped(counts.succeeded),
                    grouped(counts.ended - counts.succeeded), grouped(counts.unfinished),
                    queue.ownerPID.map(String.init) ?? "-", Command.quoted(directory), text,
                ])
            }
        }
        if json { return }
        if count == 0 { return Standard.output.line("no runs") }
        for line in table.lines { Standard.output.line(line) }
    }

    /// The line of a run; nil when none of its jobs is kept.
    static func line(ofRun queue: String, _ store: JobStore) throws -> String? {
        var lines = RunLine()
        return try first(of: queue, store).map { line($0, $1, queue, &lines) }
    }

    /// Any of its jobs: all of a run are made of one line.
    private static func first(
        of queue: String, _ store: JobStore
    ) throws -> (Command, input: [[UInt8]])? {
        var found: (Command, input: [[UInt8]])?
        var filter = JobFilter()
        filter.queue = queue
        try store.forEachRecord(filter) { summary, extras, payload in
            guard
                let command = JobText.command(name: summary.name, payload: Array(payload))
            else { return true }
            // None of a long input, which its digest stands for.
            found = (command, InputMark.values(extras) ?? [])
            return false
        }
        return found
    }

    /// As it was typed, as far as that can be told: a command in words has its input in them, and in some words it stands
    /// by chance. The run's name tells which was it.
    private static func line(
        _ command: Command, _ input: [[UInt8]], _ queue: String, _ lines: inout RunLine
    ) -> String {
        if let template = lines.template(of: command, queue: queue) {
            return Command.quoted(template)
        }
        let place = Array("{}".utf8)
        let words = command.arguments
        let whole = words.map { input.contains($0) ? place : $0 }
        let everywhere = words.map { word in
            input.reduce(word) { $1.isEmpty ? $0 : $0.replacing($1, with: place) }
        }
        let end = words.count > 1 && input.contains(words[words.count - 1])
        let some = [end ? Array(words.dropLast()) : whole, whole, everywhere]
        let blank = [UInt8(ascii: " ")]
        for words in some + some.map({ [Array($0.joined(separator: blank))] }) {
            // What is no command is none that was given.
            guard
                let template = try? CommandTemplate(
                    words: words, directory: command.workingDirectory ?? []),
                RunIdentity(template, directory: command.workingDirectory ?? []).owns(queue)
            else { continue }
            return words.map { Command.quoted($0) }.joined(separator: " ")
        }
        return whole.map { Command.quoted($0) }.joined(separator: " ")
    }
}
