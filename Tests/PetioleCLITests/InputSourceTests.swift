import Foundation
import Testing

@testable import PetioleCLI

@Suite("Inputs of run: lists, files, columns and fields", .ownThreads, .timeLimit(.minutes(10)))
struct InputSourceTests {
    let tool = Tool()

    /// A run of one command after the other; of the lines that it prints.
    private func lines(_ words: String..., input: String? = nil) throws -> [String] {
        let end = try tool.run(
            bytes: (["run", "-j1", "--fresh"] + words).map { Array($0.utf8) },
            input: Array((input ?? "").utf8)
        )
        #expect(end.status == 0, "\(end.errorOutput)")
        return end.lines
    }

    @Test(
        "several lists give all combinations, the last one changing first; linked ones go together")
    func combinations() throws {
        #expect(
            try lines("echo", ":::", "a", "b", ":::", "1", "2", "3")
                == ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"])
        #expect(try lines("echo", "{2}-{1}", ":::", "a", "b", ":::+", "1", "2") == ["1-a", "2-b"])
        #expect(
            try lines("echo", "{3}{1}{2}", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y")
                == ["xa1", "ya1", "xb2", "yb2"])
        try tool.write("p\nq\n", to: "one")
        try tool.write("7\n", to: "two")
        #expect(
            try lines("echo", ":::", "a", "::::", "one", "two", "::::+", "one")
                == ["a p 7 p", "a q 7 p"])
        let uneven = try tool.run(
            "run", "-j1", "echo", "{1}{2}", ":::", "a", "b", "c", ":::+", "1", "2")
        #expect(uneven.lines == ["a1", "b2"], "\(uneven.output)")
        #expect(uneven.errorOutput.contains("linked inputs are not equally many"))
        #expect(try tool.run("run", "wc", ":::", "a", ":::").status == 64)
    }

    @Test("combinations are inputs of their own: the same line goes on with those that are new")
    func combinationsGoOn() throws {
        #expect(try lines("echo", ":::", "a", ":::", "1", "2") == ["a 1", "a 2"])
        let more = try tool.run(
            "run", "-j1", "echo", ":::", "b", "a", ":::", "2", "3", "1")
        // What was printed before is printed again first: output is no terminal.
        #expect(more.lines == ["a 1", "a 2", "b 2", "b 3", "b 1", "a 3"])
    }

    @Test(
        "several inputs to a command: in words and in lines for a shell, each an argument of its own"
    )
    func gathered() throws {
        let inputs = ["a b", "$(x)", "c", "'"]
        func run(_ words: String...) throws -> String {
            let end = try tool.run(
                bytes: (["run", "-j1", "--fresh"] + words + [":::"] + inputs).map { Array($0.utf8) }
            )
            #expect(end.status == 0, "\(end.errorOutput)")
            return end.output
        }
        #expect(try run("-n", "3", "printf", "(%s)") == "(a b)($(x))(c)(')")
        #expect(
            try run("-n3", "printf '%s|' x{}y \"{}\" '{}'; echo")
                == "xa b|$(x)|cy|a b $(x) c|a b $(x) c|\nx'y|'|'|\n")
        #expect(
            try run("-n2", "printf", "%s|", "<{}>", "{2}{1}") == "<a b>|<$(x)>|$(x)a b|<c>|<'>|'c|")
        #expect(try run("-L", "2", "sh", "-c", "echo $#", "sh") == "2\n2\n")
        #expect(try run("-X", "sh", "-c", "echo $#", "sh") == "4\n")
        #expect(try run("-X", "-n", "3", "sh", "-c", "echo $#", "sh") == "3\n1\n")
        // In a line around several values is around all, in words around each.
        #expect(try run("-n2", "echo x{}y | cat") == "xa b $(x)y\nxc 'y\n")
        #expect(try run("-n2", "echo", "{%}", "x{.}y") == "1 xa by x$(x)y\n1 xcy x'y\n")
        let many = try lines(
            "-X", "echo {} | wc -w", input: (1...10_000).map(String.init).joined(separator: "\n"))
        #expect(
            many.reduce(0) { $0 + (Int($1.trimmingCharacters(in: .whitespaces)) ?? 0) } == 10_000)
        #expect(
            try tool.run("run", "-n9999", "echo {} | cat", ":::", "a").errorOutput.contains(
                "-n takes 3,214 at most here"))
        let refused = try tool.run("run", "-n2", "echo {.} | cat", ":::", "a", "b")
        #expect(refused.status == 64 && refused.errorOutput.contains("name which: {1.}"))
        #expect(try tool.run("run", "-n2", "-L2", "echo", ":::", "a").status == 64)
        #expect(try tool.run("run", "-n0", "echo", ":::", "a").status == 64)
        // As many as fit: 60,000 bytes with one for each value.
        let long = (1...100).map { _ in String(repeating: "x", count: 999) }.joined(separator: "\n")
        #expect(try lines("-X", "sh", "-c", "echo $#", "sh", input: long) == ["60", "40"])
    }

    @Test("what stops the reading is no end of the inputs: nothing follows, and the status says so")
    func stoppedWhileReading() throws {
        mkfifo(tool.file("inputs"), 0o600)
        for start in 1...4 {
            let running = try tool.start(
                [
                    "run", "-j1", "-a", "inputs", "--halt", "soon,done=\(start * 3)", "--then",
                    "touch over", "echo \(start)",
                ])
            let writer = open(tool.file("inputs"), O_WRONLY | O_CLOEXEC)
            defer { close(writer) }
            let lines = (1...(start * 3)).map { "\($0)\n" }.joined()
            #expect(write(writer, lines, lines.utf8.count) == lines.utf8.count)
            let end = running.end()
            #expect(end.status == 0)
            #expect(end.errorOutput.contains("not all inputs were read"), "\(end.errorOutput)")
            #expect(!tool.exists("over"))
        }
    }

    @Test("what a header names is part of the run: with other names other commands are run")
    func headers() throws {
        func run(_ text: String, _ words: String...) throws -> String {
            try tool.write(text, to: "t.csv")
            let end = try tool.run(
                bytes: (["run", "-j1", "--csv", "-a", "t.csv"] + words).map { Array($0.utf8) })
            return end.output + end.errorOutput
        }
        #expect(try run("name,size\nx,1\n", "echo {name};") == "x\n")
        #expect(try run("size,name\nx,1\n", "echo {name};") == "1\n")
        // Numbers of columns and names that are numbers are told apart: the name goes before.
        #expect(try run("0,1,2\nx,y,z\n", "echo {1} {} {3} | cat") == "y x y z z\n")
        #expect(try run("0,1,2\nx,y,z\n", "echo", "{1}", "{3}") == "y z\n")
        #expect(try run(",name\n0,x\n", "echo", "{}", "{name}") == "0 x x\n")
        #expect(
            try run("a,a\n0,1\n", "echo", "{a}").contains(
                "name the one that is meant by its number: {1}"))
        #expect(
            try run("a,b\n0,1\n", "echo", "{c}").contains("{c} is no column, and is left as it is"))
        // A row that is wrong is told as such until its header is mended.
        #expect(try run("a\n1,2\n", "echo {1}{2}").contains("row 2 has 2 columns"))
        #expect(try run("a,b\n1,2\n", "echo {1}{2}") == "12\n")
        #expect(try run("a\n", "echo {a}+").contains("there are no inputs"))
    }

    @Test("no name of a column or field can be a piece of a program")
    func namesAreNoProgram() throws {
        let program = "print $1,file\n\"BEGIN{system(\"\"touch pwned\"\")}\",x\n"
        _ = try tool.run("run", "--csv", "echo {file} | awk '{print $1}'", input: program)
        let end = try tool.run(
            "run", "--jsonl", "echo {x} | awk '{print}' && echo 'a'{x}'{x}'",
            input:
                #"{"x":1,"print":"BEGIN{system(\"touch pwned\")}"}"#)
        #expect(!tool.exists("pwned"))
        #expect(end.output == "1\na1{x}\n")
        #expect(end.errorOutput.contains("{print} stands in single quotes"))
    }

    @Test("lists end where one of them does, wherever that is, and it is said")
    func unevenLists() throws {
        let lines = (1...9_000).map { "input \($0)" }
        try tool.write(lines.joined(separator: "\n"), to: "many")
        func run(_ words: String...) throws -> Tool.End {
            try tool.run(bytes: (["run", "--dry-run"] + words).map { Array($0.utf8) })
        }
        let words = (1...4_096).map(String.init)
        let short = try tool.run(
            bytes: (["run", "--dry-run", "echo", ":::"] + words + ["::::+", "many"]).map {
                Array($0.utf8)
            })
        #expect(short.lines.count == 4_096)
        #expect(short.lines.last == "echo 4096 'input 4096'")
        #expect(short.errorOutput.contains("linked inputs are not equally many"))
        let even = try run("echo", "::::", "many", "::::+", "many")
        #expect(even.lines.count == 9_000 && !even.errorOutput.contains("equally"))
        // Over the borders of chunks, and with what is left at the end.
        let seven = try run("-n7", "echo", "::::", "many")
        #expect(seven.lines.count == 1_286)
        #expect(
            seven.lines.last
                == "echo 'input 8996' 'input 8997' 'input 8998' 'input 8999' 'input 9000'")
        let all = try run("echo", ":::", "a", "b", "::::", "many")
        #expect(all.lines.count == 18_000)
        #expect(Set(all.lines).count == 18_000)
        #expect(try run("echo", "::::").status == 64)
        #expect(try run("echo", ":::", "a", "::::").status == 64)
        #expect(
            try run("--jsonl", "echo", ":::", "1", ":::", "2").errorOutput.contains(
                "come from one source"))
    }

    @Test("a line without a shell gives a program what a shell would have given it")
    func plainAndShell() throws {
        for words in [
            ["cat {} x={.}", "a b.c"], ["cat", "*"], ["wc -l {/} {#}", "d/it's"],
            ["sort -k1,1 {}", "$(x)"],
        ] {
            let plain = try tool.run("run", "--dry-run", words[0], ":::", words[1])
            let shell = try tool.run("run", "--dry-run", words[0] + ";", ":::", words[1])
            #expect(!plain.output.contains("/bin/sh") && shell.output.contains("/bin/sh"))
            let shown =
                "show() { printf '(%s)' \"$@\"; }; cat() { show \"$@\"; }; wc() { show \"$@\"; }; sort() { show \"$@\"; }; "
            // What a shell reads of the printed plain line, and what it does of the line itself.
            let one = try tool.start(shell: shown + Self.arguments(of: plain.output)).end()
            let two = try tool.run("run", "--fresh", shown + words[0], ":::", words[1])
            #expect(one.output == two.output, "\(plain.output) \(shell.output)")
        }
        // Text that the system cannot start is a shell's.
        try tool.write("echo hi $PETIOLE_INPUT\n", to: "script")
        chmod(tool.file("script"), 0o755)
        let line = "PATH=$PWD:$PATH; export PATH; petiole=\(Tool.path); "
        #expect(
            try tool.start(shell: line + "$petiole run 'script {}' ::: a").end().output == "hi a\n")
        try tool.write("#!/bin/sh\necho $PETIOLE_INPUT\n", to: "other")
        chmod(tool.file("other"), 0o755)
        #expect(try tool.start(shell: line + "$petiole run 'other {}' ::: a").end().output == "a\n")
    }

    /// A printed command without the variables in front of it.
    private static func arguments(of line: String) -> String {
        guard line.hasPrefix("env ") else { return line }
        var rest = Substring(line.dropFirst(4))
        while rest.hasPrefix("PETIOLE_") || rest.hasPrefix("'PETIOLE_") {
            var isQuoted = false
            var index = rest.startIndex
            while index < rest.endIndex, isQuoted || rest[index] != " " {
                if rest[index] == "\\", !isQuoted {
                    index = rest.index(after: index)
                } else if rest[index] == "'" {
                    isQuoted.toggle()
                }
                index = rest.index(after: index)
            }
            rest = rest[index...].dropFirst()
        }
        return String(rest)
    }

    @Test("what a stop cuts off is no input: the next start gathers the same ones")
    func stoppedWhileGathering() throws {
        mkfifo(tool.file("inputs"), 0o600)
        let running = try tool.start(["run", "-j1", "-n3", "-a", "inputs", "echo"])
        let writer = open(tool.file("inputs"), O_WRONLY | O_CLOEXEC)
        defer { close(writer) }
        #expect(write(writer, "1\n2\n3\n4\n", 8) == 8)
        _ = try running.line(beginning: "1 2 3")
        running.send(SIGINT)
        #expect(running.end().status == 130)
        #expect(try tool.run("jobs", "--json").lines.count == 1)
    }

    @Test(
        "rows of CSV: columns by name and by number, quotes as RFC 4180 has them, a wrong row fails alone"
    )
    func csv() throws {
        try tool.write(
            "\u{FEFF}name,size,\"a note\"\r\n\"x, y\",1,\"2 \"\"q\"\"\r\nand more\"\r\n\r\nz.png,,\r\nshort\r\n",
            to: "t.csv")
        let end = try tool.run(
            "run", "-j1", "--csv", "-a", "t.csv", "printf", "%s|", "{name}", "{name.}", "{2}",
            "{a note}", "{other}")
        #expect(end.output == "x, y|x, y|1|2 \"q\"\r\nand more|{other}|z.png|z|||{other}|")
        #expect(end.status == 1)
        #expect(end.errorOutput.contains("row 4 has 1 column, and the header names 3"))
        let shell = try tool.run(
            "run", "-j1", "--csv", "-a", "t.csv", "printf '%s;' {name} \"{a note}\"; echo")
        #expect(shell.output == "x, y;2 \"q\"\r\nand more;\nz.png;;\n")
        let batch = try tool.run(
            "run", "-j1", "--csv", "-n2", "echo {a} {2};", input: "a,b\n1,2\nbad\n3,4\n")
        #expect(batch.status == 1 && batch.output == "1 2\n", "\(batch.output)")
        #expect(
            try lines("--csv", "--header", "none", "-C", ";", "echo", "{2}{1}", ":::", "a;\"b;c\"")
                == ["b;ca"])
        #expect(try lines("--tsv", "echo", "{y}", "{x}", input: "x\ty\n1 1\t\"2\n") == ["\"2 1 1"])
        let open = try tool.run("run", "--csv", "echo", input: "a,b\n1,\"2\n3,4\n")
        #expect(open.status == 125 && open.errorOutput.contains("opened in line 2 is not closed"))
        let behind = try tool.run("run", "--csv", "echo", input: "a,b\n1,\"2\"3\n")
        #expect(behind.errorOutput.contains("line 2 has text behind a closing quote"))
        #expect(try tool.run("run", "--csv", "--tsv", "echo", ":::", "a").status == 64)
        #expect(try tool.run("run", "--csv", "-0", "echo", ":::", "a").status == 64)
    }

    @Test("fields of CSV do not change with the pieces in which they are read")
    func csvPieces() throws {
        // Longer than what is read at once, with quotes and line ends at every place.
        let fields = (0..<9_000).map { "\"\($0)\"\"\n,\(String(repeating: "é", count: $0 % 17))\"" }
        let text = "a,b\n" + fields.map { "\($0),\($0)\n" }.joined()
        let expected = (0..<9_000).map { "\($0)\"\n,\(String(repeating: "é", count: $0 % 17))" }
        try tool.write(text, to: "big.csv")
        var rows = CSVRows(
            try ByteStream(path: Array(tool.file("big.csv").utf8), stop: WakePipe().reading),
            separator: UInt8(ascii: ","))
        var found: [[[UInt8]]] = []
        while let some = try rows.next() { found += some }
        #expect(found.count == 9_001)
        #expect(found.dropFirst().map { String(decoding: $0[1], as: UTF8.self) } == expected)
    }

    @Test("columns, with a header and without")
    func columns() throws {
        #expect(try lines("--colsep", ",", "echo {3}{1}", ":::", "a,b,c", "d") == ["ca", "d"])
        #expect(
            try lines("-C", "\\s+", "echo", "{2}", input: " a  b\tc \n") == ["b"])
        #expect(
            try lines(
                "-C", "\\|", "--header", ":", "echo", "{size}:{name}", input: "name|size\nx|7\n")
                == ["7:x"])
        #expect(try lines("--tsv", "echo", "{y}!", input: "\u{FEFF}x\ty\r\n1\t2\r\n") == ["2!"])
        #expect(
            try lines("--header", ":", "echo", "{n}{l}", ":::", "n", "1", "2", ":::", "l", "a")
                == ["1a", "2a"])
        #expect(try tool.run("run", "-C", "[,;]+x\\d", "echo", ":::", "a").status == 64)
    }

    @Test("fields of JSON lines, by path; a line that has not all of them fails alone")
    func jsonLines() throws {
        let input = #"""
            {"user":{"name":"Zo\u00eb $(x)"},"n":[1,{"a":true}],"n":[2,{"a":false}]}
            {"user":{"name":null,"more":{}},"n":[-1.5e3,{"a":"\ud83d\ude00\n"}]}
            {"user":{}}
            {"user":
            """#
        let end = try tool.run(
            "run", "-j1", "--jsonl", "printf '%s|' {user.name} {n.0} {n.1.a} \"{user}\"; echo",
            input: input)
        #expect(
            end.output
                == "Zoë $(x)|2|false|{\"name\":\"Zo\\u00eb $(x)\"}|\n|-1.5e3|😀\n|{\"name\":null,\"more\":{}}|\n"
        )
        #expect(end.status == 2)
        #expect(end.errorOutput.contains("line 3 of the inputs has no field user.name"))
        #expect(end.errorOutput.contains("line 4 of the inputs is no JSON value from byte 9 on"))
        let whole = try lines("--jsonl", "printf", "%s\\n", "{}", "{a}", input: "{ \"a\" : 1 }\n")
        #expect(whole == ["{ \"a\" : 1 }", "1"])
    }

    @Test(
        "what is no JSON is told from what is",
        arguments: [
            ("{\"a\":1}", true), (" [1, 2.5, -0, 1e9, \"\\u00e9\\n\", {}, [], null, true] ", true),
            ("{\"a\":1,}", false), ("[1,]", false), ("01", false), ("1.", false),
            ("\"\\x\"", false),
            ("\"\\ud800\"", true), ("\"\\udc00x\"", true), ("\"\\ud800\\u00\"", false),
            ("{a:1}", false), ("{} {}", false),
            ("", false),
            ("\"a\nb\"", false), ("nul", false), ("-", false), ("[\"\\ud83d\\ude00\"]", true),
        ])
    func grammar(text: String, isValid: Bool) {
        var isFound = true
        do throws(JSONFields.Fault) {
            _ = try JSONFields.values(of: [], in: Array(text.utf8))
        } catch {
            isFound = false
        }
        #expect(isFound == isValid, "\(text)")
    }

    @Test("files below a folder in the order of their names, and those that a pattern names")
    func files() throws {
        for folder in ["d", "d/b", "d/.petiole", "d/z"] { tool.makeFolder(folder) }
        for file in [
            "d/c.csv", "d/b/a b.csv", "d/b/x.txt", "d/.petiole/no.csv", "d/z/1", "d/.h.csv",
        ] {
            try tool.write("", to: file)
        }
        #expect(
            try lines("--find", "d", "echo") == [
                "d/.h.csv", "d/b/a b.csv", "d/b/x.txt", "d/c.csv", "d/z/1",
            ])
        #expect(
            try lines("--find", "d/", "--glob", "[!.]*.csv", "echo", "{}") == [
                "d/b/a b.csv", "d/c.csv",
            ])
        #expect(
            try lines("--find", "d", "--glob", "b/*", "--glob", "1", "echo", "-") == [
                "- d/b/a b.csv", "- d/b/x.txt", "- d/z/1",
            ])
        #expect(
            try lines("--glob", "d/*/*.txt", "--glob", "d/c.*", "echo", "+") == [
                "+ d/b/x.txt", "+ d/c.csv",
            ])
        #expect(try tool.run("run", "--find", "none", "echo").status == 125)
        #expect(
            try tool.run("run", "--glob", "none*", "echo").errorOutput.contains(
                "no file matches it"))
    }

    @Test("shuffled inputs are the same in another order")
    func shuffled() throws {
        let inputs = (1...2_000).map(String.init)
        let found = try lines("--shuf", "-n", "2000", "echo", input: inputs.joined(separator: "\n"))
        let one = try tool.run(
            "run", "--dry-run", "--shuf", "echo", input: inputs.joined(separator: "\n"))
        #expect(found.count == 1)
        let shuffled = one.lines.map { String($0.dropFirst(5)) }
        #expect(shuffled != inputs)
        #expect(shuffled.sorted() == inputs.sorted())
    }

    @Test("{%} is the place among the commands that go on at once, in words and in lines")
    func slots() throws {
        #expect(try lines("echo", "it's {%} $HOME", "{}", ":::", "a b") == ["it's 1 $HOME a b"])
        // Two that are there at the same time: each waits for the other.
        mkfifo(tool.file("one"), 0o600)
        mkfifo(tool.file("two"), 0o600)
        let both = try tool.run(
            "run", "-j2",
            "case {} in a) echo {%} > one; read x < two;; b) read x < one; echo {%} > two;; esac; echo $x",
            ":::", "a", "b")
        #expect(Set(both.lines) == ["1", "2"], "\(both.output)")
        #expect(try lines("--shell", "echo", "{}", ">", "out{}; cat out{}", ":::", "a") == ["a"])
    }

    @Test(
        "an input that no command can take fails alone, and is known when the line is started again"
    )
    func longInputs() throws {
        let lengths = [59_999, 60_001, 100_000, 200_000, 3_000_000, 1]
        let input = lengths.map { String(repeating: "x", count: $0) }.joined(separator: "\n")
        let line = "printf %s {} | wc -c | tr -d ' '"
        let end = try tool.run("run", "-j1", line, input: input)
        #expect(end.status == 2)
        #expect(end.lines == ["59999", "60001", "100000", "1"])
        #expect(end.errorOutput.contains("are more than the system takes; hand the data over in"))
        let again = try tool.run("run", "-j1", line, input: input)
        #expect(again.errorOutput.contains("this run is finished: 6 jobs, 2 not well"))
        let tooLong = try tool.run("run", "cat", input: String(repeating: "y", count: 5_000_000))
        #expect(
            tooLong.status == 125 && tooLong.errorOutput.contains("has more than 4,194,304 bytes"))
    }

    @Test("a line that needs no shell is run without one")
    func plainLines() throws {
        let rules = PlaceRules()
        func words(_ line: String) -> [String]? {
            PlainLine.words(of: Array(line.utf8), rules)?.map {
                String(decoding: $0, as: UTF8.self)
            }
        }
        #expect(words(" cat  -n\t{} x={/.}") == ["cat", "-n", "{}", "x={/.}"])
        for line in [
            "echo {}", "cat {} | wc", "a=1 cat", "cat ~/x", "cat *", "cat $x", "'cat' x",
            "cat {} &", "./cat",
            "no-such-program {}", "{} x", "cat {} # x", "cat {a,b}", "cat\nls", "cat \\x", "! cat",
            "",
        ] {
            #expect(words(line) == nil, "\(line)")
        }
        try tool.write("hi\n", to: "a $(b)")
        #expect(try lines("cat -- {}", ":::", "a $(b)") == ["hi"])
        #expect(
            try tool.run("jobs", "--json").output.contains(#""arguments":["cat","--","a $(b)"]"#))
    }
}
