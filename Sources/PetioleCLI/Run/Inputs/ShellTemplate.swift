/// A line for `/bin/sh -c` in which each `{}` stands for the input, and each other ``Place`` for what is written there.
///
/// The input never becomes part of the line. It is handed over in the variable PETIOLE_INPUT, its parts in others, and each `{}`
/// becomes a reference to it; a shell does not look for commands in what a variable expands to. So no input can run anything,
/// whatever it holds and wherever `{}` stands. The quotes around the reference, which keep the input one word, follow from
/// where in the line it stands, read as a shell reads it:
///
/// | `{}` stands | becomes |
/// |---|---|
/// | by itself, in `$( )`, in backticks | `"${PETIOLE_INPUT}"` |
/// | in double quotes | `${PETIOLE_INPUT}` |
/// | in single quotes | `'"${PETIOLE_INPUT}"'`, which ends the quotes and begins them anew |
/// | in `$(( ))`, `(( ))`, `$[ ]` | nothing: the line is refused |
/// | in a here-document | nothing: the line is refused |
///
/// A shell computes there, with no quotes allowed, and bash computes what a variable expands to as well: the input
/// `a[$(reboot)]` would run a command. Nor is a variable that was set to the input any safer there, so the line must let a
/// program compute, as `expr` does. In a here-document quotes are text, and whether `$` is depends on its delimiter.
///
/// Were a place misread, the input would get quotes that it should not have, or be split at its blanks.
///
/// Where an input has several values, `{}` becomes a reference to each, with what else is in its word around all of them.
struct ShellTemplate: Sendable {
    /// What the line refers to, each once, in the order in which it does first.
    let places: [Place]
    /// Whether it refers to all values of an input.
    let spreads: Bool
    /// Names of columns or fields that stand in single quotes: in what may be a program, and so left as they are.
    private(set) var namesInQuotes: [Place] = []
    private let pieces: [Piece]

    enum Piece: Equatable, Sendable {
        case text([UInt8])
        case reference(Place, Quoting)
        /// What stands once for each value, blanks between.
        case each([Piece])
    }

    /// The quotes that a reference brings with it.
    enum Quoting: Equatable, Sendable {
        /// It stands in double quotes.
        case none
        /// Around each value, which is a word of its own.
        case each
        /// Around all values: it stands in single quotes, which were ended for it.
        case all
    }

    init(_ template: [UInt8], _ rules: PlaceRules = PlaceRules()) throws {
        var scanner = Scanner(template, rules)
        scanner.scan()
        if let opening = scanner.arithmetic {
            let closing = opening == "$[" ? "]" : "))"
            throw Failure.usage(
                """
                {} stands inside \(opening) \(closing), where a shell could run what an input says
                let a program compute with it, as in: petiole run 'echo $(expr {} + 1)'; nothing was enqueued
                """)
        }
        if scanner.isInHereDocument {
            throw Failure.usage(
                """
                {} stands inside a here-document, where quotes around an input would be text
                let a program write it, as in: petiole run 'printf "to %s\\n" {} | cat'; nothing was enqueued
                """)
        }
        var pieces = scanner.finished
        if !pieces.contains(where: { $0.place != nil }) {
            if scanner.endsInHereDocument {
                throw Failure.usage(
                    """
                    the line has no {}, and ends with a here-document, behind which no input can stand
                    write {} where the input belongs, before the here-document; nothing was enqueued
                    """)
            }
            // As with words: an input without a place goes to the end.
            pieces += [.text([UInt8(ascii: " ")]), .reference(.whole, .each)]
        }
        try self.init(pieces: pieces, rules)
        namesInQuotes = scanner.namesInQuotes
    }

    /// A line that runs a program with these arguments and no other.
    init(words: [[Piece]], _ rules: PlaceRules) throws {
        var pieces: [Piece] = [.text(Array("exec".utf8))]
        for word in words {
            pieces.append(.text([UInt8(ascii: " ")]))
            let quoted: [Piece] = word.map { piece in
                guard case .text(let text) = piece else { return piece }
                let parts = text.split(
                    separator: UInt8(ascii: "'"), omittingEmptySubsequences: false)
                return .text(
                    Array("'".utf8) + parts.joined(separator: Array("'\\''".utf8)) + Array("'".utf8)
                )
            }
            let isRepeated = rules.isSpread && word.contains { $0.place?.isOfAll ?? false }
            if isRepeated { pieces.append(.each(quoted)) } else { pieces += quoted }
        }
        try self.init(pieces: pieces, rules)
    }

