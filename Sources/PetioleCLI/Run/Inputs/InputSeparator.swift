import ArgumentParser

/// What ends an input.
enum InputSeparator: Equatable {
    /// A newline; empty lines are left out.
    case line
    /// That byte, and nothing is left out.
    case byte(UInt8)

    var byte: UInt8 {
        switch self {
        case .line: UInt8(ascii: "\n")
        case .byte(let byte): byte
        }
    }

    var skipsEmpty: Bool { self == .line }

    /// Reads what a command line says: a character of one byte, or one of `\\n`, `\\t`, `\\0`.
    init(_ text: String) throws {
        let named: [String: UInt8] = ["\\n": 10, "\\t": 9, "\\0": 0]
        if let byte = named[text] {
            self = .byte(byte)
        } else if text.utf8.count == 1, let byte = text.utf8.first {
            self = .byte(byte)
        } else {
            throw ValidationError("-d takes one character of ASCII, or \\n, \\t, \\0")
        }
    }

    init(zero: Bool) { self = zero ? .byte(0) : .line }
}
