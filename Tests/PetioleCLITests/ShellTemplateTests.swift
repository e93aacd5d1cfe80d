import Testing

@testable import PetioleCLI

@Suite("Shell lines with {}") struct ShellTemplateTests {
    @Test(
        "a reference to the input gets the quotes of the place where {} stands",
        arguments: [
            ("echo {}", #"echo "${PETIOLE_INPUT}""#),
            (#"echo "a {} b""#, #"echo "a ${PETIOLE_INPUT} b""#),
            ("echo 'a {} b'", #"echo 'a '"${PETIOLE_INPUT}"' b'"#),
            (#"x="$(cat {})""#, #"x="$(cat "${PETIOLE_INPUT}")""#),
            (#"x="$(cat "{}")" {}"#, #"x="$(cat "${PETIOLE_INPUT}")" "${PETIOLE_INPUT}""#),
            (#"echo "`cat {}`" {}"#, #"echo "`cat "${PETIOLE_INPUT}"`" "${PETIOLE_INPUT}""#),
            (#"echo \"{}"#, #"echo \""${PETIOLE_INPUT}""#),
            ("echo # don't\necho {}", "echo # don't\necho \"${PETIOLE_INPUT}\""),
            (
                #"(cd x; echo $( (cat {}) )) {}"#,
                #"(cd x; echo $( (cat "${PETIOLE_INPUT}") )) "${PETIOLE_INPUT}""#
            ),
            ("wc -l", #"wc -l "${PETIOLE_INPUT}""#),
            ("echo 'open {}", #"echo 'open '"${PETIOLE_INPUT}"'"#),
            ("echo $((1 + 2)) {}", #"echo $((1 + 2)) "${PETIOLE_INPUT}""#),
            (
                #"echo $(( $(wc -l <{}) + (1) )) {}"#,
                #"echo $(( $(wc -l <"${PETIOLE_INPUT}") + (1) )) "${PETIOLE_INPUT}""#
            ),
            ("echo $((cat {}) | wc -l)", #"echo $((cat "${PETIOLE_INPUT}") | wc -l)"#),
            ("((echo) ; cat {})", #"((echo) ; cat "${PETIOLE_INPUT}")"#),
            (#"echo \$(({}"#, #"echo \$(("${PETIOLE_INPUT}""#),
            ("awk '{ print $((1)) }' {}", #"awk '{ print $((1)) }' "${PETIOLE_INPUT}""#),
            ("echo $[1] {}", #"echo $[1] "${PETIOLE_INPUT}""#),
            (
                "cat {} - <<END\nisn't\nEND\nwc {}",
                "cat \"${PETIOLE_INPUT}\" - <<END\nisn't\nEND\nwc \"${PETIOLE_INPUT}\""
            ),
            (
                "cat <<-'E D'\n\"\\\n\tE D\nwc {}",
                "cat <<-'E D'\n\"\\\n\tE D\nwc \"${PETIOLE_INPUT}\""
            ),
            ("cat <<END\nhi\nEND\nwc", "cat <<END\nhi\nEND\nwc \"${PETIOLE_INPUT}\""),
            ("cat <<<{}\necho {}", "cat <<<\"${PETIOLE_INPUT}\"\necho \"${PETIOLE_INPUT}\""),
            (
                "echo $((1 << 2)) '<<E' \"<<E\" \\<<E\necho {}",
                "echo $((1 << 2)) '<<E' \"<<E\" \\<<E\necho \"${PETIOLE_INPUT}\""
            ),
        ])
    func places(template: String, line: String) throws {
        let shell = try ShellTemplate(Array(template.utf8))
        #expect(String(decoding: shell.line(), as: UTF8.self) == line)
    }

    @Test(
        "a line in which a shell would compute with the input is refused",
        arguments: [
            "echo $(({}+1))", "echo $(( 1 + {} ))", #"echo "$(( {} * 2 ))""#,
            #"echo $(( "{}" ))"#, "echo $(( (1 + {}) * 2 ))", "echo $(( '{}' ))",
            "x=$(echo $(({})))", "echo $(( 1 + {}", "(( {} > 3 )) && echo", "echo $[{} + 1]",
            "echo $[a[{}]]", "echo `echo $(({}))`",
        ])
    func arithmetic(template: String) throws {
        let failure = #expect(throws: Failure.self) { try ShellTemplate(Array(template.utf8)) }
        #expect(failure?.status == 64)
        #expect(failure?.message.contains("petiole run 'echo $(expr {} + 1)'") == true)
    }

    @Test(
        "a line with {} in a here-document is refused",
        arguments: [
            "cat <<END\nto {}\nEND", "cat <<'END'\n{}\nEND\necho", "cat <<-END\n\t{}\n\tEND\n",
            "cat << \"E D\" | wc\n{}", "x=$(cat <<END\n{}\nEND\n); echo {}",
            "echo \"$(cat <<END\n{}\nEND\n)\" {}", "cat <<A <<B\n1\nA\n{}\nB\necho {}",
            "cat <<END # {}\nA\\\nEND\n{}\nEND\n", "cat <<\\END\n\\\nEND{}\nEND\n",
            "cat <<{}\n{}\n",
            "echo $((1 + 1)) {}; cat <<END\n{}\nEND",
        ])
    func hereDocuments(template: String) throws {
        let failure = #expect(throws: Failure.self) { try ShellTemplate(Array(template.utf8)) }
        #expect(failure?.status == 64)
        #expect(failure?.message.hasPrefix("{} stands inside a here-document") == true)
    }

    @Test(
        "a line that ends with a here-document has no place for an input behind it",
        arguments: ["cat <<END\nhi\nEND", "cat <<END\nhi\nEND\n", "cat <<END\nhi"])
    func noPlaceBehindHereDocument(template: String) throws {
        let failure = #expect(throws: Failure.self) { try ShellTemplate(Array(template.utf8)) }
        #expect(failure?.message.hasPrefix("the line has no {}, and ends with a here-doc") == true)
    }

    /// What shells, terminals and careless quoting stumble over.
    static let hostile: [String] =
        [
            "$(touch pwned)", "`touch pwned`", "'; touch pwned; '", "\"; touch pwned; \"",
            "' $(touch pwned) '", "\" $(touch pwned) \"", "a b  c", " lead", "trail ", "*", "?",
            "[a-z]",
            "~", "~root", "{}", "{a,b}", "$HOME", "${HOME}", "$$", "$!", "!!", "\\", "\\\\", "\\n",
            "a\\",
            "\t", "\u{1B}[31mred", "-n", "-e", "--", "--help", "#x", "a#b", "a;b", "a&b", "a|b",
            "a>b",
            "a<b", "(a)", "'", "''", "\"", "\"\"", "'\"'\"'", "%s", "%", "=", "a=b", "é", "日本",
            "\u{202E}x",
            "$((1/0))", "${x:?}", "\r",
        ]

    @Test(
        "an input stays one literal argument in every place of a shell line",
        arguments: [
            "printf '[%s]' {}", "printf '[%s]' \"{}\"", "printf '[%s]' '{}'", "printf '[%s]'",
            "printf '[%s]' \"$(printf '%s.' {})\" | sed 's/\\.]$/]/'",
            "f() { printf '[%s]' {}; }; f other; set -- gone",
        ])
    func literal(template: String) throws {
        let tool = Tool()
        let end = try tool.run(
            bytes: [
                Array("run".utf8), Array("-j1".utf8), Array(template.utf8), Array(":::".utf8),
            ] + Self.hostile.map { Array($0.utf8) })
        #expect(end.status == 0)
        #expect(end.errorOutput == "")
        #expect(end.output == Self.hostile.map { "[\($0)]" }.joined())
        #expect(!tool.exists("pwned"))
    }

    @Test("several words reach the program byte for byte, and no shell sees them")
    func words() throws {
        let tool = Tool()
        let odd: [[UInt8]] = [[0xFF, 0xFE], Array("\u{F8FF}argument 1".utf8), [0x80]]
        let inputs = Self.hostile.map { Array($0.utf8) } + odd
        let end = try tool.run(
            bytes: [
                Array("run".utf8), Array("-j1".utf8), Array("printf".utf8), Array("[%s]".utf8),
                Array("<{}>".utf8),
                Array(":::".utf8),
            ] + inputs)
        let expected = inputs.map { Array("[<".utf8) + $0 + Array(">]".utf8) }.flatMap { $0 }
        #expect(end.status == 0)
        #expect(end.output == String(decoding: expected, as: UTF8.self))
        #expect(!tool.exists("pwned"))
    }
}
