import Petiole

/// What `run` makes a command of for each input.
struct CommandTemplate {
    /// Words given straight to the system, or a line for a shell.
    private enum Form {
        case words([Word])
        case shell(ShellTemplate)
    }
    private typealias Word = [ShellTemplate.Piece]

    private let form: Form
    let words: [[UInt8]]
    let rules: PlaceRules
    /// Whether it was given as a line for a shell.
    let isLine: Bool
    private let directory: [UInt8]

    /// One word is a line for the shell, unless it can be nothing but the name of a program; several are a program and its
    /// arguments, and no shell sees them. Nor does one see a line that says the same without it.
    /// - Parameter joins: several words are a line too, with blanks between them.
    init(
        words: [[UInt8]], directory: [UInt8], rules: PlaceRules = PlaceRules(), joins: Bool = false
    ) throws {
        guard let first = words.first, !first.isEmpty else {
            throw Failure.usage(
                "there is no command to run\nfor example: petiole run 'gzip -9 {}' ::: *.log")
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
            form = .shell(try ShellTemplate(words[0], rules))
            return
        }
        var pieces = plain.map { Self.pieces(of: $0, rules) }
        if !pieces.contains(where: { $0.contains { $0.isReference } }) {
            pieces.append([.reference(.whole, .each)])
        }
        // Which of the commands that go on at once it is is known when it starts, and to its environment alone.
        let knowsSlot = pieces.contains { $0.contains(.reference(.slot, .each)) }
        form = knowsSlot ? .shell(try ShellTemplate(words: pieces, rules)) : .words(pieces)
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

    private static func pieces(of word: [UInt8], _ rules: PlaceRules) -> Word {
        var pieces: Word = []
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
        let places: [Place] =
            switch form {
            case .shell(let shell): shell.places
            case .words(let words): words.flatMap { $0.compactMap { $0.place } }
            }
        var paths: [[UInt8]] = []
        for case .value(.name(let path), _) in places where !paths.contains(path) {
            paths.append(path)
        }
        return paths
    }

    /// - Parameter number: which of the inputs it is, from 1.
    func command(for input: Input, number: Int) throws(InvalidCommand) -> Command {
        if let fault = input.fault { return try failing(fault) }
        switch form {
        case .words(let words):
            var arguments: [[UInt8]] = []
            arguments.reserveCapacity(words.count)
            for word in words {
                guard rules.isSpread, word.contains(where: { $0.isOfAll }) else {
                    arguments.append(fill(word, input, input.first, number))
                    continue
                }
                for value in input.values { arguments.append(fill(word, input, value, number)) }
            }
            return try Command(arguments: arguments, workingDirectory: directory)
        case .shell(let template):
            return try Command(
                arguments: [
                    Array("/bin/sh".utf8), Array("-c".utf8), template.line(values: input.count),
                ],
                workingDirectory: directory,
                environment: .inheritedWith(variables(template, input, number)))
        }
    }

    /// - Parameter value: what stands for all.
    private func fill(_ word: Word, _ input: Input, _ value: [UInt8], _ number: Int) -> [UInt8] {
        if word.count == 1, case .text(let text) = word[0] { return text }
        var result: [UInt8] = []
        for piece in word {
            switch piece {
            case .text(let text): result += text
            case .reference(.value(.all, let form), _): result += form.value(of: value)
            case .reference(.value(let key, let form), _):
                result += form.value(of: input.value(at: rules.index(of: key) ?? 0))
            case .reference(.number, _): result += Array(String(number).utf8)
            case .reference(.slot, _): break
            }
        }
        return result
    }

    private func variables(
        _ template: ShellTemplate, _ input: Input, _ number: Int
    ) -> [Command.Variable] {
        var variables: [Command.Variable] = []
        var added: Set<Place> = []
        func add(_ place: Place, _ value: [UInt8]) {
            guard added.insert(place).inserted else { return }
            variables.append(Command.Variable(name: Array(place.variable.utf8), value: value))
        }
        for place in template.places {
            switch place {
            case .value(.all, .whole) where template.spreads:
                for (index, value) in input.values.enumerated() {
                    add(.value(.position(index + 1), .whole), value)
                }
            case .value(let key, let form):
                add(place, form.value(of: input.value(at: rules.index(of: key) ?? 0)))
            case .number: add(place, Array(String(number).utf8))
            case .slot: break
            }
        }
        return variables
    }

    /// A job of its own for an input of which no command can be made: it fails with this sentence.
    private func failing(_ fault: String) throws(InvalidCommand) -> Command {
        try Command(
            "/bin/sh", "-c", #"printf 'petiole: %s\n' "$1" >&2; exit 65"#, "sh", fault,
            workingDirectory: nil)
    }

    /// Looks whether the program is there, where that can be told before anything runs.
    func checkProgram() throws {
        guard case .words(let words) = form, words[0].count == 1,
            case .text(let program) = words[0][0]
        else { return }
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

extension ShellTemplate.Piece {
    var isReference: Bool { place != nil }

    fileprivate var place: Place? { if case .reference(let place, _) = self { place } else { nil } }

    fileprivate var isOfAll: Bool { if case .value(.all, _) = place { true } else { false } }
}