    private init(pieces: [Piece], _ rules: PlaceRules) throws {
        self.pieces = pieces
        var places: [Place] = []
        for piece in pieces {
            let inner: [Piece] = if case .each(let inner) = piece { inner } else { [piece] }
            for case .reference(let place, _) in inner where !places.contains(place) {
                places.append(place)
            }
        }
        spreads = rules.isSpread && places.contains(.whole)
        let form = places.first { place in
            if case .value(.all, let form) = place { form != .whole } else { false }
        }
        if rules.isSpread, let form, !pieces.contains(where: { $0.isEach }) {
            let text = String(decoding: form.text, as: UTF8.self)
            throw Failure.usage(
                """
                an input has several values here, and \(text) in a line for a shell is a part of one
                name which: \(text.replacing("{", with: "{1")); nothing was enqueued
                """)
        }
        self.places = places
    }

    /// How often the line refers to all values.
    var spreadCount: Int {
        pieces.count { piece in
            switch piece {
            case .reference(.whole, _): spreads
            case .each: true
            case .text, .reference: false
            }
        }
    }

    /// The line as the shell gets it, the same for each input of so many values.
    func line(values: Int = 1) -> [UInt8] {
        var line: [UInt8] = []
        let positions = 1...max(1, values)
        for piece in pieces {
            switch piece {
            case .text(let text): line += text
            case .reference(.whole, let quoting) where spreads:
                Self.refer(to: positions.map { .value(.position($0), .whole) }, quoting, in: &line)
            case .reference(let place, let quoting): Self.refer(to: [place], quoting, in: &line)
            case .each(let inner):
                for position in positions {
                    if position > 1 { line.append(UInt8(ascii: " ")) }
                    for piece in inner {
                        switch piece {
                        case .text(let text): line += text
                        case .reference(.value(.all, let form), let quoting):
                            Self.refer(to: [.value(.position(position), form)], quoting, in: &line)
                        case .reference(let place, let quoting):
                            Self.refer(to: [place], quoting, in: &line)
                        case .each: break
                        }
                    }
                }
            }
        }
        return line
    }

    private static func refer(to places: [Place], _ quoting: Quoting, in line: inout [UInt8]) {
        let each = quoting == .each ? "\"" : ""
        let text = places.map { "\(each)${\($0.variable)}\(each)" }.joined(separator: " ")
        line += Array((quoting == .all ? "\"\(text)\"" : text).utf8)
    }

    private enum Surrounding {
        case plain
        case doubleQuotes
        /// Inside `$(`, with the number of parentheses open in it.
        case substitution(Int)
        case backticks
        /// Between what opened it and as many closing brackets as are open in it.
        case arithmetic(String, Int)
    }

    private struct Scanner {
        let template: [UInt8]
        var index = 0
        var places: [Surrounding] = [.plain]
        private let rules: PlaceRules
        private(set) var namesInQuotes: [Place] = []
        private var pieces: [Piece] = []
        /// What stands behind the last piece.
        private var result: [UInt8] = []
        /// How the arithmetic begins that a `{}` stands in, if one does.
        var arithmetic: String?
        /// Whether a `{}` stands in a here-document.
        var isInHereDocument = false
        /// Whether the line is over where a here-document is.
        var endsInHereDocument = false
        /// Here-documents whose lines begin behind this one.
        private var hereDocuments: [HereDocument] = []

        private struct HereDocument {
            var delimiter: [UInt8] = []
            var isQuoted = false
            var stripsTabs = false
        }

        init(_ template: [UInt8], _ rules: PlaceRules) {
            self.template = template
            self.rules = rules
        }

        var finished: [Piece] { result.isEmpty ? pieces : pieces + [.text(result)] }

