import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole top in a terminal", .ownThreads, .timeLimit(.minutes(10)))
struct TopTests {
    let tool = Tool()

    /// Two commands that run until the gate is opened, one that waits for a place, and two that failed.
    private func start() throws -> Tool.Running {
        mkfifo(tool.file("gate"), 0o600)
        _ = try tool.run("add", "--queue", "nightly", "--", "sh", "-c", "echo broken >&2; exit 3")
        _ = try tool.run("add", "--queue", "nightly", "--", "false")
        // One after the other, so that their order is known.
        _ = try tool.run("worker", "--queue", "nightly", "-j1", "--drain")
        let worker = try tool.start(["worker", "-j2"])
        _ = try worker.line(beginning: "petiole: runs", inErrors: true)
        for number in 1...3 {
            _ = try tool.run("add", "--", "sh", "-c", "echo begun \(number); cat gate")
            // The one that has run for longest is the first on the screen.
            while number < 3,
                try !tool.run("jobs", "--json", "--state", "running").output.contains(
                    "\"id\":\(number + 2),")
            {}
        }
        return worker
    }

    private func stop(_ worker: Tool.Running) {
        // The first lets what runs go on.
        worker.send(SIGINT)
        _ = try? worker.line(beginning: "petiole: stops when", inErrors: true)
        worker.send(SIGINT)
        _ = worker.end()
    }

    private func top(
        rows: Int = 24, columns: Int = 80, variables: [String: String] = [:]
    ) throws -> PseudoTerminal {
        try PseudoTerminal(
            [Tool.path, "top"], in: tool.folder, rows: rows, columns: columns,
            variables: variables)
    }

    @Test("the screen is that of the picture, at 80 by 24 and at 120 by 40")
    func pictures() throws {
        let worker = try start()
        defer { stop(worker) }
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        #expect(terminal.screen.isOnOtherScreen && !terminal.screen.showsCursor)
        GoldenScreen.expect(
            GoldenScreen.masked(terminal.screen.lines, folder: tool.folder),
            are: """
                 petiole  /tmp/petiole-cli.XXXXXX/.petiole                            2 running
                 1 ready, 0 waiting, 0 succeeded, 2 failed

                 QUEUE          PROCESS RUNNING LIMIT    READY WAITING     DONE FAILED    RATE
                 commands           pid       2     -        1       0        0      0       -
                 nightly              -       0     -        0       0        0      2       -

                   RUNNING   TIME  PROCESS QUEUE         COMMAND
                         3   time      pid commands      sh -c 'echo begun 1; cat gate'
                         4   time      pid commands      sh -c 'echo begun 2; cat gate'

                    FAILED    AGO  ATTEMPT QUEUE         ERROR                COMMAND
                         2   time        1 nightly       exited with status 1 false
                         1   time        1 nightly       exited with status 3 sh -c 'echo brok…









                 ↑↓ choose  o output  c cancel  r retry  p pause  + - limit  ? help  q quit
                """)
        terminal.resize(rows: 40, columns: 120)
        try terminal.wait(for: "the larger screen") { $0.lines[39].contains("q quit") }
        GoldenScreen.expect(
            GoldenScreen.masked(terminal.screen.lines, folder: tool.folder),
            are: """
                 petiole  /tmp/petiole-cli.XXXXXX/.petiole                                                                    2 running
                 1 ready, 0 waiting, 0 succeeded, 2 failed

                 QUEUE                                    PROCESS RUNNING LIMIT    READY WAITING     DONE FAILED    RATE
                 commands                                     pid       2     -        1       0        0      0       -
                 nightly                                        -       0     -        0       0        0      2       -

                   RUNNING   TIME  PROCESS QUEUE                COMMAND
                         3   time      pid commands             sh -c 'echo begun 1; cat gate'
                         4   time      pid commands             sh -c 'echo begun 2; cat gate'

                    FAILED    AGO  ATTEMPT QUEUE                ERROR                                  COMMAND
                         2   time        1 nightly              exited with status 1                   false
                         1   time        1 nightly              exited with status 3                   sh -c 'echo broken >&2; exit 3'

























                 ↑↓ choose  o output  c cancel  r retry  p pause  + - limit  ? help  q quit
                """)
        terminal.type("?")
        try terminal.wait(forText: "take that limit away")
        terminal.type("xq")
        #expect(try terminal.end() == 0)
        #expect(terminal.screen.unknown == [] && terminal.screen.wrapCount == 0)
        #expect(!terminal.screen.isOnOtherScreen && terminal.screen.showsCursor)
    }

