import ArgumentParser
import Petiole

/// Where the inputs of `run` come from, and what one is made of.
struct RunInputOptions: ParsableArguments {
    @Flag(name: .customShort("0"), help: "Inputs that are read end with a zero byte.")
    var isZeroSeparated = false

    @Option(
        name: [.customShort("d", allowingJoined: true), .customLong("delimiter")],
        parsing: .unconditional,
        help: ArgumentHelp(
            "Inputs that are read end with this character: one, or \\n, \\t, \\0.",
            valueName: "character"))
    var delimiter: String?

    @Option(
        name: [.customShort("a", allowingJoined: true), .customLong("arg-file")],
        help: ArgumentHelp(
            "Read the inputs from this file, as with ::::; -: from standard input.",
            valueName: "file"))
    var inputFiles: [String] = []

    @Option(
        help: ArgumentHelp(
            "The files below this folder are the inputs, those of --glob if it is given.",
            valueName: "folder"))
    var find: [String] = []

    @Option(
        help: ArgumentHelp(
            "Files whose name matches this pattern: below --find, else from here: 'logs/*.log'.",
            valueName: "pattern"))
    var glob: [String] = []

    @Flag(
        help: "Inputs are rows of CSV, the first their header: {name} is a column, {2} the second.")
    var csv = false

    @Flag(help: "Inputs are rows with tabs between, the first their header.")
    var tsv = false

