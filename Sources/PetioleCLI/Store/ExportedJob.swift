import Petiole

/// A line of `petiole export --what jobs`.
struct ExportedJob: Decodable {
    var v: Int?
    var id: UInt64
    var store: String?
    var state: String
    var queue: String
    var priority: Int
    var tags: [ExportedBytes]?
    var headers: [ExportedPair]?
    var arguments: [ExportedBytes]?
    var directory: ExportedBytes?
    var environment: [ExportedPair]?
    var added: [ExportedPair]?
    var stdin: ExportedInput?
    var nice: Int?
    var mark: ExportedBytes?
    var attempts: Int?
    var soft: Int64?
    var hard: Int64?
    var due: String?
    var expires: String?
    var after: [UInt64]?
    var anyEnd: [UInt64]?

    private enum CodingKeys: String, CodingKey {
        case v, id, store, state, queue, priority, tags, headers, arguments, directory, environment
        case stdin, nice, mark, attempts, soft, hard, due, expires, after
        case anyEnd = "after_any"
        case added = "environment_added"
    }

    var hasEnded: Bool {
        guard let state = JobFilter.State(rawValue: state) else { return false }
        return [
            .succeeded, .failed, .cancelled, .deadLetter, .expired, .discarded, .dropped,
        ].contains(state)
    }

    /// Nil when the line does not say of which store it is.
    var origin: JobOrigin? {
        store.flatMap { UInt64($0, radix: 16) }.map { JobOrigin(store: $0, id: id) }
    }

    /// Why it cannot be enqueued here; nil: it can.
    func reasonToLeaveOut(queue: String?) -> String? {
        switch JobFilter.State(rawValue: state) {
        case nil: return "this petiole knows no state \"\(visible(state))\""
        case .awaiting: return "it is a part of a workflow"
        default: break
        }
        if arguments == nil { return "it is no command" }
        if stdin?.isOfThatStore == true {
            return "its standard input is a block of petiole run --pipe; start that line again"
        }
        let suffix = ".then"
        if queue == nil, self.queue.hasSuffix(suffix),
            RunIdentity.isRun(String(self.queue.dropLast(suffix.count)))
        {
            return "it follows a run; the same line, started here, adds it"
        }
        return nil
    }

    /// What lies beside a payload has a length of 16 bits, and each tag and header some bytes more; times and the like take 200.
    private static let mostBeside = 65_000
    private var bytesBeside: Int {
        (mark?.bytes.count ?? 0) + (tags ?? []).reduce(0) { $0 + $1.bytes.count + 3 }
            + (headers ?? []).reduce(0) { $0 + $1.name.bytes.count + $1.value.bytes.count + 4 }
    }

    func command() throws -> Command {
        func variables(_ pairs: [ExportedPair]) -> [Command.Variable] {
            pairs.map { Command.Variable(name: $0.name.bytes, value: $0.value.bytes) }
        }
        guard bytesBeside <= Self.mostBeside else {
            throw Failure.usage(
                "mark, tags and headers have \(grouped(bytesBeside)) bytes together; \(grouped(Self.mostBeside)) are allowed"
            )
        }
        let environment: Command.Environment =
            if let environment { .exactly(variables(environment)) } else if let added {
                .inheritedWith(variables(added))
            } else { .inherited }
        let command = try Command(
            arguments: (arguments ?? []).map(\.bytes), workingDirectory: directory?.bytes,
            environment: environment, standardInput: stdin?.input ?? .null)
        guard let nice else { return command }
        guard (0...Int(Command.mostNiceness)).contains(nice) else {
            throw Failure.usage("nice is \(nice); 0 to \(Command.mostNiceness) are allowed")
        }
        return command.nicer(by: UInt8(nice))
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
        let due = try due.map { try Self.instant($0, line) }
        let expiry = try expires.map { try Self.instant($0, line) }
        // It waited for another attempt, and would have ended before that: it may have one here.
        let isNeverDue = if let due, let expiry { due >= expiry } else { false }
        options.due = isNeverDue ? nil : due.map { .at($0) }
        options.expiry = expiry.map { .at($0) }
        return options
    }

    private static func instant(_ text: String, _ line: Int) throws -> WallTime {
        guard let instant = TimeText.instant(text) else {
            throw Failure.usage("line \(line): \"\(visible(text))\" is no instant")
        }
        return instant
    }
}

struct ExportedPair: Decodable {
    var name: ExportedBytes
    var value: ExportedBytes
}

/// Where a standard input comes from that is not empty.
struct ExportedInput: Decodable {
    private var bytes: ExportedBytes?
    private var file: ExportedBytes?
    private var offset: Int?
    private var stored: ExportedBytes?

    /// A part of a file that was listed there, or a file of that store.
    var isOfThatStore: Bool { offset != nil || stored != nil }

    var input: Command.Input {
        if let bytes { return .bytes(bytes.bytes) }
        return file.map { .file(path: $0.bytes) } ?? .null
    }
}

/// Text, or an object with the bytes in base64.
struct ExportedBytes: Decodable {
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
