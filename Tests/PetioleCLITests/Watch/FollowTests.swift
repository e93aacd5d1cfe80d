import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole follow and log", .ownThreads, .timeLimit(.minutes(10)))
struct FollowTests {
    let tool = Tool()

    private var spilled: [String] {
        get throws { try tool.start(shell: "ls .petiole/outputs 2>/dev/null; true").end().lines }
    }

    @Test(
        "what a command has written comes at once, from another process, and what it writes then as it comes"
    )
    func live() throws {
        mkfifo(tool.file("gate"), 0o600)
        _ = try tool.run(
            "add", "--", "sh", "-c", "echo one; echo uno >&2; cat gate; echo two; cat gate; exit 3")
        let worker = try tool.start(["worker", "--drain"])
        while try !tool.run("jobs", "--state", "running").output.contains("echo one") {}
        let first = try tool.start(["follow", "1"])
        #expect(try first.line(beginning: "one") == "one")
        #expect(try first.line(beginning: "uno", inErrors: true) == "uno")
        try tool.write("gate\n", to: "gate")
        #expect(try first.line(beginning: "two") == "two")
        // One who comes later gets all of it.
        let second = try tool.start(["follow", "--json", "1"])
        #expect(
            try second.line(beginning: #"{"v":1,"id":1,"attempt":1,"stream":"stdout""#).hasSuffix(
                #""text":"one\ngate\ntwo\n"}"#))
        try tool.write("last\n", to: "gate")
        let end = first.end()
        #expect(end.output == "one\ngate\ntwo\nlast\n")
        #expect(end.errorOutput == "uno\npetiole: job 1 failed: it exited with status 3\n")
        #expect(end.status == 1)
        let other = second.end()
        #expect(other.status == 1)
        #expect(
            other.lines.last
                == #"{"v":1,"id":1,"state":"failed","attempt":1,"error":"Command: it exited with status 3"}"#
        )
        #expect(worker.end().status == 0)
        // It is recorded as if nobody had followed.
        #expect(try spilled == [])
        let log = try tool.run("log", "1")
        #expect(log.output == "one\ngate\ntwo\nlast\n" && log.errorOutput == "uno\n")
    }

    @Test("a job that has not begun is waited for, and one that has ended is printed")
    func notBegun() throws {
        _ = try tool.run("add", "--", "sh", "-c", "echo here; echo there >&2")
        let follow = try tool.start(["follow", "1"])
        _ = try follow.line(beginning: "petiole: job 1 has not begun", inErrors: true)
        _ = try tool.run("worker", "--drain")
        let end = follow.end()
        #expect(end.output == "here\n" && end.status == 0)
        #expect(end.errorOutput.hasSuffix("there\n"))
        let again = try tool.run("follow", "1")
        #expect(again.output == "here\n" && again.errorOutput == "there\n" && again.status == 0)
        #expect(try tool.run("follow", "2").status == 66)
        #expect(try tool.run("follow", "x").status == 64)
    }

    @Test("one that is cancelled before it begins ends the wait, with a status that says so")
    func cancelled() throws {
        _ = try tool.run("add", "--", "true")
        let follow = try tool.start(["follow", "1"])
        _ = try follow.line(beginning: "petiole: job 1 has not begun", inErrors: true)
        _ = try tool.run("cancel", "1")
        let end = follow.end()
        #expect(end.status == 2 && end.output == "")
        #expect(end.errorOutput.contains("it is cancelled"))
    }

    @Test("the next attempt is followed too, behind a line that says so")
    func attempts() throws {
        let line = "echo begun; test -f tried || { touch tried; cat gate; exit 1; }"
        mkfifo(tool.file("gate"), 0o600)
        let run = try tool.start(["run", "--retries", "1", "--", "sh", "-c", line, ":::", "a"])
        while !tool.exists("tried") {}
        let follow = try tool.start(["follow", "1"])
        _ = try follow.line(beginning: "begun")
        try tool.write("over\n", to: "gate")
        let end = follow.end()
        #expect(end.status == 0)
        #expect(end.output == "begun\nover\nbegun\n")
        #expect(end.errorOutput == "petiole: attempt 2 of job 1:\n")
        #expect(run.end().status == 0)
    }

    @Test("Ctrl-C ends the following and not the job, and the place is free again")
    func stopped() throws {
        mkfifo(tool.file("gate"), 0o600)
        _ = try tool.run("add", "--", "sh", "-c", "echo one; cat gate")
        let worker = try tool.start(["worker", "--drain"])
        // There are 30 places; also for those who were killed.
        for number in 0..<33 {
            let follow = try tool.start(["follow", "1"])
            _ = try follow.line(beginning: "one")
            follow.send(number % 2 == 0 ? SIGINT : SIGKILL)
            let end = follow.end()
            #expect(number % 2 == 0 ? end.status == 128 + SIGINT : end.signal == SIGKILL)
        }
        try tool.write("two\n", to: "gate")
        #expect(worker.end().status == 0)
        #expect(try tool.run("log", "1").output == "one\ntwo\n")
    }

