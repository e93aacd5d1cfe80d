import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole run --then", .ownThreads) struct FollowUpTests {
    let tool = Tool()

    private func run(_ words: [String]) throws -> Tool.End {
        try tool.run(bytes: (["run", "-j1"] + words).map { Array($0.utf8) })
    }

    @Test("the command runs behind all inputs, and the same line does not run it again")
    func once() throws {
        let words = ["--then", "echo then; wc -l < ran >> after", "echo {} | tee -a ran", ":::"]
        let first = try run(words + ["a", "b"])
        #expect(first.status == 0 && first.output == "a\nb\nthen\n")
        #expect(tool.read("after") == "2\n")
        let again = try run(words + ["a", "b"])
        // What it wrote is printed again as what the inputs' commands wrote is.
        #expect(again.status == 0 && again.output == "a\nb\nthen\n")
        #expect(tool.read("after") == "2\n")
        let jobs = try tool.run("jobs", "--tag", "then", "--json").lines
        #expect(jobs.count == 1 && jobs[0].contains(#"/bin/sh"#))
    }

    @Test("it runs once more when there were new inputs, and with --fresh")
    func newInputs() throws {
        let words = ["--then", "wc -l < ran >> after", "echo {} >> ran", ":::"]
        _ = try run(words + ["a"])
        #expect(try run(words + ["a", "b"]).status == 0)
        #expect(tool.read("after") == "1\n2\n")
        #expect(try run(words + ["a", "b"]).status == 0)
        #expect(tool.read("after") == "1\n2\n")
        #expect(try run(["--fresh"] + words + ["a"]).status == 0)
        #expect(tool.read("after") == "1\n2\n3\n")
    }

    @Test("when inputs have ended and nothing was run behind them, the same line runs it")
    func between() throws {
        // What a kill between the last input and the command leaves: inputs that have ended, and no job behind them.
        #expect(try run(["echo {}", ":::", "a"]).status == 0)
        #expect(try run(["--then", "echo then >> after", "echo {}", ":::", "a"]).status == 0)
        #expect(tool.read("after") == "then\n")
    }

    @Test(
        "wherever a run dies at a commit, the same line runs what is left, and then nothing more",
        arguments: ["beforeCommit", "afterCommit"])
    func diesAtEachCommit(point: String) throws {
        let line = "run -j1 --store"
        let rest = "--then 'echo x >> then; echo then' 'echo {}' ::: a b"
        var crashes = 0
        while true {
            let store = "\(line) s\(point)\(crashes) \(rest)"
            let first = try tool.start(
                shell: "PETIOLE_CRASH_AT=\(point):\(crashes + 1) \(Tool.path) \(store)"
            ).end()
            if first.status == 0 { break }
            try #require(first.status == 9, "\(first.errorOutput)")
            crashes += 1
            let second = try tool.start(shell: "\(Tool.path) \(store)").end()
            #expect(second.status == 0 && second.output == "a\nb\nthen\n")
            let ran = tool.read("then")
            // Once, and once more where its end was not on the disk.
            #expect(ran == "x\n" || ran == "x\nx\n")
            let third = try tool.start(shell: "\(Tool.path) \(store)").end()
            #expect(third.status == 0 && third.output == second.output)
            #expect(tool.read("then") == ran)
            try tool.write("", to: "then")
        }
        // Each input and the command have two commits at least: the enqueue, and the end.
        #expect(crashes >= 4)
    }

    /// A command that waits when it runs first, and its line.
    private let waiting = [
        "--then", "echo x >> began; test -e go || { echo up > pipe; exec sleep 600; }; echo then",
        "echo {}", ":::",
    ]

    @Test("a kill while it runs lets the same line run it again, and after that no more")
    func killed() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1"] + waiting + ["a"])
        // Opens when the command does: from here on it runs.
        #expect(tool.read("pipe") == "up\n")
        first.send(SIGKILL)
        #expect(first.end().signal == SIGKILL)
        #expect(try tool.run("run", "echo {}", ":::", "a").errorOutput.contains("had not ended"))
        try tool.write("", to: "go")
        let second = try run(waiting + ["a"])
        #expect(second.status == 0 && second.output == "a\nthen\n")
        #expect(try run(waiting + ["a"]).output == "a\nthen\n")
        #expect(tool.read("began") == "x\nx\n")
    }

    @Test("one that was interrupted is not run before inputs that are new, but once behind them")
    func killedAndNewInputs() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1"] + waiting + ["a"])
        #expect(tool.read("pipe") == "up\n")
        first.send(SIGKILL)
        _ = first.end()
        try tool.write("", to: "go")
        let second = try run(waiting + ["a", "b"])
        #expect(second.status == 0 && second.output == "a\nb\nthen\n")
        #expect(
            second.errorOutput.contains(
                "job 2, which was to follow the run of before, is cancelled"))
        #expect(tool.read("began") == "x\nx\n")
    }

    @Test("SIGINT twice while it runs stops it, the status says so, and the same line goes on")
    func stopped() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let first = try tool.start(["run", "-j1"] + waiting + ["a"])
        #expect(tool.read("pipe") == "up\n")
        // The same line is refused meanwhile, as it is while inputs run.
        let twin = try run(waiting + ["a"])
        #expect(twin.status == 125)
        #expect(twin.errorOutput.contains("running already, in process \(first.pid)"))
        first.send(SIGINT)
        _ = try first.line(beginning: "petiole: stops when", inErrors: true)
        first.send(SIGINT)
        let end = first.end()
        #expect(end.status == 128 + SIGINT)
        #expect(end.errorOutput.contains("all inputs ended, the command of --then did not"))
        try tool.write("", to: "go")
        #expect(try run(waiting + ["a"]).output == "a\nthen\n")
    }

    @Test("--on-failure runs when an input failed, --then does when that has succeeded at last")
    func onFailure() throws {
        let words = [
            "--then", "echo then >> after", "--on-failure", "echo failed >> after",
            "test -e good-{}", ":::", "a", "b",
        ]
        try tool.write("", to: "good-a")
        #expect(try run(words).status == 1)
        #expect(tool.read("after") == "failed\n")
        #expect(try run(words).status == 1)
        #expect(tool.read("after") == "failed\n")
        try tool.write("", to: "good-b")
        _ = try tool.run("requeue", "2")
        #expect(try run(words).status == 0)
        #expect(tool.read("after") == "failed\nthen\n")
    }

    @Test("a command that fails is status 102 from then on, until its job is requeued")
    func fails() throws {
        let words = ["--then", "echo x >> tries; test -e good", "true {}", ":::", "a"]
        let first = try run(words)
        #expect(first.status == 102)
        #expect(
            first.errorOutput == """
                petiole: the command of --then failed: it exited with status 1
                         it runs again with the same line after: petiole requeue 2

                """)
        let again = try run(words)
        #expect(again.status == 102 && again.errorOutput.contains("had failed"))
        #expect(tool.read("tries") == "x\n")
        try tool.write("", to: "good")
        _ = try tool.run("requeue", "2")
        #expect(try run(words).status == 0)
        #expect(tool.read("tries") == "x\nx\n")
    }

    @Test("it is tried as often as the commands are, and an empty one is refused")
    func retries() throws {
        let line = "echo x >> tries; test $(wc -l < tries) -ge 2"
        #expect(try run(["--retries", "1", "--then", line, "true", ":::", "a"]).status == 0)
        #expect(tool.read("tries") == "x\nx\n")
        let empty = try run(["--on-failure", "", "true", ":::", "a"])
        #expect(empty.status == 64 && empty.errorOutput.contains("--on-failure has no command"))
    }
}
