import ArgumentParser
import Petiole

/// `petiole import`: enqueues what `petiole export` has written.
struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Enqueue commands that `petiole export` has written, in this store.",
        discussion: """
            Takes the JSON lines of `petiole export --what jobs`, from a file or standard input. Commands that had not ended are \
            enqueued: with their arguments, working directory, environment, queue, priority, attempts, time limits, tags, \
            headers, due time and expiry. Ids are new. What had ended is passed over, and so is what is no command, or came \
            after a job that is not among those that are taken; one that ran, or was held by hand, is enqueued like one that was ready. Not carried \
            are attempts that failed, what ran commands of `petiole run` (their inputs), unique keys, limits, capacities, pauses \
            and schedules.

            A line that cannot be read ends it: what came before it stays enqueued, and how much that is, is said. To move \
            jobs, export those of a queue that nobody runs, import them, then purge them. Ids of the jobs, some 50 bytes each, are \
            kept in memory.

            EXAMPLES
              petiole export --queue nightly | petiole import --store /srv/jobs
              petiole import --queue later nightly.jsonl
            """)

    @Option(help: ArgumentHelp("Into this queue, whatever the line says.", valueName: "name"))
    var queue: String?

    @Flag(help: "Only say how many would be enqueued.")
    var dryRun = false

    @Flag(help: "Print a JSON object: v, dry_run, enqueued, ended, left_out.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(
        help: ArgumentHelp("The file; - or none: standard input.", valueName: "file"),
        completion: .file())
    var file = "-"

    func validate() throws {
        if let queue { try CommandQueue.check(queue) }
    }

    func run() async throws {
        // Opened first: a store is not made for a file that is not there.
        let wake = try WakePipe()
        var stream = try ByteStream.ofImport(Arguments.bytes(of: file), stop: wake.reading)
        let importer = Importer(
            store: dryRun ? nil : try location.openOrMake(), queue: queue)
        do {
            var rest: [UInt8] = []
            while !stream.isAtEnd {
                var lines: [[UInt8]] = []
                _ = try stream.read { bytes in
                    var left = bytes[...]
                    while let end = left.firstIndex(of: UInt8(ascii: "\n")) {
                        lines.append(rest + left[..<end])
                        rest = []
                        left = left[(end + 1)...]
                    }
                    rest += left
                }
                for line in lines { try await importer.take(line) }
                if rest.count > Importer.lineLimit {
                    throw Failure.usage("line \(importer.line + 1) has more than 64 MiB")
                }
            }
            if !rest.isEmpty { try await importer.take(rest) }
            try await importer.flush()
        } catch {
            guard var failure = Failure(error) else { throw error }
            if failure.status == 125 { failure.status = 74 }
            failure.message +=
                "\n\(counted(importer.enqueued, "job")) \(importer.enqueued == 1 ? "is" : "are") enqueued"
            throw failure
        }
        tell(importer)
    }

    private func tell(_ importer: Importer) {
        if json {
            var line = JSONLine()
            line.add("dry_run", dryRun)
            line.add("enqueued", importer.enqueued)
            line.add("ended", importer.ended)
            line.add("left_out", importer.leftOut)
            return Standard.output.line(line.line)
        }
        var text =
            "\(counted(importer.enqueued, "job")) \(dryRun ? "would be" : importer.enqueued == 1 ? "is" : "are") enqueued"
        if importer.ended > 0 { text += ", \(grouped(importer.ended)) had ended" }
        if importer.leftOut > 0 {
            text +=
                ", \(grouped(importer.leftOut)) are no commands, or came after what is not there"
        }
        Standard.output.line(text)
    }
}

extension ByteStream {
    fileprivate static func ofImport(_ path: [UInt8], stop: Int32) throws -> ByteStream {
        do {
            return try ByteStream(path: path, stop: stop)
        } catch {
            guard var failure = Failure(error) else { throw error }
            failure.status = 66
            throw failure
        }
    }
}

/// Takes lines, and enqueues those that follow each other and have the same options together.
private final class Importer {
    static let lineLimit = 64 << 20
    /// So many are enqueued at once, or fewer of 4 MiB.
    private static let batch = 1_000
    private static let batchBytes = 4 << 20

    /// Nil: nothing is enqueued.
    private let store: JobStore?
    private let queue: String?
    private(set) var line = 0
    private(set) var enqueued = 0
    private(set) var ended = 0
    private(set) var leftOut = 0

    private var gathered: [(old: UInt64, command: Command)] = []
    private var bytes = 0
    private var options = EnqueueOptions()
    /// New ids by old ones, of jobs that others may come after: all of them, since who comes after is known later.
    private var ids: [UInt64: UInt64] = [:]

    init(store: JobStore?, queue: String?) {
        self.store = store
        self.queue = queue
    }