    @Test("keys pause a queue, limit it, cancel what runs and run what failed once more")
    func keys() throws {
        let worker = try start()
        defer { stop(worker) }
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("p")
        try terminal.wait(for: "the pause") {
            $0.lines.contains { $0.hasPrefix(" commands") && $0.hasSuffix("paused") }
        }
        terminal.type("-")
        try terminal.wait(forText: "1 of commands at once")
        #expect(try tool.run("limit", "commands").output == "the queue: 1 at once\n")
        terminal.type("0")
        try terminal.wait(forText: "commands has no limit of its own")
        #expect(try tool.run("limit", "commands").output.contains("no limits are set"))
        // The first that runs.
        terminal.type("\tc")
        try terminal.wait(forText: "cancel job 3,")
        terminal.type("y")
        try terminal.wait(forText: "job 3 is asked to stop")
        try terminal.wait(for: "one running") { $0.lines[0].contains("1 running") }
        #expect(try tool.run("jobs", "--json", "--state", "cancelled").output.contains(#""id":3,"#))
        terminal.type("\u{1B}[Zp")
        try terminal.wait(forText: "commands goes on")
        try terminal.wait(for: "two running") { $0.lines[0].contains("2 running") }
        // The last line is the failure that is older.
        terminal.type("G")
        try terminal.wait(for: "a choice") { $0.text.contains("q quit") }
        terminal.type("r")
        try terminal.wait(forText: "job 1 is ready again")
        #expect(try tool.run("jobs", "--json", "--state", "ready").output.contains(#""id":1,"#))
        terminal.type("q")
        #expect(try terminal.end() == 0)
        #expect(terminal.isRestored)
    }

    @Test("what keys ask for is done one after another, and before it ends")
    func keysInOneGo() throws {
        let worker = try start()
        defer { stop(worker) }
        _ = try tool.run("limit", "commands", "--concurrency", "9")
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        // Each takes one from what the one before has left.
        terminal.type("---pp---q")
        #expect(try terminal.end() == 0)
        #expect(try tool.run("limit", "commands").output == "the queue: 3 at once\n")
        #expect(try tool.run("status").output.contains("paused") == false)
        let other = try top()
        try other.wait(forText: "q quit")
        other.type("\tcyq")
        #expect(try other.end() == 0)
        while try !tool.run("jobs", "--json", "--state", "cancelled").output.contains(#""id":3,"#) {
        }
    }

    @Test(
        "one line of any length, and one of tabs, leave the keys alive",
        arguments: [
            "head -c 3000000 /dev/zero | tr '\\0' x", "head -c 60000 /dev/zero | tr '\\0' '\\t'",
        ])
    func longLine(command: String) throws {
        mkfifo(tool.file("gate"), 0o600)
        let worker = try tool.start(["worker", "-j2"])
        defer { stop(worker) }
        _ = try tool.run("add", "--", "sh", "-c", "\(command); printf '\\nend of it\\n'; cat gate")
        while try !tool.run("jobs", "--json", "--state", "running").output.contains("\"id\":1,") {}
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("\to")
        try terminal.wait(forText: "end of it")
        terminal.type("g")
        try terminal.wait(for: "the beginning") { $0.lines[0].contains(" 1-20 of ") }
        terminal.resize(rows: 30, columns: 100)
        try terminal.wait(for: "the larger screen") { $0.lines[29].contains("q back") }
        terminal.type("qq")
        #expect(try terminal.end() == 0)
        #expect(terminal.isRestored)
    }

