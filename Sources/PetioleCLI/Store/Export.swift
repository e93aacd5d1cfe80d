import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole export`: jobs, outcomes or results as rows.
struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write jobs, outcomes or results as JSON lines or CSV.",
        discussion: """
            jobs: what `petiole import` can enqueue in another store, and where each is in its life. outcomes: what those that \
            have ended came to. results: the same with what their commands wrote, 16 MiB of each stream at most, or with \
            their result. One job after the other is read and written: any number of them takes the same memory.

            JSON lines: the fields of `petiole jobs --json`; of jobs also attempts (that are allowed), soft and hard (time \
            limits in microseconds), after_any (those of after whose end is enough), due, expires, headers, environment (a list of name and value; null: that of the process that \
            runs it); of outcomes and results exit or signal; of results stdout and stderr, or result. Bytes that are not \
            UTF-8 stand as {"base64": "..."}.

            CSV (RFC 4180): a header and one row a job. Of jobs id, state, queue, priority, name, accepted, tags, attempt, due, \
            attempts, directory, command; of outcomes id, state, queue, name, attempt, started, microseconds, exit, signal, \
            error, fingerprint, command; of results these and stdout, stderr, result. The command stands as a shell reads it, \
            tags with a space between. Bytes that are not UTF-8 stand as base64: and their base64.

            EXAMPLES
              petiole export --queue nightly -o nightly.jsonl
              petiole export --what outcomes --format csv --ended-since 1d > day.csv
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case jsonl, csv
    }
    enum What: String, CaseIterable, ExpressibleByArgument {
        case jobs, outcomes, results
    }

    @Option(help: ArgumentHelp("jsonl or csv.", valueName: "format"))
    var format = Format.jsonl

    @Option(help: ArgumentHelp("jobs, outcomes or results.", valueName: "what"))
    var what = What.jobs

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write into this file, not to standard output.", valueName: "file"),
        completion: .file())
    var output: String?

    @OptionGroup var passing: JobFilterOptions
    @OptionGroup var location: StoreLocation

    func run() throws {
        let store = try location.openExisting()
        let filter = passing.filter(store, states: what == .jobs ? [] : Self.ended)
        let sink = try output.map { try Self.file(Arguments.bytes(of: $0)) } ?? .output
        if format == .csv { sink.write(CSVLine.text(ExportRow.columns(what))) }
        var problem: (any Error)?
        var damage: StoreError?
        do {
            try store.forEachRecord(filter) { summary, _, payload in
                if what != .jobs, !summary.state.isEnded { return true }
                do {
                    let row = try ExportRow(summary, payload: Array(payload), what, store)
                    sink.write(
                        format == .csv ? CSVLine.text(try row.fields) : try row.json + "\n")
                    // Who reads has gone, or the disk is full: the rest is not read in vain.
                    return sink.flushIfLarge() == nil
                } catch {
                    problem = error
                    return false
                }
            }
        } catch {
            // Those that can be read were written.
            guard case .damaged = error else { throw error }
            damage = error
        }
        if let code = sink.flush() {
            guard let output else { return }
            throw Failure(
                "\(visible(output)) cannot be written: \(systemText(code))", status: 74)
        }
        if let problem { throw problem }
        if let damage { throw damage }
    }

    private static let ended: Set<JobFilter.State> = [
        .succeeded, .failed, .cancelled, .deadLetter, .expired, .discarded, .dropped,
    ]

    private static func file(_ path: [UInt8]) throws -> Standard {
        let file = (path + [0]).withUnsafeBytes { bytes in
            open(
                bytes.assumingMemoryBound(to: CChar.self).baseAddress!,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        }
        guard file >= 0 else {
            throw Failure(
                "\(Command.quoted(path)) cannot be written: \(systemText(errno))", status: 73)
        }
        return Standard(descriptor: file, endsAtFailure: true)
    }
}

/// One exported job.
private struct ExportRow {
    private let summary: JobSummary
    private let payload: [UInt8]
    private let what: Export.What
    private let store: JobStore
    private let command: Command?
    private let outcome: CommandOutcome?
    private let options: CarriedOptions?

    init(
        _ summary: JobSummary, payload: [UInt8], _ what: Export.What, _ store: JobStore
    ) throws {
        self.summary = summary
        self.payload = payload
        self.what = what
        self.store = store
        command = JobText.command(name: summary.name, payload: payload)
        outcome =
            what != .jobs && command != nil ? try store.commandOutcome(of: summary.id) : nil
        options = what == .jobs ? try store.carriedOptions(of: summary.id) : nil
    }

    // MARK: JSON

    var json: String {
        get throws {
            var line = JSONLine()
            JobText.add(summary, to: &line)
            if let command { JobText.add(command, to: &line) }
            switch what {
            case .jobs: try addOptions(to: &line)
            case .outcomes: addEnd(to: &line)
            case .results:
                addEnd(to: &line)
                if let end = outcome?.end {
                    line.add("stdout", try OutputText.bytes(end.output, store))
                    line.add("stderr", try OutputText.bytes(end.errorOutput, store))
                } else if let result = try result() {
                    line.addRaw("result", result)
                }
            }
            return line.line
        }
    }

    private func addOptions(to line: inout JSONLine) throws {
        if let attempts = options?.maxAttempts { line.add("attempts", attempts) }
        if let soft = options?.timeLimit?.soft { line.add("soft", soft.wholeMicroseconds) }
        if let hard = options?.timeLimit?.hard { line.add("hard", hard.wholeMicroseconds) }
        let anyEnd = try store.predecessors(of: summary.id).filter { $0.condition == .ended }
        if !anyEnd.isEmpty {
            let list = anyEnd.map(\.job.description).joined(separator: ",")
            line.addRaw("after_any", "[\(list)]")
        }
        // Of one that waits it is there already.
        if case .waiting = summary.state {
        } else if let due = options?.due {
            line.add("due", TimeText.iso(due))
        }
        if let expiry = options?.expiry { line.add("expires", TimeText.iso(expiry)) }
        if !summary.metadata.headers.isEmpty {
            line.add(
                "headers",
                objects: summary.metadata.headers.sorted { $0.key < $1.key }.map { header in
                    var part = JSONLine()
                    part.add("name", header.key)
                    part.add("value", header.value)
                    return part
                })
        }
        guard let command else { return }
        switch command.environment {
        case .inherited, .inheritedWith: line.addRaw("environment", "null")
        case .exactly(let variables):
            line.add(
                "environment",
                objects: variables.map { variable in
                    var part = JSONLine()
                    part.add("name", variable.name)
                    part.add("value", variable.value)
                    return part
                })
        }
    }

    private func addEnd(to line: inout JSONLine) {
        switch outcome?.end?.cause {
        case .exited(let code): line.add("exit", Int(code))
        case .signalled(let signal, _): line.add("signal", Int(signal))
        case .lost, nil: break
        }
    }

    /// JSON text on one line; nil: there is none, or it cannot be shown so.
    private func result() throws -> String? {
        guard command == nil, case .ended(let end) = summary.state, end.kind == .succeeded else {
            return nil
        }
        return try store.details(of: summary.id).resultJSON().map { Show.oneLine($0) }
    }

    // MARK: CSV

    static func columns(_ what: Export.What) -> [String] {
        switch what {
        case .jobs:
            [
                "id", "state", "queue", "priority", "name", "accepted", "tags", "attempt", "due",
                "attempts", "directory", "command",
            ]
        case .outcomes:
            [
                "id", "state", "queue", "name", "attempt", "started", "microseconds", "exit",
                "signal", "error", "fingerprint", "command",
            ]
        case .results: columns(.outcomes) + ["stdout", "stderr", "result"]
        }
    }

    var fields: [String] {
        get throws {
            let id = summary.id.description
            let state = JobText.word(summary.state)
            let line = command?.description ?? ""
            if what == .jobs {
                var attempt = ""
                var due = options?.due.map { TimeText.iso($0) } ?? ""
                switch summary.state {
                case .running(let number, _, _): attempt = String(number)
                case .ended(let outcome): attempt = String(outcome.attempt)
                case .waiting(let time, let attempts):
                    attempt = String(attempts)
                    due = TimeText.iso(time)
                case .ready, .parked, .paused, .held, .awaiting: break
                }
                return [
                    id, state, summary.queue, String(summary.priority), summary.name,
                    TimeText.iso(summary.acceptedAt),
                    summary.metadata.tags.joined(separator: " "), attempt, due,
                    options?.maxAttempts.map { String($0) } ?? "",
                    CSVLine.field(command?.workingDirectory ?? []), line,
                ]
            }
            guard case .ended(let end) = summary.state else { return [] }
            var exit = ""
            var signal = ""
            switch outcome?.end?.cause {
            case .exited(let code): exit = String(code)
            case .signalled(let number, _): signal = String(number)
            case .lost, nil: break
            }
            let fields = [
                id, state, summary.queue, summary.name, String(end.attempt),
                TimeText.iso(end.startedAt), String(end.runTime.wholeMicroseconds), exit, signal,
                end.failure.map { "\($0.type): \($0.message)" } ?? "",
                end.failure?.fingerprint ?? "", line,
            ]
            guard what == .results else { return fields }
            guard let outputs = outcome?.end else {
                return fields + ["", "", try result() ?? ""]
            }
            return fields + [
                CSVLine.field(try OutputText.bytes(outputs.output, store)),
                CSVLine.field(try OutputText.bytes(outputs.errorOutput, store)), "",
            ]
        }
    }
}
