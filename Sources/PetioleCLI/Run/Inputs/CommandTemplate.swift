import Petiole

/// What `run` makes a command of for each input.
struct CommandTemplate: Sendable {
    /// Words given straight to the system, or a line for a shell.
    private enum Form {
        case words([Word])
        case shell(ShellTemplate)
    }

    /// A word, or a variable's value, as it is put together.
    private struct Word {
        let parts: [Part]
        /// Whether it stands once for each value of an input.
        let isRepeated: Bool
    }

    private enum Part {
        case text([UInt8])
        /// Of the value that a word is repeated for, or of the first.
        case all(InputForm)
        /// - Parameter index: from 0.
        case value(index: Int, InputForm)
        case number
        /// Known when the command starts, and to its environment alone.
        case slot
    }

    private let form: Form
    /// Names of variables, and what they are set to.
    private let variables: [(name: [UInt8], part: Part)]
    let words: [[UInt8]]
    let rules: PlaceRules
    private let directory: [UInt8]
    /// What stands in it of an input.
    let places: [Place]
    /// Whether it was given as a line for a shell.
    let isLine: Bool
    /// Its program, where that is the same for all inputs and no shell is asked for it.
    private let program: [UInt8]?

    /// One word is a line for the shell, unless it can be nothing but the name of a program; several are a program and its
    /// arguments, and no shell sees them. Nor does one see a line that says the same without it.
    /// - Parameter joins: several words are a line too, with blanks between them.
    init(
        words: [[UInt8]], directory: [UInt8], rules: PlaceRules = PlaceRules(), joins: Bool = false
    ) throws {
        guard let first = words.first, !first.isEmpty else {
            throw Failure.usage(
                "there is no command to run\nfor example: petiole run 'gzip -9 < {} > {}.gz' ::: *.log"
            )
        }
        if let word = words.first(where: { $0.contains(0) }) {
            throw Failure.usage("\(Command.quoted(word)) holds a zero byte")
        }
        let words = joins ? [Array(words.joined(separator: [UInt8(ascii: " ")]))] : words
        self.words = words
        self.rules = rules
        self.directory = directory
        isLine = joins || words.count == 1 && !Self.isProgramName(first)
        let plain = isLine ? PlainLine.words(of: words[0], rules) : words
        guard let plain else {
            let shell = try ShellTemplate(words[0], rules)
            form = .shell(shell)
            places = shell.places
            program = nil
            variables = Self.variables(shell.places, rules)
            return
        }
        var pieces = plain.map { Self.pieces(of: $0, rules) }
        if !pieces.contains(where: { $0.contains { $0.place != nil } }) {
            pieces.append([.reference(.whole, .each)])
        }
        let places = pieces.joined().compactMap { $0.place }
        self.places = places
        if pieces[0].count == 1, case .text(let program) = pieces[0][0] {
            self.program = program
        } else {
            program = nil
        }
        // Which of the commands that go on at once it is is known when it starts, and to its environment alone.
        if places.contains(.slot) {
            let shell = try ShellTemplate(words: pieces, rules)
            form = .shell(shell)
            variables = Self.variables(shell.places, rules)
        } else {
            form = .words(
                pieces.map { word in
                    Word(
                        parts: word.map { Self.part($0, rules) },
                        isRepeated: rules.isSpread && word.contains { $0.place?.isOfAll ?? false })
                })
            // As a shell would have found them, for programs that look there.
            variables = isLine ? Self.variables(places, rules) : []
        }
    }

    private static func part(_ piece: ShellTemplate.Piece, _ rules: PlaceRules) -> Part {
        switch piece {
        case .text(let text): .text(text)
        case .reference(let place, _): part(place, rules)
        case .each: .text([])
        }
    }

    private static func part(_ place: Place, _ rules: PlaceRules) -> Part {
        switch place {
        case .value(.all, let form): .all(form)
        case .value(let key, let form): .value(index: rules.index(of: key) ?? 0, form)
        case .number: .number
        case .slot: .slot
        }
    }

    /// Those that do not differ in number from one input to the next.
    private static func variables(
        _ places: [Place], _ rules: PlaceRules
    ) -> [(name: [UInt8], part: Part)] {
        var known: Set<Place> = []
        return places.filter { place in
            place != .slot && !(rules.isSpread && place.isOfAll) && known.insert(place).inserted
        }.map { (Array($0.variable.utf8), part($0, rules)) }
    }