    @Test("a suspension while a job's output is shown goes on with it")
    func suspendedOutput() throws {
        let worker = try start()
        defer { stop(worker) }
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("\to")
        // Not the command of the list. A key that makes a signal throws away those before it that were not read yet.
        try terminal.wait(for: "the output") {
            $0.lines[2] == "begun 1" && $0.text.contains("it goes on")
        }
        terminal.type("\u{1A}")
        try terminal.waitUntilStopped()
        #expect(terminal.isRestored)
        kill(terminal.pid, SIGCONT)
        try terminal.wait(for: "the output again") {
            $0.isOnOtherScreen && $0.lines[2] == "begun 1"
        }
        terminal.type("qq")
        #expect(try terminal.end() == 0)
    }

    @Test("what a job writes is shown as it writes it, and that it ended")
    func output() throws {
        let worker = try start()
        defer { stop(worker) }
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("\to")
        try terminal.wait(forText: "begun 1")
        try terminal.wait(forText: "it goes on")
        terminal.type("q")
        try terminal.wait(forText: "q quit")
        terminal.type("Go")
        try terminal.wait(forText: "broken")
        try terminal.wait(forText: "failed after")
        terminal.type("\u{1B}")
        try terminal.wait(forText: "q quit")
        terminal.type("q")
        #expect(try terminal.end() == 0)
    }

    @Test("Ctrl-C, SIGTERM and a suspension give the terminal back as it was")
    func restored() throws {
        _ = try tool.run("add", "--", "true")
        for (end, status) in [("\u{3}", 128 + SIGINT), ("", 128 + SIGTERM)] {
            let terminal = try top()
            try terminal.wait(forText: "q quit")
            #expect(!terminal.isRestored)
            if end.isEmpty { kill(terminal.pid, SIGTERM) } else { terminal.type(end) }
            #expect(try terminal.end() == status)
            #expect(terminal.isRestored)
            #expect(!terminal.screen.isOnOtherScreen && terminal.screen.showsCursor)
        }
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("\u{1A}")
        try terminal.waitUntilStopped()
        #expect(terminal.isRestored)
        #expect(!terminal.screen.isOnOtherScreen && terminal.screen.showsCursor)
        kill(terminal.pid, SIGCONT)
        try terminal.wait(for: "the screen again") {
            $0.isOnOtherScreen && $0.text.contains("q quit")
        }
        terminal.type("q")
        #expect(try terminal.end() == 0)
        #expect(terminal.isRestored)
    }

    @Test("without a terminal it says so; without colours it uses none")
    func noTerminal() throws {
        _ = try tool.run("add", "--", "true")
        let end = try tool.run("top")
        #expect(end.status == 64 && end.errorOutput.contains("petiole status"))
        let dumb = try top(variables: ["TERM": "dumb"])
        #expect(try dumb.end() == 64)
        #expect(dumb.screen.text.contains("petiole status"))
        let plain = try top(variables: ["NO_COLOR": "1"])
        try plain.wait(forText: "q quit")
        plain.type("q")
        #expect(try plain.end() == 0)
        #expect(plain.screen.styles.isSubset(of: [0, 1, 7]))
    }

    @Test("nothing that a job is called or writes drives the terminal")
    func harmless() throws {
        _ = try tool.run(
            "add", "--", "sh", "-c", "printf '\\033[2Jevil\\n\\033]0;title\\007'; exit 1",
            "\u{1B}[31m")
        _ = try tool.run("worker", "--drain")
        let terminal = try top()
        try terminal.wait(forText: "q quit")
        terminal.type("Go")
        try terminal.wait(forText: #"\u{1b}[2Jevil"#)
        try terminal.wait(forText: "failed after")
        terminal.type("q")
        try terminal.wait(forText: "q quit")
        terminal.type("q")
        #expect(try terminal.end() == 0)
        #expect(terminal.screen.unknown == [])
    }
}