    func take(_ text: [UInt8]) async throws {
        line += 1
        if text.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { return }
        let job: ExportedJob
        do {
            job = try PayloadCodec.readJSON(ExportedJob.self, text)
        } catch {
            throw Failure.usage(
                """
                line \(line) is none of `petiole export --what jobs`: \(visible("\(error)"))
                """)
        }
        guard !job.hasEnded else { return ended += 1 }
        guard let arguments = job.arguments else { return leftOut += 1 }
        var options = try job.options(queue: queue, line: line)
        for old in job.after ?? [] {
            if !gathered.isEmpty { try await flush() }
            guard let id = ids[old] else { return leftOut += 1 }
            let new = JobID(rawValue: id)
            let isAnyEnd = job.anyEnd?.contains(old) == true
            options.after.append(isAnyEnd ? .end(of: new) : .success(of: new))
        }
        let command: Command
        do {
            command = try Command(
                arguments: arguments.map(\.bytes), workingDirectory: job.directory?.bytes,
                environment: job.environment.map { list in
                    .exactly(
                        list.map {
                            Command.Variable(name: $0.name.bytes, value: $0.value.bytes)
                        })
                } ?? .inherited)
        } catch {
            throw Failure.usage("line \(line): \(error)")
        }
        if options != self.options || gathered.count >= Self.batch || bytes >= Self.batchBytes {
            try await flush()
        }
        self.options = options
        gathered.append((job.id, command))
        bytes += text.count
    }

    func flush() async throws {
        if gathered.isEmpty { return }
        var new: [UInt64] = []
        if let store {
            let requests = gathered.map { JobStore.CommandRequest(command: $0.command) }
            new = try await store.enqueue(commands: requests, options: options).flatMap {
                Array($0)
            }
        } else {
            // Stands for itself: nothing is enqueued.
            new = gathered.map(\.old)
        }
        for (job, id) in zip(gathered, new) { ids[job.old] = id }
        enqueued += gathered.count
        gathered = []
        bytes = 0
    }
}

/// A line of `petiole export --what jobs`.
private struct ExportedJob: Decodable {
    var id: UInt64
    var state: String
    var queue: String
    var priority: Int
    var tags: [ExportedBytes]?
    var headers: [ExportedPair]?
    var arguments: [ExportedBytes]?
    var directory: ExportedBytes?
    var environment: [ExportedPair]?
    var attempts: Int?
    var soft: Int64?
    var hard: Int64?
    var due: String?
    var expires: String?
    var after: [UInt64]?
    var anyEnd: [UInt64]?

    private enum CodingKeys: String, CodingKey {
        case id, state, queue, priority, tags, headers, arguments, directory, environment
        case attempts, soft, hard, due, expires, after
        case anyEnd = "after_any"
    }

    var hasEnded: Bool {
        guard let state = JobFilter.State(rawValue: state) else { return false }
        return [
            .succeeded, .failed, .cancelled, .deadLetter, .expired, .discarded, .dropped,
        ].contains(state)
    }

    func options(queue: String?, line: Int) throws -> EnqueueOptions {
        var options = EnqueueOptions(queue: queue ?? self.queue, priority: priority)
        options.maxAttempts = attempts
        if soft != nil || hard != nil {
            options.timeLimit = TimeLimit(
                soft: soft.map { .microseconds($0) }, hard: hard.map { .microseconds($0) })
        }
        if tags != nil || headers != nil {
            var headers: [String: String] = [:]
            for header in self.headers ?? [] { headers[header.name.text] = header.value.text }
            options.metadata = JobMetadata(tags: (tags ?? []).map(\.text), headers: headers)
        }
        options.due = try due.map { .at(try Self.instant($0, line)) }
        options.expiry = try expires.map { .at(try Self.instant($0, line)) }
        return options
    }

    private static func instant(_ text: String, _ line: Int) throws -> WallTime {
        guard let instant = TimeText.instant(text) else {
            throw Failure.usage("line \(line): \"\(visible(text))\" is no instant")
        }
        return instant
    }
}

private struct ExportedPair: Decodable {
    var name: ExportedBytes
    var value: ExportedBytes
}

/// Text, or an object with the bytes in base64.
private struct ExportedBytes: Decodable {
    let bytes: [UInt8]
    var text: String { String(decoding: bytes, as: UTF8.self) }

    private enum Keys: String, CodingKey { case base64 }

    init(from decoder: any Decoder) throws {
        // No object: then it is text, or what is wrong is told below.
        if let container = try? decoder.container(keyedBy: Keys.self) {
            let text = try container.decode(String.self, forKey: .base64)
            guard let bytes = Self.decoded(Array(text.utf8)) else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: decoder.codingPath, debugDescription: "it is no base64"))
            }
            self.bytes = bytes
            return
        }
        bytes = Array(try decoder.singleValueContainer().decode(String.self).utf8)
    }

    private static func decoded(_ text: [UInt8]) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: text.count, by: 4) {
            let digits = text[start..<start + 4]
            let padding = digits.count { $0 == UInt8(ascii: "=") }
            guard padding < 3, padding == 0 || start + 4 == text.count,
                digits.suffix(padding).allSatisfy({ $0 == UInt8(ascii: "=") })
            else { return nil }
            var group = 0
            for digit in digits {
                guard let value = value(digit) else { return nil }
                group = group << 6 | value
            }
            for place in 0..<3 - padding { bytes.append(UInt8(group >> (16 - 8 * place) & 255)) }
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> Int? {
        switch digit {
        case 0x41...0x5A: Int(digit - 0x41)
        case 0x61...0x7A: Int(digit - 0x61) + 26
        case 0x30...0x39: Int(digit - 0x30) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        case UInt8(ascii: "="): 0
        default: nil
        }
    }
}
