/// A line that says the same with no shell: words of plain characters with blanks between them, the first of them a program.
enum PlainLine {
    /// What a shell does itself, or would read otherwise than as a program's name.
    private static let own: Set<String> = [
        ".", ":", "[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue",
        "coproc",
        "declare", "dirs", "do", "done", "echo", "elif", "else", "esac", "eval", "exec", "exit",
        "export",
        "false", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if", "in", "jobs", "kill",
        "let",
        "local", "newgrp", "printf", "pwd", "read", "readonly", "return", "select", "set", "shift",
        "source",
        "test", "then", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask",
        "unalias",
        "unset", "until", "wait", "while",
    ]

    /// The words of such a line; nil: a shell is needed, or would say better what is wrong.
    static func words(of line: [UInt8], _ rules: PlaceRules) -> [[UInt8]]? {
        var words: [[UInt8]] = []
        var word: [UInt8] = []
        var index = 0
        while index < line.count {
            if let (_, length) = Place.at(index, of: line, rules) {
                word += line[index..<(index + length)]
                index += length
                continue
            }
            let byte = line[index]
            if byte == UInt8(ascii: " ") || byte == 9 {
                if !word.isEmpty { words.append(word) }
                word = []
            } else if isPlain(byte) {
                word.append(byte)
            } else {
                return nil
            }
            index += 1
        }
        if !word.isEmpty { words.append(word) }
        guard let program = words.first, !program.contains(UInt8(ascii: "=")),
            !program.contains(UInt8(ascii: "/")), !program.contains(UInt8(ascii: "{")),
            !own.contains(String(decoding: program, as: UTF8.self)),
            ProgramSearch.find(program) == .found
        else { return nil }
        return words
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
            true
        default: "./_-+@%,:=".utf8.contains(byte)
        }
    }
}
