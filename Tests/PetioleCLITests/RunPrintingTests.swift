import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("What petiole run prints", .ownThreads, .timeLimit(.minutes(10))) struct RunPrintingTests {
    let tool = Tool()

    @Test("each line begins with its input and a tab when that is asked for")
    func tag() throws {
        let end = try tool.run(
            "run", "-j1", "--tag", "printf 'one\\n\\ntwo'; echo err >&2; test {} != b", ":::",
            "a a",
            "b")
        #expect(end.output == "a a\tone\na a\t\na a\ttwob\tone\nb\t\nb\ttwo", "\(end.output)")
        #expect(end.errorOutput.hasPrefix("a a\terr\nb\terr\n"))
        let text = try tool.run(
            "run", "--tagstring", "<{/.}>{//}", "echo {}", ":::", "d/x.c")
        #expect(text.output == "<x>d\td/x.c\n")
        // Of a run that goes on too.
        #expect(
            try tool.run("run", "--tagstring", "{}:", "echo {}", ":::", "d/x.c").output
                == "d/x.c:\td/x.c\n")
        #expect(try tool.run("run", "--tag", "--tagstring", "x", "true", ":::", "a").status == 64)
    }

    @Test("lines are printed whole as they are written, those of several commands in turns")
    func lineBuffer() throws {
        for name in ["a", "b"] { mkfifo(tool.file(name), 0o600) }
        let line =
            "printf 'first {}\\nsec'; read x < {}; printf 'ond {}\\n'; printf 'last {}'; echo e >&2"
        let run = try tool.start(
            ["run", "-j2", "--line-buffer", "--tag", line, ":::", "a", "b"])
        _ = try run.line(beginning: "a\tfirst a")
        _ = try run.line(beginning: "b\tfirst b")
        try tool.write("x\n", to: "b")
        _ = try run.line(beginning: "b\tsecond b")
        _ = try run.line(beginning: "b\tlast b")
        try tool.write("x\n", to: "a")
        let end = run.end()
        #expect(
            end.lines.suffix(4) == ["b\tsecond b", "b\tlast b", "a\tsecond a", "a\tlast a"],
            "\(end.lines)")
        #expect(end.lines.count == 6)
        #expect(end.errorOutput == "b\te\na\te\n")
        // The outcome has it all the same, as it was written.
        let again = try tool.run("run", "-j2", "--line-buffer", line, ":::", "a", "b")
        #expect(again.output.contains("first a\nsecond a\nlast a"))
        #expect(try tool.run("run", "-k", "--line-buffer", "true", ":::", "a").status == 64)
        #expect(try tool.run("run", "--group", "--line-buffer", "true", ":::", "a").status == 64)
    }

    @Test("a line that is longer than a mebibyte is printed in pieces, and nothing is lost")
    func longLine() throws {
        let end = try tool.run(
            "run", "--line-buffer", "head -c 3000000 /dev/zero | tr '\\0' {}", ":::", "x")
        #expect(end.output.filter { $0 == "x" }.count == 3_000_000)
    }

    @Test("behind the limit output is dropped, the command goes on, and this is said")
    func outputLimit() throws {
        let line = "head -c 5000000 /dev/zero | tr '\\0' x; echo err >&2; echo went-on >> {}"
        let end = try tool.run("run", "--output-limit", "2M", line, ":::", "file")
        #expect(end.status == 0)
        #expect(end.output.utf8.count == 2 << 20)
        #expect(tool.read("file") == "went-on\n")
        let text =
            "the output of job 1 is cut behind 2 MiB: 2,902,848 bytes more were written\n"
        #expect(end.errorOutput == "petiole: \(text)err\n", "\(end.errorOutput)")
        #expect(try tool.run("show", "--json", "1").output.contains(#""stdout_cut":2902848"#))
        let live = try tool.run(
            "run", "--line-buffer", "--output-limit", "6", "seq 100 # {}", ":::", "1")
        #expect(live.output == "1\n2\n3\n")
        #expect(live.errorOutput.contains("is cut behind 6 B: 286 bytes more were written"))
    }

    @Test(
        "what could steer a terminal is written out there, and not where it is none, nor with --raw"
    )
    func terminal() throws {
        let terminal = try OutputTerminal()
        let line = "printf 'a\\033[2Jb\\tc\\r\\n\\303\\244 {}\\n'; printf '\\033]0;x\\007' >&2"
        let run = "\(Tool.path) run --tag"
        let shown = try tool.start(
            shell: "\(run) \"\(line)\" ::: 1 > \(terminal.path) 2> \(terminal.path)"
        ).end()
        #expect(shown.status == 0)
        let text = terminal.text()
        #expect(
            text == "1\ta\\u{1b}[2Jb\tc\n1\tä 1\n1\t\\u{1b}]0;x\\u{7}",
            "\(text.debugDescription)")
        let raw = try tool.start(
            shell: "\(run) --raw \"\(line)\" ::: 2 > \(terminal.path) 2> \(terminal.path)"
        ).end()
        #expect(raw.status == 0)
        #expect(terminal.text().hasPrefix("2\ta\u{1B}[2Jb\tc\r\n"))
        let file = try tool.start(shell: "\(run) \"\(line)\" ::: 3 > out").end()
        #expect(file.status == 0)
        // What ended before is printed again there, first.
        #expect(tool.read("out").hasSuffix("\n3\ta\u{1B}[2Jb\tc\r\n3\tä 3\n"))
        let live = try tool.start(
            shell: "\(run) --line-buffer \"\(line)\" ::: 4 > \(terminal.path)"
        ).end()
        #expect(live.status == 0)
        #expect(terminal.text() == "4\ta\\u{1b}[2Jb\tc\n4\tä 4\n")
    }

    @Test("a long line without an end is one, also when all of it was printed before the end came")
    func longLineWithoutEnd() throws {
        let end = try tool.run(
            "run", "-j1", "--line-buffer", "head -c {} /dev/zero | tr '\\0' a", ":::", "1048577",
            "1")
        #expect(end.lines.map(\.utf8.count) == [1_048_577, 1])
    }

    @Test("a character that comes in two pieces is one, and what is none does no harm")
    func pieces() {
        let bytes = Array("aä€😀\u{85}\u{202E}z\n".utf8) + [0xFF, 0xC3]
        let whole = "aä€😀\\u{85}\\u{202e}z\n\u{FFFD}\u{FFFD}"
        for cut in 0...bytes.count {
            var shown = OutputText.Shown(tag: nil, escapes: true)
            var text: [UInt8] = []
            for piece in [bytes[..<cut], bytes[cut...]] {
                Array(piece).withUnsafeBytes { text += shown.take($0) }
            }
            text += shown.finish()
            #expect(String(decoding: text, as: UTF8.self) == whole, "\(cut)")
        }
    }
}