        mutating func scan() {
            while index < template.count {
                let byte = template[index]
                if let opening = arithmeticOpening {
                    for _ in opening.utf8 { take() }
                    places.append(.arithmetic(opening, opening == "$[" ? 1 : 2))
                    continue
                }
                if let (place, length) = Place.at(index, of: template, rules) {
                    refer(to: place, length, isInDoubleQuotes ? .none : .each)
                    continue
                }
                if byte == UInt8(ascii: "<"), next == byte, isCommand {
                    if starts(with: "<<<") { for _ in 0..<3 { take() } } else { hereDocument() }
                    continue
                }
                switch byte {
                case UInt8(ascii: "\n") where isCommand && !hereDocuments.isEmpty:
                    take()
                    hereDocumentLines()
                case UInt8(ascii: "\\"):
                    take()
                    if index < template.count { take() }
                case UInt8(ascii: "'") where !isInDoubleQuotes: singleQuotes()
                case UInt8(ascii: "#") where !isInDoubleQuotes && isAtWordStart: comment()
                default:
                    move(byte)
                    take()
                }
            }
        }

        private var next: UInt8? { index + 1 < template.count ? template[index + 1] : nil }

        private var isInDoubleQuotes: Bool {
            if case .doubleQuotes = places.last { true } else { false }
        }

        /// Whether words stand here, and not what is quoted or computed.
        private var isCommand: Bool {
            switch places[places.count - 1] {
            case .plain, .substitution, .backticks: true
            case .doubleQuotes, .arithmetic: false
            }
        }

        private var isAtWordStart: Bool {
            index == 0 || " \t\n;&|(".utf8.contains(template[index - 1])
        }

        // MARK: Arithmetic

        /// What begins an arithmetic expression here, if anything does. `((` does where a command may begin, and is two
        /// parentheses elsewhere.
        private var arithmeticOpening: String? {
            if starts(with: "$[") { return "$[" }
            if starts(with: "$((") { return isComputed(from: index + 3) ? "$((" : nil }
            if !isInDoubleQuotes, starts(with: "(("), isAtWordStart {
                return isComputed(from: index + 2) ? "((" : nil
            }
            return nil
        }

        private func starts(with text: String) -> Bool {
            template[index...].starts(with: text.utf8)
        }

        /// Whether two parentheses that were opened together are closed together; else they are a subshell in another or in
        /// a `$( )`. One that is never closed is taken for arithmetic.
        private func isComputed(from start: Int) -> Bool {
            var depth = 2
            for at in start..<template.count {
                switch template[at] {
                case UInt8(ascii: "("): depth += 1
                case UInt8(ascii: ")"):
                    depth -= 1
                    if depth == 1 {
                        return at + 1 < template.count && template[at + 1] == UInt8(ascii: ")")
                    }
                default: break
                }
            }
            return true
        }

        // MARK: Here-documents

        /// From `<<` to the end of the delimiter.
        private mutating func hereDocument() {
            var document = HereDocument()
            take()
            take()
            if index < template.count, template[index] == UInt8(ascii: "-") {
                document.stripsTabs = true
                take()
            }
            while index < template.count, " \t".utf8.contains(template[index]) { take() }
            let start = index
            var quote: UInt8?
            while index < template.count {
                let byte = template[index]
                if byte == quote {
                    quote = nil
                } else if quote == nil, " \t\n;&|<>()`".utf8.contains(byte) {
                    break
                } else if quote == nil, "'\"".utf8.contains(byte) {
                    quote = byte
                    document.isQuoted = true
                } else if byte == UInt8(ascii: "\\"), quote != UInt8(ascii: "'"), let next {
                    document.isQuoted = true
                    document.delimiter.append(next)
                    take()
                } else {
                    document.delimiter.append(byte)
                }
                take()
            }
            if hasPlace(template[start..<index]) { isInHereDocument = true }
            hereDocuments.append(document)
        }