    private static func isProgramName(_ word: [UInt8]) -> Bool {
        word.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
                true
            default: "/._-+@%,".utf8.contains(byte)
            }
        }
    }

    private static func pieces(
        of word: [UInt8], _ rules: PlaceRules
    ) -> [ShellTemplate.Piece] {
        var pieces: [ShellTemplate.Piece] = []
        var text: [UInt8] = []
        var index = 0
        while index < word.count {
            guard let (place, length) = Place.at(index, of: word, rules) else {
                text.append(word[index])
                index += 1
                continue
            }
            if !text.isEmpty { pieces.append(.text(text)) }
            text = []
            pieces.append(.reference(place, .each))
            index += length
        }
        return text.isEmpty && !pieces.isEmpty ? pieces : pieces + [.text(text)]
    }

    /// The shell's part of it, when a shell runs it.
    var shell: ShellTemplate? { if case .shell(let shell) = form { shell } else { nil } }

    /// The paths of fields that stand in it, when fields are found by paths.
    var paths: [[UInt8]] {
        var paths: [[UInt8]] = []
        for case .value(.name(let path), _) in places where !paths.contains(path) {
            paths.append(path)
        }
        return paths
    }

    /// The most values that a command can take: each has its own place in a line for a shell, which is one argument.
    var mostValues: Int {
        guard let shell, shell.spreadCount > 0 else { return InputReader.openPositions }
        return 90_000 / (shell.spreadCount * 28)
    }

    func command(for input: Input) throws(InvalidCommand) -> Command {
        if let fault = input.fault { return try failing(fault) }
        var arguments: [[UInt8]] = []
        switch form {
        case .words(let words):
            arguments.reserveCapacity(words.count)
            for word in words {
                guard word.isRepeated else {
                    arguments.append(fill(word.parts, input, input.first))
                    continue
                }
                for value in input.values { arguments.append(fill(word.parts, input, value)) }
            }
            guard isLine else {
                return try Command(arguments: arguments, workingDirectory: directory)
            }
        case .shell(let shell):
            arguments = [
                Array("/bin/sh".utf8), Array("-c".utf8), shell.line(values: input.count),
            ]
        }
        var values = variables.map {
            Command.Variable(name: $0.name, value: fill([$0.part], input, input.first))
        }
        if case .shell(let shell) = form, rules.isSpread { addAll(shell.places, input, &values) }
        return try Command(
            arguments: arguments, workingDirectory: directory,
            environment: .inheritedWith(values))
    }

    /// - Parameter value: what stands for all.
    private func fill(_ parts: [Part], _ input: Input, _ value: [UInt8]) -> [UInt8] {
        if parts.count == 1 {
            switch parts[0] {
            case .text(let text): return text
            case .all(let form): return form.value(of: value)
            case .value(let index, let form): return form.value(of: input.value(at: index))
            case .number, .slot: break
            }
        }
        var result: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .all(let form): result += form.value(of: value)
            case .value(let index, let form): result += form.value(of: input.value(at: index))
            case .number: result += Array(String(input.number).utf8)
            case .slot: break
            }
        }
        return result
    }

    /// A variable for each value, those that are there already left out.
    private func addAll(
        _ places: [Place], _ input: Input, _ variables: inout [Command.Variable]
    ) {
        for case .value(.all, let form) in places {
            for (index, value) in input.values.enumerated() {
                let place = Place.value(.position(index + 1), form)
                if places.contains(place) { continue }
                variables.append(
                    Command.Variable(
                        name: Array(place.variable.utf8), value: form.value(of: value)))
            }
        }
    }

    /// A job of its own for an input of which no command can be made: it fails with this sentence.
    private func failing(_ fault: String) throws(InvalidCommand) -> Command {
        try Command(
            "/bin/sh", "-c", #"printf 'petiole: %s\n' "$1" >&2; exit 65"#, "sh", fault,
            workingDirectory: nil)
    }

    /// Refuses a name that two columns have, and tells of names that are left as they are.
    /// - Parameter names: of the columns; nil: there are none.
    func check(_ names: [[UInt8]]?) throws {
        func text(_ place: Place) -> String { visible(String(decoding: place.text, as: UTF8.self)) }
        for place in shell?.namesInQuotes ?? [] {
            say(
                """
                \(text(place)) stands in single quotes, maybe in a program, and is left as it is
                where the field is meant, let it stand outside of them: '…'\(text(place))'…'
                """)
        }
        guard let names else { return }
        for name in paths where names.count(where: { $0 == name }) > 1 {
            throw Failure.usage(
                """
                several columns are named \(Command.quoted(name))
                name the one that is meant by its number: {\((names.firstIndex(of: name) ?? 0) + 1)}
                """)
        }
        var rules = PlaceRules()
        rules.names = .anyPath
        for word in words {
            for index in word.indices {
                guard let (place, _) = Place.at(index, of: word, rules), place.isNamed,
                    Place.at(index, of: word, self.rules) == nil
                else { continue }
                say(
                    """
                    \(text(place)) is no column, and is left as it is
                    the columns are \(names.map { Command.quoted($0) }.joined(separator: ", "))
                    """)
            }
        }
    }

    /// Looks whether the program is there, where that can be told before anything runs.
    func checkProgram() throws {
        guard let program, !isLine else { return }
        let name = Command.quoted(program)
        switch ProgramSearch.find(program) {
        case .found: return
        case .notExecutable:
            throw Failure(
                "\(name) cannot be executed\nsee its mode, or name another program", status: 126)
        case .missing where program.contains(UInt8(ascii: "/")):
            throw Failure("there is no program \(name)\nnothing was enqueued", status: 127)
        case .missing:
            throw Failure(
                """
                there is no program \(name) in PATH
                nothing was enqueued; a line for the shell is given as one word: petiole run 'line with {}'
                """, status: 127)
        }
    }
}

extension Place {
    fileprivate var isNamed: Bool { if case .value(.name, _) = self { true } else { false } }
}
