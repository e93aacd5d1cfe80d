import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole add --after, kill, pause, env and clean", .ownThreads, .timeLimit(.minutes(10)))
struct QueueServiceTests {
    let tool = Tool()

    private func add(_ arguments: String...) throws -> String {
        let end = try tool.run(bytes: (["add"] + arguments).map { Array($0.utf8) })
        #expect(end.status == 0, "\(end.errorOutput)")
        return try #require(end.lines.first)
    }

    @Test("a job runs behind those that it comes after, also of another queue")
    func after() throws {
        let first = try add("--", "sh", "-c", "echo one >> trace")
        let second = try add("--queue", "other", "--", "sh", "-c", "echo two >> trace")
        let third = try add(
            "--after", "\(first),\(second)", "--", "sh", "-c", "echo three >> trace")
        #expect(
            try tool.run("show", third).output.contains(
                "held, until these have ended: \(first), \(second)"))
        let listed = try tool.run("jobs", "--state", "held", "--json").output
        #expect(listed.contains("\"after\":[\(first),\(second)]"), "\(listed)")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.read("trace") == "one\n")
        #expect(try tool.run("worker", "--queue", "other", "--drain").status == 0)
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.read("trace") == "one\ntwo\nthree\n")
        #expect(try tool.run("wait", third).output == "\(third) succeeded\n")
    }

    @Test("one whose predecessor failed does not run, and says because of which, at once or later")
    func afterFailure() throws {
        let bad = try add("--", "false")
        let behind = try add("--after", bad, "--", "touch", "wrong")
        let always = try add("--after-any", bad, "--", "touch", "right")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(!tool.exists("wrong") && tool.exists("right"))
        let shown = try tool.run("show", behind).output
        #expect(
            shown.contains("cancelled: job \(bad), which it was to come after, failed"),
            "\(shown)")
        #expect(try tool.run("wait", behind, always).status == 1)
        let late = try tool.run("add", "--after", bad, "--json", "--", "touch", "wrong")
        #expect(late.status == 0)
        #expect(late.output.contains("\"state\":\"cancelled\""))
        #expect(late.errorOutput.contains("to run it all the same: petiole requeue"))
        let unknown = try tool.run("add", "--after", "99", "--", "true")
        #expect(unknown.status == 66)
        #expect(unknown.errorOutput.contains("there is no job 99 to come after"))
        #expect(try tool.run("add", "--after", "x", "--", "true").status == 64)
        #expect(try tool.run("restart", behind).status == 0)
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.exists("wrong"))
    }

    /// A command that says its process's pid in a file and then sleeps.
    private func sleeper(_ options: String...) throws -> String {
        mkfifo(tool.file("pid"), 0o600)
        let end = try tool.run(
            bytes: (["add"] + options + ["--", "sh", "-c", "echo $$ > pid; exec sleep 1000"])
                .map { Array($0.utf8) })
        return try #require(end.lines.first)
    }

    @Test("a command that runs is suspended, goes on, and is killed with its attempt failed")
    func suspend() throws {
        let id = try sleeper()
        let worker = try tool.start(["worker", "--drain"])
        let pid = try #require(
            pid_t(tool.read("pid").split(separator: "\n").first.map(String.init) ?? ""))
        #expect(try tool.run("pause", id).output == "\(id) suspended, time limits go on\n")
        #expect(tool.state(of: pid) == "T")
        #expect(try tool.run("pause", id).output == "\(id) suspended\n")
        #expect(try tool.run("show", id).output.contains(", suspended: it goes on with"))
        #expect(try tool.run("status").output.contains("suspended: job \(id)"))
        #expect(try tool.run("status", "--json").output.contains("\"suspended\":[\(id)]"))
        #expect(try tool.run("resume", id).output == "\(id) resumed\n")
        #expect(tool.state(of: pid) != "T")
        #expect(try tool.run("resume", id).output == "\(id) not paused\n")
        #expect(try tool.run("pause", id).status == 0)
        // Suspended, it is killed all the same.
        #expect(try tool.run("kill", id).output == "\(id) killed\n")
        #expect(worker.end().status == 0)
        #expect(try tool.run("wait", id).output == "\(id) failed\n")
        #expect(try tool.run("show", id).output.contains("it was ended by signal 15"))
        let again = try tool.run("kill", id)
        #expect(again.status == 75 && again.output == "\(id) not running\n")
        #expect(try tool.run("kill", "99").status == 66)
        #expect(try tool.run("kill", "--signal", "NOPE", id).status == 64)
    }

    @Test("another signal is sent as it is, and where a retry is left the job goes on")
    func signal() throws {
        let id = try sleeper("--retries", "1")
        let worker = try tool.start(["worker", "--drain"])
        _ = tool.read("pid")
        #expect(try tool.run("kill", "-s", "usr1", id).output == "\(id) signalled\n")
        // The second attempt has begun when it says so.
        _ = tool.read("pid")
        #expect(try tool.run("cancel", id).status == 0)
        #expect(worker.end().status == 0)
        let shown = try tool.run("show", id).output
        #expect(shown.contains("it was ended by signal 10"), "\(shown)")
        #expect(try tool.run("wait", id).output == "\(id) cancelled\n")
    }

    @Test("who pauses or edits a job is told when the process that runs its queue does not answer")
    func unanswered() throws {
        _ = try sleeper()
        let ready = try add("--", "true")
        let worker = try tool.start(["worker", "-j1"])
        _ = tool.read("pid")
        worker.send(SIGSTOP)
        let paused = try tool.start(["pause", ready])
        let edited = try tool.start(["edit", ready, "--priority", "0", "--json"])
        let pause = paused.end()
        #expect(pause.status == 75)
        #expect(pause.output == "\(ready) no answer, from process \(worker.pid)\n")
        #expect(pause.errorOutput.contains("kill -CONT \(worker.pid)"), "\(pause.errorOutput)")
        let edit = edited.end()
        #expect(edit.status == 75 && edit.output.contains("\"result\":\"no answer\""))
        worker.send(SIGCONT)
        #expect(try tool.run("pause", ready).output == "\(ready) held, it does not start\n")
        worker.send(SIGTERM)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
    }

    @Test("a job that is held does not start until it is resumed")
    func hold() throws {
        let first = try add("--", "sh", "-c", "echo one >> trace")
        _ = try add("--", "sh", "-c", "echo two >> trace")
        #expect(try tool.run("pause", first).output == "\(first) held, it does not start\n")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.read("trace") == "two\n")
        #expect(try tool.run("wait", "--queue", "commands").status == 1)
        #expect(try tool.run("resume", first, "--json").output.contains("\"result\":\"resumed\""))
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.read("trace") == "two\none\n")
        #expect(try tool.run("wait", "--queue", "commands").status == 0)
        #expect(try tool.run("pause", "99").status == 66)
        #expect(try tool.run("pause", "--type", "petiole.command", first).status == 64)
    }

    @Test("what is kept of the environment is printed byte for byte")
    func environment() throws {
        let id = try add("--env", "none", "--env", "A=1\n2", "--env", "B=x", "--", "true")
        #expect(try tool.run("env", id).output == "A=1\n2\nB=x\n")
        #expect(try tool.run("env", "-0", id).output == "A=1\n2\0B=x\0")
        let json = try tool.run("env", "--json", id).output
        #expect(
            json
                == "{\"v\":1,\"id\":\(id),\"inherits\":false,\"environment\":[{\"name\":\"A\",\"value\":\"1\\n2\"},{\"name\":\"B\",\"value\":\"x\"}]}\n"
        )
    }

    @Test("runs that are not complete keep what they know their inputs by, unless they are named")
    func cleanRuns() throws {
        let words = [
            "run", "-j1", "--halt", "now,fail=1", "echo {} >> ran; exit {}", ":::", "0", "1", "2",
        ]
        let end = try tool.run(bytes: words.map { Array($0.utf8) })
        #expect(end.status != 0)
        #expect(tool.read("ran") == "0\n1\n")
        let done = try add("--", "true")
        #expect(try tool.run("worker", "--drain").status == 0)
        let clean = try tool.run("clean")
        #expect(
            clean.output
                == "1 job deleted; those of 1 run that is not complete stay: see petiole run --runs\n"
        )
        #expect(try tool.run("show", done).status == 66)
        // The same line runs what is left.
        _ = try tool.run(bytes: words.map { Array($0.utf8) })
        #expect(!tool.read("ran").hasPrefix("0\n1\n0\n"))
        let queue = try #require(
            tool.run("run", "--runs", "--json").output.split(separator: "\"").first {
                $0.hasPrefix("run-")
            })
        #expect(try tool.run("clean", String(queue), "--json").output.contains("\"kept_runs\":0"))
    }

    @Test(
        "a value of an option that is no UTF-8 is that option's, and where text is needed it is refused"
    )
    func bytes() throws {
        func run(_ words: [[UInt8]]) throws -> Tool.End { try tool.run(bytes: words) }
        func utf8(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }
        let added = try run(
            utf8("add", "--env", "none") + [Array("--env=X=".utf8) + [0xE9]]
                + utf8("--", "sh", "-c", "printf %s \"$X\" > told; printf %s \"$0\" >> told")
                + [Array("--y=".utf8) + [0xE8]])
        #expect(added.status == 0, "\(added.errorOutput)")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(tool.readBytes("told") == [0xE9] + Array("--y=".utf8) + [0xE8])
        let tag = try run(utf8("add") + [Array("--tag=".utf8) + [0xE9]] + utf8("--", "true"))
        #expect(tag.status == 64 && tag.errorOutput.contains("--tag takes a word in UTF-8"))
        let value = try run(utf8("config", "set", "run.tmpdir") + [Array("/tmp/".utf8) + [0xE9]])
        #expect(value.status == 64 && value.errorOutput.contains("is not UTF-8"))
        #expect(!tool.exists(".config/petiole/config"))
    }

    @Test("what has ended is deleted, what has not stays")
    func clean() throws {
        let good = try add("--", "true")
        let bad = try add("--", "false")
        #expect(try tool.run("worker", "--drain").status == 0)
        let left = try add("--", "true")
        #expect(try tool.run("clean", "--dry-run").output == "2 jobs would be deleted\n")
        #expect(try tool.run("clean", "--succeeded").output == "1 job deleted\n")
        #expect(try tool.run("show", good).status == 66)
        #expect(try tool.run("clean", "commands", "--json").output.contains("\"deleted\":1"))
        #expect(try tool.run("show", bad).status == 66)
        #expect(try tool.run("show", left).status == 0)
        #expect(try tool.run("clean", "nowhere").status == 66)
    }
}
