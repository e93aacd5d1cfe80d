import Testing

@testable import PetioleCLI

@Suite("Parts of an input in a command", .ownThreads) struct InputFormTests {
    let tool = Tool()

    @Test(
        "parts of a path are those that basename and dirname give, and what is before the last dot",
        arguments: [
            ("a/b.c/d.tar.gz", ["a/b.c/d.tar", "d.tar.gz", "a/b.c", "d.tar"]),
            ("plain", ["plain", "plain", ".", "plain"]),
            ("a.b/plain", ["a.b/plain", "plain", "a.b", "plain"]),
            (".bashrc", [".bashrc", ".bashrc", ".", ".bashrc"]),
            ("home/.bashrc", ["home/.bashrc", ".bashrc", "home", ".bashrc"]),
            ("dir/", ["dir/", "dir", ".", "dir"]),
            ("/", ["/", "/", "/", "/"]),
            ("/x", ["/x", "x", "/", "x"]),
            ("a//b", ["a//b", "b", "a", "b"]),
            ("ends.", ["ends", "ends.", ".", "ends"]),
            ("", ["", "", ".", ""]),
        ])
    func parts(input: String, expected: [String]) {
        let forms: [InputForm] = [.withoutExtension, .name, .folder, .nameWithoutExtension]
        let found = forms.map {
            String(decoding: $0.value(of: Array(input.utf8)), as: UTF8.self)
        }
        #expect(found == expected)
    }

    @Test(
        "each part stands where it is written, in words and in lines for a shell, whatever the input holds"
    )
    func places() throws {
        let words = try tool.run(
            "run", "-j1", "printf", "%s|", "{}", "{.}", "{/}", "{//}", "{/.}", "x{#}x", ":::",
            "a b/c d.txt")
        #expect(words.output == "a b/c d.txt|a b/c d|c d.txt|a b|c d|x1x|")
        let evil = "$(reboot) 'q'/`x` \"y\".sh"
        let line = try tool.run(
            "run", "-j1", #"printf '%s|' {} {.} "{/}" '{//}' {/.} {#} ${#} "$#""#, ":::", evil)
        #expect(
            line.output
                == "\(evil)|$(reboot) 'q'/`x` \"y\"|`x` \"y\".sh|$(reboot) 'q'|`x` \"y\"|1|0|0|")
        // The line is found again from its job.
        let jobs = try tool.run("jobs", "--state", "succeeded")
        #expect(jobs.output.contains(#"{.} "{/}""#), "\(jobs.output)")
        #expect(
            try tool.run("run", "echo $(( {#} + 1 ))", ":::", "a").errorOutput
                .contains("stands inside $((")
        )
    }

    @Test("inputs come from a file as well, ended by what -d says")
    func files() throws {
        try tool.write("a\n\nb\n", to: "list")
        #expect(
            try tool.run("run", "-j1", "-a", "list", "printf", "(%s)").output == "(a)(b)")
        try tool.write("a,,b", to: "commas")
        #expect(
            try tool.run("run", "-j1", "-a", "commas", "-d", ",", "printf", "[%s]").output
                == "[a][][b]")
        #expect(
            try tool.run("run", "-j1", "-a", "-", "-d", "\\t", "printf", "<%s>", input: "a\tb")
                .output == "<a><b>")
        let missing = try tool.run("run", "-a", "none", "echo")
        #expect(missing.status == 125 && missing.errorOutput.contains("none cannot be read"))
        #expect(try tool.run("run", "-d", "ab", "echo", input: "x").status == 64)
        #expect(try tool.run("run", "-0", "-d", ",", "echo", input: "x").status == 64)
        #expect(
            try tool.run("run", "-j1", "-a", "list", "echo", ":::", "x").output == "a x\nb x\n")
    }

    @Test("a dry run prints what would be started now as a shell reads it, and changes nothing")
    func dryRun() throws {
        let line = ["run", "--dry-run", "-j1", "echo", "{/.}", ":::"]
        let end = try tool.run(bytes: (line + ["x/a b.c", "y.d"]).map { Array($0.utf8) })
        #expect(end.output == "echo 'a b'\necho y\n")
        #expect(end.errorOutput == "petiole: 2 commands would be started\n")
        #expect(!tool.exists(".petiole"))
        #expect(try tool.run("run", "-j1", "echo", "{/.}", ":::", "y.d").status == 0)
        let again = try tool.run(bytes: (line + ["x/a b.c", "y.d"]).map { Array($0.utf8) })
        #expect(again.output == "echo 'a b'\n")
        #expect(again.errorOutput == "petiole: 1 command would be started, 1 has ended\n")
        let fresh = try tool.run(
            "run", "--dry-run", "--fresh", "echo", "{/.}", ":::", "y.d")
        #expect(fresh.output == "echo y\n")
        // A line for a shell is printed as it is started.
        let shell = try tool.run("run", "--dry-run", "wc -c < {}", ":::", "it's")
        let printed = try tool.start(shell: "printf 12345 > \"it's\"; " + shell.output).end()
        #expect(printed.output == "5\n", "\(shell.output)")
        #expect(try tool.run("run", "--dry-run", "echo", input: "").status == 64)
    }
}
