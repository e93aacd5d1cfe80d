import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole run, held up from outside", .ownThreads, .timeLimit(.minutes(10)))
struct RunStopTests {
    let tool = Tool()

    private func queueOfRun() throws -> String {
        let runs = try tool.run("run", "--runs", "--json").output
        let parts = runs.split(separator: "\"")
        let place = try #require(parts.firstIndex(of: "queue"))
        return String(parts[place + 2])
    }

    @Test("a run that is paused waits until it is resumed, which is said")
    func paused() throws {
        for name in ["up", "pipe"] { mkfifo(tool.file(name), 0o600) }
        let run = try tool.start(
            ["run", "-j1", "echo up > up; read x < pipe; echo {}", ":::", "a", "b"])
        func expectStart() throws {
            #expect(try tool.start(shell: "cat up").end().output == "up\n")
        }
        try expectStart()
        let queue = try queueOfRun()
        #expect(try tool.run("pause", queue).status == 0)
        try tool.write("x\n", to: "pipe")
        _ = try run.line(beginning: "petiole: what is left of this run is paused", inErrors: true)
        #expect(try tool.run("resume", queue).status == 0)
        try expectStart()
        try tool.write("x\n", to: "pipe")
        let end = run.end()
        #expect(end.status == 0 && end.lines == ["a", "b"], "\(end.errorOutput)")
    }

    @Test("whoever asks for a stop in order, together they ask once")
    func oneStop() throws {
        for name in ["up", "first", "second"] { mkfifo(tool.file(name), 0o600) }
        let line = "echo $PPID > up; read x < {}; echo {} >> did; echo {}"
        // Nobody reads what it prints.
        let run = try tool.start(
            shell: "exec 3>&2; { \(Tool.path) run -j2 '\(line)' ::: first second; } | exec sleep 0")
        let pids = try tool.start(shell: "exec 3<> up; read a <&3; read b <&3; echo $a").end()
            .output
        let pid = try #require(pid_t(pids.dropLast()))
        kill(pid, SIGINT)
        _ = try run.line(beginning: "petiole: stops when the running", inErrors: true)
        try tool.write("x\n", to: "first")
        #expect(try tool.run("wait", "1").status == 0)
        try tool.write("x\n", to: "second")
        _ = run.end()
        #expect(Set(tool.read("did").split(separator: "\n")) == ["first", "second"])
    }

    @Test("before the first input has come, a signal ends the run", arguments: [SIGINT, SIGTERM])
    func waitsForInput(signal: Int32) throws {
        mkfifo(tool.file("inputs"), 0o600)
        let run = try tool.start(shell: "exec 3<> inputs; exec \(Tool.path) run echo <&3")
        run.send(signal)
        #expect(run.end().signal == signal)
    }

    @Test("a dry run ends when nobody reads any more")
    func dryRun() throws {
        let run = try tool.start(shell: "yes | \(Tool.path) run --dry-run echo | head -n 1")
        #expect(run.end().output == "echo y\n")
    }

    @Test("nothing of before is cancelled by a start that is refused")
    func refused() throws {
        let line = ["false", ":::", "a", "b"]
        func run(_ options: String...) throws -> Tool.End {
            try tool.run(bytes: (["run", "-j1"] + options + line).map { Array($0.utf8) })
        }
        #expect(try run("--halt", "soon,fail=1").status == 1)
        #expect(try run("--fresh", "--resources", "gpu=1").status == 125)
        try tool.write("", to: "plain")
        #expect(try run("--fresh", "--results", "plain/folder").status == 125)
        #expect(try tool.run("run", "-j1", "--fresh", "false", input: "").status == 64)
        #expect(try tool.run("run", "--runs", "--json").output.contains(#""left":1"#))
    }

    @Test("a run of which jobs are no longer kept does not run their inputs again unasked")
    func pruned() throws {
        let line = ["run", "echo {} >> ran", ":::", "a", "b"].map { Array($0.utf8) }
        #expect(try tool.run(bytes: line).status == 0)
        #expect(try tool.run("capacity", "--json").output.contains(#""keep":31536000"#))
        #expect(try tool.run("capacity", "--keep", "0s").status == 0)
        #expect(try tool.run("prune", "--older-than", "0s").status == 0)
        let again = try tool.run(bytes: line)
        #expect(again.status == 125 && again.errorOutput.contains("2 are no longer kept"))
        #expect(tool.read("ran").split(separator: "\n").count == 2)
        #expect(try tool.run("run", "--fresh", "echo {} >> ran", ":::", "a", "b").status == 0)
        #expect(tool.read("ran").split(separator: "\n").count == 4)
    }

    @Test("an output that cannot be read any more is no success")
    func lostOutput() throws {
        let line = ["run", "head -c {} /dev/zero", ":::", "2000000"].map { Array($0.utf8) }
        #expect(try tool.run(bytes: line).status == 0)
        _ = try tool.start(shell: "rm .petiole/outputs/*").end()
        let again = try tool.run(bytes: line)
        #expect(again.status == 125 && again.errorOutput.contains("cannot be read"))
    }
}
