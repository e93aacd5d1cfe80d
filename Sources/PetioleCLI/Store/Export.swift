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
            their result. One job after the other is read and written: any number of them takes the same memory. Jobs that are \
            accepted meanwhile are left out, and those that are pruned meanwhile may be.

            JSON lines: the fields of `petiole jobs --json`; of jobs also store (its number), attempts (that are allowed), soft and hard (time \
            limits in microseconds), after_any (those of after whose end is enough), due, expires, headers, environment (a list of name and value; null: that of the process that \
            runs it), environment_added (the same, beside that), stdin (an object: bytes, or file, with offset and length a part of it, or \
            stored), nice, and mark (which input of a run it is); of outcomes and results exit or signal; of results stdout and stderr \
            (null: the file is not there) with stdout_bytes and stderr_bytes, all that was written, or result. Bytes that are not \
            UTF-8 stand as {"base64": "..."}.

            CSV (RFC 4180): a header and one row a job. Of jobs id, state, queue, priority, name, accepted, tags, attempt, due, \
            attempts, directory, command; of outcomes id, state, queue, name, attempt, started, microseconds, exit, signal, \
            error, fingerprint, command; of results these and stdout, stderr, result, stdout_bytes, stderr_bytes. The command stands as a shell reads it, \
            tags with a space between. Bytes that are not UTF-8, and text that begins with base64:, stand as base64: and their base64. \
            Fields stand as they are: a spreadsheet may take one that begins with =, +, - or @ for a formula, so let it read them as text. To a \
            terminal control characters are printed as \\u{1b}.

            Exit status 74: an output could not be read, and its row says null.

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
        if let queue = passing.queue { try KnownQueue.check(queue, store) }
        // What is accepted from here on is not for this export: it may be read by an import into this very store.
        let last = try store.lastJob()
        let filter = passing.filter(store, states: what == .jobs ? [] : Self.ended)
        let sink = try output.map { try Self.file(Arguments.bytes(of: $0)) } ?? .output
        // As it is, the output of a command could steer a terminal; JSON escapes that by itself.
        let escapes = format == .csv && sink.isTerminal
        func write(_ text: String) {
            sink.write(escapes ? ShownBytes.whole(Array(text.utf8)) : text)
        }
        if format == .csv { write(CSVLine.text(ExportRow.columns(what))) }
        var problem: (any Error)?
        var damage: StoreError?
        var missing = 0
        do {
            try store.forEachRecord(filter) { summary, extras, payload in
                if summary.id.rawValue > last { return false }
                if what != .jobs, !summary.state.isEnded { return true }
                do {
                    let row = try ExportRow(
                        summary, extras: Array(extras), payload: Array(payload), what, store)
                    write(format == .csv ? CSVLine.text(try row.fields) : try row.json + "\n")
                    for failure in row.missing {
                        missing += 1
                        say("job \(summary.id): \(failure.message)")
                    }
                } catch StoreError.noSuchJob {
                    // Pruned since it was found.
                } catch let error as StoreError {
                    guard case .damaged = error else {
                        problem = error
                        return false
                    }
                    say("\(error)")
                    damage = error
                } catch {
                    problem = error
                    return false
                }
                // Who reads has gone, or the disk is full: the rest is not read in vain.
                return sink.flushIfLarge() == nil
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
        if missing > 0 {
            throw Failure("\(counted(missing, "output")) could not be exported", status: 74)
        }
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