    @Option(
        name: [.customShort("C", allowingJoined: true), .customLong("colsep")],
        parsing: .unconditional,
        help: ArgumentHelp(
            "Inputs are columns with this text between them, or \\t, or \\s+ for blanks: {1}, {2}; with --csv in place of the comma.",
            valueName: "text"))
    var columnSeparator: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            ": takes the first row for names of the columns or inputs; none: --csv and --tsv have none.",
            valueName: ":|none"))
    var header: String?

    @Flag(help: "Inputs are JSON values, one a line: {name} and {user.name} are their fields.")
    var jsonl = false

    @Option(
        name: [
            .customShort("n", allowingJoined: true), .customShort("N", allowingJoined: true),
            .customLong("max-args"),
        ],
        parsing: .unconditional,
        help: ArgumentHelp(
            "So many inputs to a command, the last gets what is left; of --pipe so many records.",
            valueName: "n"))
    var count: Int?

    @Option(
        name: [.customShort("L", allowingJoined: true), .customLong("max-lines")],
        parsing: .unconditional,
        help: ArgumentHelp("The same as -n, under the name it has for lines.", valueName: "n"))
    var lineCount: Int?

    @Flag(
        name: [.customShort("X"), .customLong("xargs")],
        help: "As many inputs to a command as have 60,000 bytes, with -n so many at most.")
    var fits = false

    @Flag(
        name: .customLong("shuf"), help: "Inputs in random order: 100,000 at a time are shuffled.")
    var isShuffled = false

    @Flag(help: "Several words are a line for the shell too, with blanks between them.")
    var shell = false

    func validate() throws {
        if let delimiter {
            _ = try InputSeparator(delimiter)
            if isZeroSeparated { throw ValidationError("-0 and -d both say what ends an input") }
        }
        let kinds = [csv, tsv, jsonl].filter { $0 }.count
        guard kinds < 2 else {
            throw ValidationError("--csv, --tsv and --jsonl each say what a row is: give one")
        }
        let column = try columnSeparator.map { try ColumnSeparator($0) }
        if column != nil, tsv || jsonl {
            throw ValidationError("--colsep goes with rows of text or --csv")
        }
        if csv, let column {
            guard case .text(let text) = column, text.count == 1, text[0] != UInt8(ascii: "\"")
            else {
                throw ValidationError("with --csv, --colsep takes one character")
            }
        }
        if let header {
            guard header == ":" || header == "none" else {
                throw ValidationError("--header takes : or none")
            }
            if jsonl {
                throw ValidationError("fields of JSON have their names; leave --header out")
            }
        }
        if csv || tsv || jsonl, isZeroSeparated || delimiter != nil {
            throw ValidationError("rows of --csv, --tsv and --jsonl are lines; leave -0 and -d out")
        }
        if count != nil, lineCount != nil {
            throw ValidationError("-n and -L are the same: give one")
        }
        if let count = count ?? lineCount, count < 1 {
            throw ValidationError("-n takes 1 to 10,000")
        }
        if jsonl, count ?? lineCount != nil || fits {
            throw ValidationError("a JSON value is one input; leave -n, -L and -X out")
        }
    }

    /// Of records of --pipe there may be more.
    func checkCount() throws {
        if let count = count ?? lineCount, count > 10_000 {
            throw ValidationError("-n takes 1 to 10,000")
        }
    }

    /// What an input is made of.
    var shape: InputShape {
        get throws {
            var shape = InputShape()
            let column = try columnSeparator.map { try ColumnSeparator($0) }
            if csv {
                var separator = UInt8(ascii: ",")
                if case .text(let text) = column { separator = text[0] }
                shape.columns = .csv(separator: separator)
            } else if tsv {
                shape.columns = .separated(.text([9]))
            } else if let column {
                shape.columns = .separated(column)
            } else if jsonl {
                shape.columns = .json
            }
            shape.hasHeader = header == ":" || (csv || tsv) && header == nil
            let count = count ?? lineCount
            if fits {
                shape.gathering = .fitting(atMost: count ?? 10_000)
            } else if let count, count > 1 {
                shape.gathering = .count(count)
            }
            return shape
        }
    }

    /// By which the command is looked at before an input is read.
    var rules: PlaceRules {
        get throws {
            InputReader.rules(try shape, sources: sourceCount, names: nil, paths: nil)
        }
    }

    private var sourceCount: Int {
        let listed = Arguments.listed.reduce(0) { $0 + ($1.isOfFiles ? $1.words.count : 1) }
        let globbed = find.isEmpty && !glob.isEmpty ? 1 : 0
        return max(1, inputFiles.count + find.count + globbed + listed)
    }

    /// - Parameters:
    ///   - plain: the command, as it was looked at before.
    ///   - stop: becomes readable when reading is to end.
    func reader(for plain: CommandTemplate, stop: Int32) throws -> InputReader {
        var sources: [InputReader.Source] = []
        let shape = try shape
        if case .count(let count) = shape.gathering, count > plain.mostValues {
            throw Failure.usage(
                """
                so many inputs have no room in a line for a shell: -n takes \(grouped(plain.mostValues)) at most here
                give the program and its arguments as several words, which need no shell
                """)
        }
        let separator =
            try delimiter.map { try InputSeparator($0) } ?? InputSeparator(zero: isZeroSeparated)
        func add(file path: [UInt8], isLinked: Bool = false) throws {
            let stream = try ByteStream(path: path, stop: stop)
            if case .csv(let separator) = shape.columns {
                sources.append(
                    .init(isLinked: isLinked, content: .rows(CSVRows(stream, separator: separator)))
                )
            } else {
                sources.append(
                    .init(isLinked: isLinked, content: .records(InputRecords(stream, separator))))
            }
        }
        for file in inputFiles { try add(file: Arguments.bytes(of: file)) }
        let patterns = glob.map { Arguments.bytes(of: $0) }
        for folder in find {
            sources.append(
                .init(
                    isLinked: false,
                    content: .tree(
                        try FileTree(Arguments.bytes(of: folder), patterns: patterns))))
        }
        if find.isEmpty, !patterns.isEmpty {
            let paths = try patterns.flatMap { try FileTree.paths(matching: $0) }
            sources.append(.init(isLinked: false, content: .list(paths[...])))
        }
        for listed in Arguments.listed {
            if listed.words.isEmpty {
                throw Failure.usage(
                    """
                    there are no inputs behind \(listed.isOfFiles ? "::::" : ":::")
                    give some, or leave it out: inputs then come from standard input
                    """)
            }
            if listed.isOfFiles {
                for path in listed.words { try add(file: path, isLinked: listed.isLinked) }
            } else {
                sources.append(.init(isLinked: listed.isLinked, content: .list(listed.words)))
            }
        }
        if sources.isEmpty {
            if Standard.isInputTerminal {
                throw Failure.usage(
                    """
                    there are no inputs: give them after ::: or on standard input
                    for example: petiole run 'gzip -9 < {} > {}.gz' ::: *.log
                    """)
            }
            try add(file: Array("-".utf8))
        }
        if jsonl, sources.count > 1 {
            throw Failure.usage(
                """
                fields of JSON come from one source, and there are \(sources.count)
                join them: cat *.jsonl | petiole run --jsonl …
                """)
        }
        return try InputReader(
            sources, shape, paths: plain.paths, mostValues: plain.mostValues,
            isShuffled: isShuffled)
    }
}
