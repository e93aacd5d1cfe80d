import Petiole

/// One exported job.
struct ExportRow {
    private let summary: JobSummary
    private let extras: [UInt8]
    private let what: Export.What
    private let store: JobStore
    private let command: Command?
    private let outcome: CommandOutcome?
    private let options: CarriedOptions?
    /// What the command wrote; nil: it cannot be read.
    private let streams: (output: [UInt8]?, errorOutput: [UInt8]?)
    /// Why some of it cannot.
    let missing: [Failure]

    /// - Throws: ``StoreError/noSuchJob(_:)`` when the job was pruned meanwhile.
    init(
        _ summary: JobSummary, extras: [UInt8], payload: [UInt8], _ what: Export.What,
        _ store: JobStore
    ) throws {
        self.summary = summary
        self.extras = extras
        self.what = what
        self.store = store
        command = JobText.command(name: summary.name, payload: payload)
        outcome =
            what != .jobs && command != nil ? try store.commandOutcome(of: summary.id) : nil
        options = what == .jobs ? try store.carriedOptions(of: summary.id) : nil
        // What has ended has an outcome, and what can be read was told something.
        if command != nil, what == .jobs ? options == nil : outcome == nil {
            throw StoreError.noSuchJob(summary.id)
        }
        var missing: [Failure] = []
        func read(_ output: CapturedOutput) throws -> [UInt8]? {
            do {
                return try OutputText.bytes(output, store)
            } catch let failure as Failure {
                // Its file goes behind the job: then there is nothing to be said of either.
                guard try store.commandOutcome(of: summary.id) != nil else {
                    throw StoreError.noSuchJob(summary.id)
                }
                missing.append(failure)
                return nil
            }
        }
        if what == .results, let end = outcome?.end {
            streams = (try read(end.output), try read(end.errorOutput))
        } else {
            streams = (nil, nil)
        }
        self.missing = missing
    }

    // MARK: JSON

    var json: String {
        get throws {
            var line = JSONLine()
            JobText.add(summary, to: &line)
            if let command { JobText.add(command, to: &line) }
            JobText.add(input: extras.withUnsafeBytes { InputMark.values($0) }, to: &line)
            switch what {
            case .jobs: try addOptions(to: &line)
            case .outcomes: addEnd(to: &line)
            case .results:
                addEnd(to: &line)
                if let end = outcome?.end {
                    Self.add("stdout", end.output, streams.output, to: &line)
                    Self.add("stderr", end.errorOutput, streams.errorOutput, to: &line)
                } else {
                    switch try result() {
                    case .json(let text)?: line.addRaw("result", text)
                    case .bytes(let bytes)?: line.add("result", bytes)
                    case nil: break
                    }
                }
            }
            return line.line
        }
    }

    private static func add(
        _ name: String, _ output: CapturedOutput, _ bytes: [UInt8]?, to line: inout JSONLine
    ) {
        if let bytes { line.add(name, bytes) } else { line.addRaw(name, "null") }
        line.add("\(name)_bytes", Int(clamping: output.byteCount))
    }

    private func addOptions(to line: inout JSONLine) throws {
        line.add("store", String(store.number, radix: 16))
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
            let headers = summary.metadata.headers.sorted { $0.key < $1.key }.map {
                Command.Variable($0.key, $0.value)
            }
            Self.add("headers", headers, to: &line)
        }
        if !extras.isEmpty { line.add("mark", extras) }
        if let command { Self.add(command, to: &line) }
    }

    private static func add(_ command: Command, to line: inout JSONLine) {
        switch command.environment {
        case .inherited: line.addRaw("environment", "null")
        case .inheritedWith(let variables):
            line.addRaw("environment", "null")
            add("environment_added", variables, to: &line)
        case .exactly(let variables): add("environment", variables, to: &line)
        }
        var input = JSONLine()
        switch command.standardInput {
        case .null: break
        case .bytes(let bytes): input.add("bytes", bytes)
        case .file(let path): input.add("file", path)
        case .range(let range):
            input.add("file", range.path)
            input.add("offset", Int(clamping: range.offset))
            input.add("length", Int(clamping: range.length))
        case .stored(let name): input.add("stored", name)
        }
        if command.standardInput != .null { line.add("stdin", input) }
        if command.niceness > 0 { line.add("nice", Int(command.niceness)) }
    }

    private static func add(
        _ name: String, _ pairs: [Command.Variable], to line: inout JSONLine
    ) {
        line.add(
            name,
            objects: pairs.map { pair in
                var part = JSONLine()
                part.add("name", pair.name)
                part.add("value", pair.value)
                return part
            })
    }

    private func addEnd(to line: inout JSONLine) {
        switch outcome?.end?.cause {
        case .exited(let code): line.add("exit", Int(code))
        case .signalled(let signal, _): line.add("signal", Int(signal))
        case .lost, nil: break
        }
    }

    private enum Result {
        /// On one line.
        case json(String)
        case bytes([UInt8])
    }

    /// A result's JSON may have this much; of one that has more the bytes are given.
    private static let resultLimit = 64 << 20

    /// Of a job that is no command; nil: there is none.
    private func result() throws -> Result? {
        guard command == nil, case .ended(let end) = summary.state, end.kind == .succeeded else {
            return nil
        }
        let details = try store.details(of: summary.id)
        if let json = details.resultJSON(limit: Self.resultLimit) {
            return .json(Show.oneLine(json))
        }
        return details.resultCodec == nil || details.result.isEmpty ? nil : .bytes(details.result)
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
        case .results:
            columns(.outcomes) + ["stdout", "stderr", "result", "stdout_bytes", "stderr_bytes"]
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
            guard let end = outcome?.end else {
                let text =
                    switch try result() {
                    case .json(let text)?: text
                    case .bytes(let bytes)?: CSVLine.field(bytes)
                    case nil: ""
                    }
                return fields + ["", "", text, "", ""]
            }
            return fields + [
                CSVLine.field(streams.output ?? []), CSVLine.field(streams.errorOutput ?? []), "",
                String(end.output.byteCount), String(end.errorOutput.byteCount),
            ]
        }
    }
}