        /// The lines of all here-documents that were begun, and their delimiters.
        private mutating func hereDocumentLines() {
            for document in hereDocuments {
                var isJoined = false
                while index < template.count {
                    let line = template[index...].prefix { $0 != UInt8(ascii: "\n") }
                    for _ in 0..<min(line.count + 1, template.count - index) { take() }
                    let text =
                        document.stripsTabs
                        ? line.drop { $0 == UInt8(ascii: "\t") } : line
                    if !isJoined, text.elementsEqual(document.delimiter) { break }
                    if hasPlace(line) { isInHereDocument = true }
                    // Where `$` is not text, a backslash at the end of a line is not either.
                    let backslashes = line.reversed().prefix { $0 == UInt8(ascii: "\\") }.count
                    isJoined = !document.isQuoted && !backslashes.isMultiple(of: 2)
                }
            }
            hereDocuments = []
            endsInHereDocument = index == template.count
        }

        private func hasPlace(_ bytes: ArraySlice<UInt8>) -> Bool {
            (0..<bytes.count).contains { Place.at($0, of: bytes, rules) != nil }
        }

        private mutating func take() {
            result.append(template[index])
            index += 1
        }

        private mutating func refer(to place: Place, _ length: Int, _ quoting: Quoting) {
            index += length
            // Quotes make no difference to what is computed.
            let surrounding = places.last { if case .doubleQuotes = $0 { false } else { true } }
            if case .arithmetic(let opening, _) = surrounding { arithmetic = opening }
            if !result.isEmpty { pieces.append(.text(result)) }
            result = []
            pieces.append(.reference(place, quoting))
        }

        /// What a byte outside of single quotes does to the place.
        private mutating func move(_ byte: UInt8) {
            switch (byte, places[places.count - 1]) {
            case (UInt8(ascii: "\""), .doubleQuotes): places.removeLast()
            case (UInt8(ascii: "\""), _): places.append(.doubleQuotes)
            case (UInt8(ascii: "`"), _):
                // Ends the innermost one that is open, with whatever began in it.
                if let open = places.lastIndex(where: {
                    if case .backticks = $0 { true } else { false }
                }) {
                    places.removeSubrange(open...)
                } else {
                    places.append(.backticks)
                }
            case (UInt8(ascii: "$"), _) where next == UInt8(ascii: "("):
                take()
                places.append(.substitution(1))
            case (UInt8(ascii: "("), .substitution(let depth)):
                places[places.count - 1] = .substitution(depth + 1)
            case (UInt8(ascii: ")"), .substitution(let depth)):
                if depth > 1 {
                    places[places.count - 1] = .substitution(depth - 1)
                } else {
                    places.removeLast()
                }
            case (UInt8(ascii: "("), .arithmetic(let opening, let depth)) where opening != "$[",
                (UInt8(ascii: "["), .arithmetic(let opening, let depth)) where opening == "$[":
                places[places.count - 1] = .arithmetic(opening, depth + 1)
            case (UInt8(ascii: ")"), .arithmetic(let opening, let depth)) where opening != "$[",
                (UInt8(ascii: "]"), .arithmetic(let opening, let depth)) where opening == "$[":
                if depth > 1 {
                    places[places.count - 1] = .arithmetic(opening, depth - 1)
                } else {
                    places.removeLast()
                }
            default: break
            }
        }

        private mutating func singleQuotes() {
            take()
            while index < template.count, template[index] != UInt8(ascii: "'") {
                if let (place, length) = Place.at(index, of: template, rules) {
                    // It might be a program, as in awk '{print}', of which no data may become a part.
                    if case .value(.name, _) = place {
                        namesInQuotes.append(place)
                        take()
                        continue
                    }
                    result.append(UInt8(ascii: "'"))
                    refer(to: place, length, .all)
                    result.append(UInt8(ascii: "'"))
                } else {
                    take()
                }
            }
            if index < template.count { take() }
        }

        /// Quotes in a comment are none.
        private mutating func comment() {
            while index < template.count, template[index] != UInt8(ascii: "\n") { take() }
        }
    }
}

extension ShellTemplate.Piece {
    var place: Place? { if case .reference(let place, _) = self { place } else { nil } }

    fileprivate var isEach: Bool { if case .each = self { true } else { false } }
}

extension Place {
    /// Whether it is of all values of an input.
    var isOfAll: Bool { if case .value(.all, _) = self { true } else { false } }
}
