import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole run", .ownThreads) struct RunTests {
    let tool = Tool()

    @Test("inputs come from ::: or from the lines or zero-ended pieces of standard input")
    func sources() throws {
        #expect(
            try tool.run("run", "-j1", "printf", "<%s>", ":::", "a", "b c", "").output
                == "<a><b c><>")
        #expect(
            try tool.run("run", "-j1", "printf", "(%s)", input: "a\n\nb c\nlast").output
                == "(a)(b c)(last)")
        #expect(
            try tool.run("run", "-0", "-j1", "printf", "[%s]", input: "a\0b\nc\0").output
                == "[a][b\nc]")
    }

    @Test("{} is replaced inside of words, as often as it stands there")
    func replaces() throws {
        let end = try tool.run(
            "run", "-j1", "printf", "%s|", "{}.gz", "x{}y{}", "plain", ":::", "a b")
        #expect(end.output == "a b.gz|xa bya b|plain|")
    }

    @Test("the exit status is the number of failed jobs, up to 100, and 101 for more")
    func exitStatus() throws {
        #expect(try tool.run("run", "exit {}", ":::", "0", "0").status == 0)
        let some = try tool.run("run", "exit {} ", ":::", "0", "1", "2", "3")
        #expect(some.status == 3)
        #expect(some.errorOutput.hasPrefix("petiole: 3 of 4 jobs failed\n"))
        let many = (1...102).map(String.init).joined(separator: "\n")
        #expect(try tool.run("run", "exit 1 # {}", input: many).status == 101)
    }

    @Test("a failed command is tried again as often as asked, and all attempts count")
    func retries() throws {
        let line = "echo x >> {}; test $(wc -l < {}) -ge 2"
        #expect(try tool.run("run", "--retries", "1", line, ":::", "tries").status == 0)
        #expect(tool.read("tries") == "x\nx\n")
        #expect(try tool.run("run", "test -z {}", ":::", "once").status == 1)
        let dead = try tool.run("jobs", "--state", "failed", "--json")
        #expect(dead.output.contains(#""attempt":1"#))
    }

    @Test("outputs are whole, one after another, however much each command writes")
    func outputs() throws {
        // 3 MiB are more than an outcome holds: the rest lies in a file.
        let line = "for i in 1 2 3; do head -c 1048576 /dev/zero | tr '\\0' {}; done; echo"
        let end = try tool.run("run", "-j4", line, ":::", "a", "b", "c", "d")
        #expect(end.status == 0)
        #expect(
            end.lines.sorted()
                == ["a", "b", "c", "d"].map { String(repeating: $0, count: 3 << 20) })
    }

    @Test("what commands write to standard error goes there")
    func errorOutput() throws {
        let end = try tool.run("run", "-j1", "echo out {}; echo err {} >&2", ":::", "1", "2")
        #expect(end.output == "out 1\nout 2\n")
        #expect(end.errorOutput == "err 1\nerr 2\n")
    }

    @Test("a finished run says so, prints what was recorded, and runs nothing")
    func finished() throws {
        let arguments = ["run", "-j1", "echo {} >> ran; echo did {}", ":::", "a", "b"]
        func start() throws -> Tool.End {
            try tool.run(bytes: arguments.map { Array($0.utf8) })
        }
        _ = try start()
        let again = try start()
        #expect(again.status == 0)
        #expect(again.output == "did a\ndid b\n")
        #expect(again.errorOutput.contains("this run is finished: 2 jobs, all succeeded"))
        #expect(tool.read("ran") == "a\nb\n")
    }

    @Test("only inputs that are new are run, equal ones counted")
    func newInputs() throws {
        func start(_ inputs: String) throws -> Tool.End {
            try tool.run("run", "-j1", "echo {} | tee -a ran", input: inputs)
        }
        _ = try start("a\nb\na\n")
        #expect(tool.read("ran") == "a\nb\na\n")
        let more = try start("b\nc\na\na\na\n")
        #expect(tool.read("ran") == "a\nb\na\nc\na\n")
        #expect(more.output == "a\nb\na\nc\na\n")
    }

    @Test(
        "that outputs of before are printed again is said once, when there are any and nothing else is"
    )
    func repeated() throws {
        func start(_ inputs: String...) throws -> Tool.End {
            let words = ["run", "-j1", "test {} = silent || echo {}", ":::"] + inputs
            return try tool.run(bytes: words.map { Array($0.utf8) })
        }
        #expect(try start("silent").errorOutput == "")
        let unseen = try start("silent", "a")
        #expect(unseen.errorOutput == "")
        let one = try start("silent", "a", "b")
        #expect(one.output == "a\nb\n")
        #expect(
            one.errorOutput == "petiole: 1 job of before is printed again; --fresh runs all anew\n")
        #expect(
            try start("c").errorOutput
                == "petiole: 2 jobs of before are printed again; --fresh runs all anew\n")
        #expect(
            try start("c").errorOutput
                == "petiole: this run is finished: 4 jobs, all succeeded; --fresh starts anew\n")
    }

    @Test("--fresh runs all anew, and what it came to is what counts from then on")
    func fresh() throws {
        try tool.write("1", to: "status")
        func start(_ options: [String]) throws -> Tool.End {
            let arguments = ["run"] + options + ["exit $(cat status) # {}", ":::", "a"]
            return try tool.run(bytes: arguments.map { Array($0.utf8) })
        }
        #expect(try start([]).status == 1)
        try tool.write("0", to: "status")
        let again = try start([])
        #expect(again.status == 1)
        #expect(again.errorOutput.contains("--fresh"))
        #expect(try start(["--fresh"]).status == 0)
        #expect(try start([]).status == 0)
    }

    @Test("a run whose process is killed goes on where it was, and its output is whole")
    func resumesAfterKill() throws {
        let inputs = (1...60).map(String.init)
        // Input 30 waits for a file that is not there in the first start: the kill falls in the middle for sure.
        let line = "test {} != 30 || { test -e go || exec sleep 600; }; echo {} | tee -a ran"
        let arguments = ["run", "-j1", line, ":::"] + inputs
        let first = try tool.start(arguments)
        _ = try first.line(beginning: "29")
        first.send(SIGKILL)
        #expect(first.end().signal == SIGKILL)
        try tool.write("", to: "go")
        let second = try tool.run(bytes: arguments.map { Array($0.utf8) })
        #expect(second.status == 0)
        #expect(second.errorOutput.hasPrefix("petiole: goes on: 29 of 60 jobs had ended\n"))
        #expect(second.lines.sorted() == inputs.sorted())
        #expect(second.lines.prefix(29) == inputs.prefix(29))
        #expect(tool.read("ran") == inputs.map { $0 + "\n" }.joined())
    }

    @Test("inputs that had not ended and are no longer listed go on, and this is said")
    func unlisted() throws {
        let line = "test {} != 2 || { test -e go || exec sleep 600; }; echo {}"
        let first = try tool.start(["run", "-j1", line, ":::", "1", "2", "3"])
        _ = try first.line(beginning: "1")
        first.send(SIGKILL)
        _ = first.end()
        try tool.write("", to: "go")
        let second = try tool.run("run", "-j1", line, ":::", "1", "4")
        #expect(
            second.errorOutput.contains(
                "2 inputs of before had not ended and are no longer listed; they go on"))
        #expect(second.lines.sorted() == ["1", "2", "3", "4"])
    }

    @Test("SIGINT lets the running command end, says how to go on, and the same line does")
    func stops() throws {
        let line = "echo begin-{} >> begun; test {} != 1 || read x < pipe; echo {}"
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1", line, ":::", "1", "2", "3"])
        // Opens when the command does: from here on it runs.
        let pipe = open(tool.file("pipe"), O_WRONLY | O_CLOEXEC)
        first.send(SIGINT)
        _ = try first.line(beginning: "petiole: stops when", inErrors: true)
        _ = write(pipe, "x\n", 2)
        close(pipe)
        let end = first.end()
        #expect(end.status == 128 + SIGINT)
        #expect(end.output == "1\n")
        #expect(end.errorOutput.contains("the same line again goes on from here"))
        let second = try tool.run("run", "-j1", line, ":::", "1", "2", "3")
        #expect(second.status == 0)
        #expect(second.output == "1\n2\n3\n")
        #expect(tool.read("begun") == "begin-1\nbegin-2\nbegin-3\n")
    }

    @Test("a second SIGINT stops the running command, which runs again with the same line")
    func stopsNow() throws {
        let line = "test -e go || { echo up > pipe; exec sleep 600; }; echo {}"
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1", line, ":::", "1"])
        // Opens when the command does: from here on it runs.
        #expect(tool.read("pipe") == "up\n")
        first.send(SIGTERM)
        _ = try first.line(beginning: "petiole: stops when", inErrors: true)
        first.send(SIGTERM)
        #expect(first.end().status == 128 + SIGTERM)
        try tool.write("", to: "go")
        #expect(try tool.run("run", "-j1", line, ":::", "1").output == "1\n")
    }

    @Test(
        "commands that ignore the second SIGINT are said to be killed in 10 s, and a third one does",
        arguments: [
            ["run", "-j1", "trap '' TERM; echo up > pipe; sleep 600; echo {}", ":::", "1"],
            ["worker"],
        ])
    func kills(arguments: [String]) throws {
        mkfifo(tool.file("pipe"), 0o600)
        _ = try tool.run("add", "--", "sh", "-c", "trap '' TERM; echo up > pipe; sleep 600")
        let process = try tool.start(arguments)
        // Opens when the command does: from here on it ignores the signal.
        #expect(tool.read("pipe") == "up\n")
        process.send(SIGINT)
        _ = try process.line(beginning: "petiole: stops when", inErrors: true)
        let start = ContinuousClock.now
        process.send(SIGINT)
        #expect(
            try process.line(beginning: "petiole: the running commands are asked", inErrors: true)
                .hasSuffix("to end, and killed in 10 s; once more kills them at once"))
        process.send(SIGINT)
        _ = process.end()
        // Only a failure reaches the bound.
        #expect(start.duration(to: .now) < .seconds(9))
        #expect(try tool.run("status", "--json").output.contains(#""running":0,"#))
    }

    @Test("SIGTSTP suspends the commands and the run, SIGCONT lets both go on")
    func suspends() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let line = "echo $$ > pipe; read x < pipe; echo {}"
        let run = try tool.start(["run", "-j1", line, ":::", "1"])
        let child = try #require(pid_t(tool.read("pipe").dropLast()))
        run.send(SIGTSTP)
        // Returns when the process has stopped.
        var status: Int32 = 0
        #expect(waitpid(run.pid, &status, WUNTRACED) == run.pid)
        #expect(status & 0xFF == 0x7F)
        #if os(Linux)
            // Its stop is on the way, and comes when it gets a processor; only a failure reaches the bound.
            var looks = 0
            while tool.state(of: child) != "T", looks < 200_000 {
                looks += 1
                sched_yield()
            }
            #expect(tool.state(of: child) == "T")
        #endif
        run.send(SIGCONT)
        // Opens when the command reads, which it does when it goes on.
        try tool.write("x\n", to: "pipe")
        let end = run.end()
        #expect(end.status == 0)
        #expect(end.output == "1\n")
    }

    @Test("the same run started twice at once is refused, and one with another line is not")
    func sideBySide() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1", "read x < pipe; echo {}", ":::", "1"])
        let pipe = open(tool.file("pipe"), O_WRONLY | O_CLOEXEC)
        let twin = try tool.run("run", "-j1", "read x < pipe; echo {}", ":::", "1")
        #expect(twin.status == 125)
        #expect(
            twin.errorOutput == """
                petiole: this same line is running already, in process \(first.pid)
                         wait until that process has ended; then the same line does what is left

                """)
        let fresh = try tool.run("run", "--fresh", "read x < pipe; echo {}", ":::", "1")
        #expect(fresh.status == 125)
        #expect(fresh.errorOutput.contains("this run goes on in process \(first.pid)"))
        for end in [twin, fresh] { #expect(!end.errorOutput.contains("kill")) }
        #expect(try tool.run("run", "echo other {}", ":::", "1").output == "other 1\n")
        _ = write(pipe, "x\n", 2)
        close(pipe)
        let end = first.end()
        #expect(end.status == 0)
        #expect(end.output == "1\n")
    }

    @Test("commands begin while the inputs are still being read")
    func streams() throws {
        mkfifo(tool.file("inputs"), 0o600)
        let run = try tool.start(shell: "exec \(Tool.path) run -j1 echo < inputs")
        let inputs = open(tool.file("inputs"), O_WRONLY | O_CLOEXEC)
        _ = write(inputs, "one\n", 4)
        #expect(try run.line(beginning: "one") == "one")
        _ = write(inputs, "two\n", 4)
        #expect(try run.line(beginning: "two") == "two")
        close(inputs)
        #expect(run.end().status == 0)
    }

    @Test("a closed standard output ends the run cleanly, and the same line goes on")
    func closedOutput() throws {
        let inputs = (1...200).map(String.init).joined(separator: "\n")
        let cut = try tool.start(
            shell: "seq 200 | { \(Tool.path) run -j1 echo; echo status $? >&2; } | head -n 1")
        let end = cut.end()
        #expect(end.output == "1\n")
        #expect(end.errorOutput.contains("status \(128 + SIGPIPE)"))
        let whole = try tool.run("run", "-j1", "echo", input: inputs)
        #expect(whole.status == 0)
        #expect(whole.lines == (1...200).map(String.init))
    }

    @Test(
        "--bar says on standard error how far the run is, in plain lines when that is no terminal")
    func bar() throws {
        let end = try tool.run("run", "--bar", "true", ":::", "a", "b")
        #expect(end.errorOutput.hasPrefix("petiole: 2 of 2 done, 100 %"))
        #expect(!end.errorOutput.contains("\u{1B}"))
    }
}
