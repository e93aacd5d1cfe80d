extension Command: CustomStringConvertible {
    /// The arguments as a line that a shell (bash, zsh, ksh, POSIX 2024) reads back as the same
    /// bytes.
    ///
    /// It is safe to show on a terminal: control bytes, bytes that are no UTF-8, and scalars that
    /// are not seen or change the direction of text stand escaped, in `$'…'`.
    package var description: String {
        arguments.enumerated()
            .map { index, argument in Self.quoted(argument, isProgram: index == 0) }
            .joined(separator: " ")
    }

    /// The whole of it as such a line: the working directory, the environment and a file as input
    /// too. Input given as bytes does not show.
    package var shellLine: String {
        var line = ""
        if let workingDirectory { line += "cd -- \(Self.quoted(workingDirectory)) && " }
        if niceness > 0 { line += "nice -n \(niceness) " }
        switch environment {
        case .inherited: break
        case .inheritedWith(let variables): line += "env " + Self.assignments(variables)
        case .exactly(let variables): line += "env -i " + Self.assignments(variables)
        }
        line += description
        if case .file(let path) = standardInput { line += " < \(Self.quoted(path))" }
        if case .range(let range) = standardInput {
            let path = Self.quoted(range.path)
            line =
                "tail -c +\(range.offset + 1) -- \(path) | head -c \(range.length) | { \(line); }"
        }
        return line
    }

    private static func assignments(_ variables: [Variable]) -> String {
        variables.map { quoted($0.name + [UInt8(ascii: "=")] + $0.value) + " " }.joined()
    }

    package static func quoted(_ bytes: [UInt8], isProgram: Bool = false) -> String {
        if bytes.isEmpty { return "''" }
        // What needs quoting at the front of a word or of a line: zsh expands `=name`, and a first
        // word with an equals sign is an assignment.
        let isPlain = bytes.allSatisfy(isPlain) && !(isProgram && bytes.contains(equals))
        if isPlain && bytes[0] != equals { return String(decoding: bytes, as: UTF8.self) }
        guard shown(bytes) != nil else { return escaped(bytes) }
        // By bytes: a quote with an accent behind it is one character, and no quote to who looks for characters.
        var line = [quote]
        for byte in bytes {
            if byte == quote { line += Array("'\\''".utf8) } else { line.append(byte) }
        }
        line.append(quote)
        return String(decoding: line, as: UTF8.self)
    }

    private static let equals = UInt8(ascii: "=")
    private static let quote = UInt8(ascii: "'")

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default:
            "_@%+=:,./-".utf8.contains(byte)
        }
    }

    /// The text, if all of it can be shown as it is.
    private static func shown(_ bytes: [UInt8]) -> String? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        return text.unicodeScalars.allSatisfy(isShown) ? text : nil
    }

    private static func isShown(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
            .unassigned:
            false
        case .spaceSeparator:
            scalar == " "
        default:
            true
        }
    }

    /// `$'…'`, with three octal digits for what is not shown: no digit that follows can join them.
    private static func escaped(_ bytes: [UInt8]) -> String {
        var line = "$'"
        var rest = bytes[...]
        while let byte = rest.first {
            let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
            let scalar = rest.prefix(length)
            switch byte {
            case UInt8(ascii: "\n"): line += "\\n"
            case UInt8(ascii: "\t"): line += "\\t"
            case UInt8(ascii: "'"): line += "\\'"
            case UInt8(ascii: "\\"): line += "\\\\"
            default:
                if let text = shown(Array(scalar)), text.unicodeScalars.count == 1 {
                    line += text
                    rest = rest.dropFirst(length)
                    continue
                }
                let digits = String(byte, radix: 8)
                line += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
            }
            rest = rest.dropFirst()
        }
        return line + "'"
    }
}
