import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Whether the input of `run` is cut into blocks for the standard input of commands, and where.
struct RunPipeOptions: ParsableArguments {
    @Flag(
        help:
            "Cut standard input, or the file of -a, into blocks at the ends of records; each is the standard input of a command."
    )
    var pipe = false

    @Flag(
        help: "The same as --pipe, of a regular file alone, which is read in place: -a FILE.")
    var pipepart = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of a block, to the end of the record that they end in; 1M if not given. K, M, G are 1024-fold, k, m, g 1000-fold.",
            valueName: "size"))
    var block: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "What a record begins with; \\n, \\t, \\r, \\0, \\x1e stand for a byte.",
            valueName: "text"))
    var recstart: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "What a record ends with; a newline, or nothing with --recstart. With '' alone a block has exactly its size.",
            valueName: "text"))
    var recend: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Of a pipe, so many blocks at most lie in the store that have not ended; else twice the commands at once, and 2.",
            valueName: "n"))
    var blocksAhead: Int?

    var isOn: Bool { pipe || pipepart }

    func validate() throws {
        guard isOn else {
            if block != nil || recstart != nil || recend != nil || blocksAhead != nil {
                throw ValidationError(
                    "--block, --recstart, --recend and --blocks-ahead go with --pipe")
            }
            return
        }
        _ = try bytes
        _ = try rule
        if let blocksAhead, !(1...1_000_000).contains(blocksAhead) {
            throw ValidationError("--blocks-ahead takes 1 to 1,000,000")
        }
    }

    /// What else says what an input is, says nothing here.
    func checkAlone(_ inputs: RunInputOptions) throws {
        if inputs.isZeroSeparated || inputs.delimiter != nil {
            throw ValidationError("--recend says what ends a record of --pipe; leave -0 and -d out")
        }
        let isShaped =
            inputs.csv || inputs.tsv || inputs.jsonl || inputs.columnSeparator != nil
            || inputs.header != nil || inputs.lineCount != nil || inputs.fits || inputs.isShuffled
        if isShaped {
            throw ValidationError(
                "a block of --pipe is one input; leave --csv, --tsv, --jsonl, --colsep, --header, -L, -X and --shuf out"
            )
        }
        _ = try size(records: inputs.count)
        if !Arguments.listed.isEmpty || !inputs.find.isEmpty || !inputs.glob.isEmpty {
            throw ValidationError(
                "--pipe cuts standard input or the file of -a; leave :::, ::::, --find and --glob out"
            )
        }
    }

    /// - Parameter records: of a block; nil: it has so many bytes.
    private func size(records: Int?) throws -> BlockSize {
        guard let records else { return .bytes(try bytes) }
        if block != nil {
            throw ValidationError("-N says how many records a block has; leave --block out")
        }
        if try rule.length == 0 {
            throw ValidationError("-N counts records; --recend or --recstart says where one ends")
        }
        return .records(records)
    }

    private var bytes: Int {
        get throws {
            guard let block else { return 1 << 20 }
            guard let size = Self.size(block), size >= 1 else {
                throw ValidationError("--block takes a size of at least 1: 100k, 10M, 1G")
            }
            return size
        }
    }

    static func size(_ text: String) -> Int? {
        let units: [Character: Int] = ["k": 1_000, "m": 1_000_000, "g": 1_000_000_000]
        guard let last = text.last, let unit = units[last] else { return SizeText.bytes(text) }
        guard let number = Int(text.dropLast()), number >= 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? nil : bytes
    }

    private var rule: RecordRule {
        get throws {
            func bytes(_ text: String, _ option: String) throws -> [UInt8] {
                guard let bytes = RecordRule.bytes(Arguments.bytes(of: text)) else {
                    throw ValidationError(
                        "\(option) takes at most \(RecordRule.longest) bytes, and behind a backslash n, t, r, 0, x and two digits, or a backslash"
                    )
                }
                return bytes
            }
            let start = try recstart.map { try bytes($0, "--recstart") }
            let end = try recend.map { try bytes($0, "--recend") }
            if start == nil, end == nil { return .lines }
            return RecordRule(end: end ?? [], start: start ?? [])
        }
    }

    /// What makes a run with blocks another than one without, or with other ones.
    /// - Parameter records: of a block; nil: it has so many bytes.
    func mark(records: Int?) throws -> [UInt8] {
        guard isOn else { return [] }
        let rule = try rule
        let size =
            switch try size(records: records) {
            case .bytes(let bytes): "\(bytes)"
            case .records(let records): "-N \(records)"
            }
        return Array("pipe \(size) \(rule.end.count) ".utf8) + rule.end + rule.start
    }

    /// - Parameters:
    ///   - files: of `-a`.
    ///   - records: of a block; nil: it has so many bytes.
    ///   - isLine: whether the command is a line for a shell.
    ///   - directory: where the commands run.
    ///   - own: this process's directory, which names of files are meant from.
    ///   - run: the name of the run.
    ///   - stop: becomes readable when reading is to end.
    func feed(
        files: [[UInt8]], records: Int?, words: [[UInt8]], isLine: Bool, directory: [UInt8],
        from own: [UInt8],
        run: String, stop: Int32
    ) throws -> PipeFeed {
        let template = try PipeTemplate(words: words, isLine: isLine, directory: directory)
        guard files.count <= 1 else {
            throw Failure.usage(
                "--pipe takes one file\ncat several into it: cat a b | petiole run --pipe …")
        }
        let given = files.first.flatMap { $0 == Array("-".utf8) ? nil : $0 }
        let descriptor = try given.map { try Self.open($0) } ?? 0
        let (size, rule) = (try size(records: records), try rule)
        let path = given.map { Self.absolute($0, own) } ?? Self.path(of: descriptor)
        // A file of /proc says that it has no bytes, and is read like a pipe; so is one that has none, to its end.
        if let identity = FileRange.Identity(of: descriptor), let path,
            identity.size > 0 || pipepart, Self.isSame(path, as: identity)
        {
            // Where whoever handed standard input over left it.
            let position = lseek(descriptor, 0, SEEK_CUR)
            let blocks = FileBlocks(
                descriptor, path: path, identity, from: UInt64(max(0, position)), size: size, rule)
            return PipeFeed(blocks, template, stop: stop)
        }
        if pipepart {
            throw Failure.usage(
                """
                --pipepart reads a regular file in place, and \(given.map { Command.quoted($0) } ?? "standard input") is none
                name one with -a, or give --pipe, which stores the blocks of a pipe until they have ended
                """)
        }
        if given == nil, Standard.isInputTerminal {
            throw Failure.usage(
                "--pipe reads standard input, which is the terminal\ngive it a file: -a FILE, or < FILE"
            )
        }
        let blocks = PipeBlocks(
            descriptor, named: given.map { Command.quoted($0) } ?? "standard input", stop: stop,
            size: size, rule)
        return PipeFeed(blocks, template, most: blocksAhead, run: run, stop: stop)
    }

    // MARK: Files

    private static func open(_ path: [UInt8]) throws -> Int32 {
        let file = withPath(path) { systemOpen($0, O_RDONLY | O_CLOEXEC) }
        guard file >= 0 else {
            throw Failure(
                "the file \(Command.quoted(path)) cannot be read: \(systemText(errno))",
                status: 125)
        }
        return file
    }

    private static func absolute(_ path: [UInt8], _ directory: [UInt8]) -> [UInt8] {
        path.first == UInt8(ascii: "/") ? path : directory + [UInt8(ascii: "/")] + path
    }

    /// Under which name an open file can be found, if it has one.
    private static func path(of descriptor: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX) + 1)
        #if canImport(Darwin)
            guard fcntl(descriptor, F_GETPATH, &buffer) == 0 else { return nil }
            return Array(buffer.prefix { $0 != 0 })
        #else
            let count = buffer.withUnsafeMutableBytes {
                readlink(
                    "/proc/self/fd/\(descriptor)",
                    $0.assumingMemoryBound(to: CChar.self).baseAddress!, Int(PATH_MAX))
            }
            return count > 0 && buffer[0] == UInt8(ascii: "/") ? Array(buffer[..<count]) : nil
        #endif
    }

    /// Whether the file is found under the name. One that lost its name is read as a pipe.
    private static func isSame(_ path: [UInt8], as identity: FileRange.Identity) -> Bool {
        let file = withPath(path) { systemOpen($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        guard file >= 0 else { return false }
        defer { close(file) }
        return FileRange.Identity(of: file) == identity
    }

    private static func withPath<Value>(
        _ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Value
    ) -> Value {
        (path + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
    }
}

private func systemOpen(_ path: UnsafePointer<CChar>, _ flags: Int32) -> Int32 {
    open(path, flags)
}
