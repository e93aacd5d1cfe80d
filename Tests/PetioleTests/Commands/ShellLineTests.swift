import Testing

@testable import Petiole

@Suite("A command as a line of shell") struct ShellLineTests {
    @Test(
        "what a person types without quotes is shown without quotes",
        arguments: [
            ["ls", "-l", "/tmp/a.b", "x=1"], ["gzip", "-9", "--", "a,b:c@d%e+f"],
        ])
    func plain(arguments: [String]) throws {
        let command = try Command(arguments: arguments.map { Array($0.utf8) })
        #expect(command.description == arguments.joined(separator: " "))
    }

    @Test("spaces and quotes are quoted, control bytes and what is not seen are escaped")
    func quoting() {
        func quoted(_ text: String) -> String { Command.quoted(Array(text.utf8)) }
        #expect(quoted("") == "''")
        #expect(quoted("a b") == "'a b'")
        #expect(quoted("it's") == #"'it'\''s'"#)
        #expect(quoted("~") == "'~'")
        #expect(quoted("Grüße") == "'Grüße'")
        #expect(quoted("\u{1B}[31m7") == #"$'\033[31m7'"#)
        #expect(quoted("a\n\t'\\") == #"$'a\n\t\'\\'"#)
        #expect(quoted("a\u{202E}b") == #"$'a\342\200\256b'"#)
        #expect(Command.quoted([0xFF, 0x41]) == #"$'\377A'"#)
        #expect(Command.quoted(Array("A=b".utf8), isProgram: true) == "'A=b'")
    }

    @Test(
        "bash reads the line back as the same bytes, none of them a control byte but the last newline"
    )
    func readBack() throws {
        for argument in Metacharacters.strings() {
            let command = try Command(arguments: [Array("printf".utf8), Array("%s".utf8), argument])
            let line = command.description
            #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F })
            let end = try run(Command("/bin/bash", "-c", line))
            #expect(end.output == .inline(argument), "\(line)")
        }
    }

    @Test("the whole line brings working directory, environment and input with it")
    func wholeLine() throws {
        let command = try Command(
            "cat", workingDirectory: "/tmp/a b", environment: .exactly([.init("A", "b c")]),
            standardInput: .file(path: Array("in".utf8)))
        #expect(command.shellLine == "cd -- '/tmp/a b' && env -i 'A=b c' cat < in")
    }
}

/// Strings that a shell, a terminal or a decoder would not leave alone.
enum Metacharacters {
    static func strings() -> [[UInt8]] {
        let known = [
            "", " ", "  ", "-", "--", "-n", "-e", "~", "~root", "*", "?", "[a-z]", "{a,b}",
            "{1..3}",
            "$HOME", "${HOME}", "$(id)", "`id`", "$((1+1))", "$'a'", "$\"a\"", "!", "!!", "#",
            "a#b",
            "&", "&&", "|", "||", ";", ";;", "<", ">", ">>", "<<EOF", "(", ")", "\\", "\\\\", "\\n",
            "'", "''", "\"", "\"\"", "'\"'\"'", "a'b", "a\"b", "a b", "a\tb", "a\nb", "\n", "\r\n",
            "\t", "=", "=a", "A=b", "%s", "%n", "%%", "\u{1B}[2J", "\u{7}", "\u{7F}", "\u{85}",
            "\u{9B}31m", "\u{202E}", "\u{2066}", "\u{2028}", "\u{FEFF}", "\u{200B}", "\u{A0}",
            "é", "e\u{301}", "x'\u{301};#", "'\u{FE0F}", "\"\u{20E3}", "=\u{301}", "日本", "🪴",
            "$IFS", "^a^b", "a;rm -rf x", "../../etc/passwd", "%00",
        ].map { Array($0.utf8) }
        let broken: [[UInt8]] = [
            [0xFF], [0xC0, 0xAF], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0x80, 0x41], [0xF5, 1, 1, 1],
        ]
        var generator = SeededGenerator(state: 20)
        let alphabet = Array("'\"\\$`!*?[]{}()<>|&;#~=% \t\n-ab0".utf8) + [0x01, 0x1B, 0x7F, 0xC3]
        let drawn = (0..<200 - known.count - broken.count).map { _ in
            (0..<Int.random(in: 1...12, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator)!
            }
        }
        return known + broken + drawn
    }
}