    @Test("more than fits in an outcome comes whole, once")
    func large() throws {
        mkfifo(tool.file("gate"), 0o600)
        // 3 MB before somebody follows and 3 MB after that.
        _ = try tool.run(
            "add", "--", "sh", "-c",
            "seq 1 450000; touch written; cat gate; seq 450001 900000")
        let worker = try tool.start(["worker", "--drain"])
        while !tool.exists("written") {}
        let follow = try tool.start(shell: "\(Tool.path) follow 1 > followed")
        _ = try tool.start(shell: "until test -s followed; do :; done").end()
        try tool.write("gate\n", to: "gate")
        #expect(follow.end().status == 0)
        #expect(worker.end().status == 0)
        let check = try tool.start(
            shell: "{ seq 1 450000; echo gate; seq 450001 900000; } | cmp - followed")
        #expect(check.end().status == 0)
        let log = try tool.start(shell: "\(Tool.path) log 1 | cmp - followed")
        #expect(log.end().status == 0)
        #expect(try spilled == ["1-1.out"])
    }

    @Test("who stops reading is not told that the job has succeeded")
    func closedReader() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let line = "echo a; read x < pipe; while :; do echo b; sleep 0.05; done"
        _ = try tool.run("add", "--", "sh", "-c", line)
        let worker = try tool.start(["worker", "--drain"])
        let follow = try tool.start(
            shell: "{ \(Tool.path) follow 1; echo status $? >&2; } | { read x; echo $x; }")
        _ = try follow.line(beginning: "a")
        try tool.write("x\n", to: "pipe")
        _ = try follow.line(beginning: "status \(128 + SIGPIPE)", inErrors: true)
        _ = follow.end()
        #expect(try tool.run("cancel", "1").status == 0)
        #expect(worker.end().status == 0)
    }

    @Test(
        "what a job wrote drives no terminal, unless that is asked for", arguments: ["show", "log"])
    func terminal(command: String) throws {
        _ = try tool.run("add", "--", "printf", #"a\033[2Jb\r\n\342\200\256c\n"#)
        _ = try tool.run("worker", "--drain")
        for (more, expected) in [
            ("", "a\\u{1b}[2Jb\n\\u{202e}c\n"), ("--raw", "a\u{1B}[2Jb\r\n\u{202E}c\n"),
        ] {
            let terminal = try OutputTerminal()
            let printed = try tool.start(
                shell: "\(Tool.path) \(command) --stdout \(more) 1 > \(terminal.path)")
            #expect(printed.end().status == 0)
            #expect(terminal.text() == expected)
        }
    }

    @Test(
        "the log of several jobs names each, unless that is not wanted, and one output alone can be had"
    )
    func log() throws {
        _ = try tool.run("add", "--", "sh", "-c", "echo a; echo b >&2")
        _ = try tool.run("add", "--", "sh", "-c", "echo c; exit 4")
        _ = try tool.run("add", "--queue", "other", "--", "true")
        _ = try tool.run("worker", "--drain")
        let both = try tool.run("log", "1", "2")
        #expect(
            both.output
                == "==> 1 succeeded: sh -c 'echo a; echo b >&2' <==\na\n==> 2 failed: sh -c 'echo c; exit 4' <==\nc\n"
        )
        #expect(both.errorOutput == "b\n" && both.status == 0)
        #expect(try tool.run("log", "--stdout", "1").errorOutput == "")
        #expect(try tool.run("log", "--stderr", "1").output == "")
        #expect(try tool.run("log", "-q", "--queue", "commands").output == "a\nc\n")
        #expect(try tool.run("log", "-q", "--state", "failed").output == "c\n")
        #expect(
            try tool.run("log", "--json", "1", "2").output == """
                {"v":1,"id":1,"state":"succeeded","attempt":1,"exit":0,"stdout":"a\\n","stderr":"b\\n"}
                {"v":1,"id":2,"state":"failed","attempt":1,"exit":4,"stdout":"c\\n","stderr":""}

                """)
        #expect(
            try tool.run("log", "--json", "--stdout", "2").output.hasSuffix(
                #""stdout":"c\n"}"# + "\n"))
        let waiting = try tool.run("log", "3")
        #expect(waiting.status == 75 && waiting.errorOutput.contains("petiole follow 3"))
        let some = try tool.run("log", "-q", "1", "9")
        #expect(some.status == 66 && some.output == "a\n")
        _ = try tool.run("cancel", "3")
        #expect(try tool.run("log", "3").status == 66)
        #expect(try tool.run("log").status == 64)
        // One that never ran hides none of those behind it.
        _ = try tool.run("add", "--", "echo", "d")
        _ = try tool.run("worker", "--drain")
        #expect(try tool.run("log", "-q", "--all").output == "a\nc\nd\n")
        #expect(try tool.run("log", "--json", "--all").lines.count == 4)
    }

    @Test("on a terminal what could drive it is written out, unless it is wanted as it is")
    func harmless() throws {
        _ = try tool.run("add", "--", "printf", "\\033[31mred\\033[0m\\r\\nnext\\tcell\\n")
        _ = try tool.run("worker", "--drain")
        for command in ["log", "follow"] {
            let shown = try PseudoTerminal([Tool.path, command, "1"], in: tool.folder)
            #expect(try shown.end() == 0)
            #expect(!shown.bytes.contains(0x1B))
            #expect(shown.screen.lines[0] == #"\u{1b}[31mred\u{1b}[0m"#)
            let raw = try PseudoTerminal([Tool.path, command, "--raw", "1"], in: tool.folder)
            #expect(try raw.end() == 0)
            #expect(raw.screen.styles.contains(31) && raw.screen.lines[0] == "red")
        }
    }
}
