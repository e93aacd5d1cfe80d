/// A line for `/bin/sh -c` in which each `{}` stands for the input.
///
/// The input never becomes part of the line. It is handed over in the variable PETIOLE_INPUT, and each `{}` becomes a
/// reference to it; a shell does not look for commands in what a variable expands to. So no input can run anything,
/// whatever it holds and wherever `{}` stands. The quotes around the reference, which keep the input one word, follow from
/// where in the line it stands, read as a shell reads it:
///
/// | `{}` stands | becomes |
/// |---|---|
/// | by itself, in `$( )`, in backticks | `"${PETIOLE_INPUT}"` |
/// | in double quotes | `${PETIOLE_INPUT}` |
/// | in single quotes | `'"${PETIOLE_INPUT}"'`, which ends the quotes and begins them anew |
///
/// Were a place misread (a here-document is), the input would get quotes that it should not have, or be split at its blanks.
struct ShellTemplate {
    static let variable = "PETIOLE_INPUT"
    /// The line as the shell gets it, the same for each input.
    let line: [UInt8]

    init(_ template: [UInt8]) {
        var scanner = Scanner(template)
        scanner.scan()
        if scanner.references == 0 {
            // As with words: an input without a place goes to the end.
            scanner.result += Array(" \"${\(Self.variable)}\"".utf8)
        }
        line = scanner.result
    }

    private enum Place {
        case plain
        case doubleQuotes
        /// Inside `$(`, with the number of parentheses open in it.
        case substitution(Int)
        case backticks
    }

    private struct Scanner {
        let template: [UInt8]
        var index = 0
        var places: [Place] = [.plain]
        var result: [UInt8] = []
        var references = 0

        init(_ template: [UInt8]) { self.template = template }

        mutating func scan() {
            while index < template.count {
                let byte = template[index]
                if byte == UInt8(ascii: "{"), next == UInt8(ascii: "}") {
                    refer(quoted: isInDoubleQuotes ? "" : "\"")
                    index += 2
                    continue
                }
                switch byte {
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

        private var isAtWordStart: Bool {
            index == 0 || " \t\n;&|(".utf8.contains(template[index - 1])
        }

        private mutating func take() {
            result.append(template[index])
            index += 1
        }

        private mutating func refer(quoted quote: String) {
            references += 1
            result += Array("\(quote)${\(ShellTemplate.variable)}\(quote)".utf8)
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
            default: break
            }
        }

        private mutating func singleQuotes() {
            take()
            while index < template.count, template[index] != UInt8(ascii: "'") {
                if template[index] == UInt8(ascii: "{"), next == UInt8(ascii: "}") {
                    result.append(UInt8(ascii: "'"))
                    refer(quoted: "\"")
                    result.append(UInt8(ascii: "'"))
                    index += 2
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
