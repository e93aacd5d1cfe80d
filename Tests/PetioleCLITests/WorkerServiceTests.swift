import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole worker as a service", .ownThreads, .timeLimit(.minutes(10)))
struct WorkerServiceTests {
    let tool = Tool()

    private func add(_ arguments: String...) throws -> String {
        let end = try tool.run(bytes: (["add"] + arguments).map { Array($0.utf8) })
        #expect(end.status == 0, "\(end.errorOutput)")
        return try #require(end.lines.first)
    }

    private let line =
        #"printf '%s %s %s %s %s %s\n' "$PETIOLE_JOB" "$PETIOLE_QUEUE" "$PETIOLE_STATE" "$PETIOLE_EXIT" "$PETIOLE_TAGS" "$PETIOLE_COMMAND" >> told"#

    @Test("a line is run for each job that ends, with what it came to in its environment")
    func onFinish() throws {
        let good = try add("--tag", "a", "--", "true")
        let bad = try add("--tag", "b", "--", "sh", "-c", "exit 3")
        let end = try tool.run("worker", "--drain", "-j1", "--on-finish", line)
        #expect(end.status == 0, "\(end.errorOutput)")
        #expect(
            tool.read("told")
                == "\(good) commands succeeded 0 a true\n\(bad) commands failed 3 b sh -c 'exit 3'\n"
        )
    }

    @Test("a line for failures is run for these alone, and one that fails itself is told of")
    func onFailure() throws {
        _ = try add("--", "true")
        let bad = try add("--tag", "x", "--", "false")
        let end = try tool.run(
            "worker", "--drain", "-j1", "--on-failure", line + "; echo broken >&2; exit 9")
        #expect(end.status == 0)
        #expect(tool.read("told") == "\(bad) commands failed 1 x false\n")
        #expect(
            end.errorOutput.contains(
                "the line that is run when job \(bad) has ended failed, it exited with status 9: broken"
            ), "\(end.errorOutput)")
    }

    @Test("jobs go on while a line hangs, and those that wait are run before the worker ends")
    func hanging() throws {
        for id in 1...2 { mkfifo(tool.file("hangs-\(id)"), 0o600) }
        let worker = try tool.start([
            "worker", "--on-finish", "cat hangs-$PETIOLE_JOB >> told; echo $PETIOLE_JOB >> told",
        ])
        _ = try worker.line(beginning: "petiole: runs the queue", inErrors: true)
        let first = try add("--", "true")
        let second = try add("--", "true")
        #expect(try tool.run("wait", first, second).status == 0)
        // Each waits for who writes into its pipe.
        tool.append("go on\n", to: "hangs-1")
        tool.append("once more\n", to: "hangs-2")
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
        #expect(tool.read("told") == "go on\n\(first)\nonce more\n\(second)\n")
    }

    @Test("a line for failures has all places for these, whatever succeeds meanwhile")
    func failuresOnly() throws {
        mkfifo(tool.file("hangs"), 0o600)
        let first = try add("--", "false")
        try tool.write(
            String(
                repeating: try tool.run("export").lines[0].replacing("false", with: "true") + "\n",
                count: 1_010), to: "jobs.jsonl")
        #expect(try tool.run("import", "jobs.jsonl").status == 0)
        let last = try add("--", "sh", "-c", "exit 4")
        let worker = try tool.start([
            "worker", "--on-failure",
            "[ $PETIOLE_JOB = \(first) ] && cat hangs; echo $PETIOLE_JOB $PETIOLE_MISSED >> told",
        ])
        #expect(try tool.run("wait", last).status == 1)
        tool.append("go on\n", to: "hangs")
        worker.send(SIGTERM)
        let end = worker.end()
        #expect(end.status == 0)
        #expect(!end.errorOutput.contains("was not run"), "\(end.errorOutput)")
        #expect(tool.read("told") == "\(first) 0\n\(last) 0\n")
    }

    @Test("a line is run for jobs of the worker's queue alone, and a long command is cut for it")
    func ownQueue() throws {
        let long = String(repeating: "x", count: 100_000)
        let bad = try add("--", "sh", "-c", "exit 3", long, long)
        let other = try add("--queue", "other", "--after", bad, "--", "true")
        let end = try tool.run(
            "worker", "--drain", "--on-finish",
            #"echo "$PETIOLE_JOB $(printf %s "$PETIOLE_COMMAND" | wc -c)" >> told"#)
        #expect(end.status == 0, "\(end.errorOutput)")
        #expect(try tool.run("wait", other).output == "\(other) cancelled\n")
        #expect(tool.read("told") == "\(bad) 32771\n", "\(end.errorOutput)")
    }

    @Test("what a line adds does not go into the worker's queue because that is what it is told")
    func addsElsewhere() throws {
        _ = try add("--queue", "nightly", "--", "true")
        let end = try tool.run(
            "worker", "--queue", "nightly", "--drain", "--on-finish",
            "\(Tool.path) add --json -- true >> told")
        #expect(end.status == 0)
        #expect(tool.read("told").contains("\"queue\":\"commands\""))
    }

    @Test("who stands by says for whom, and that it runs the queue once it does")
    func standby() throws {
        let first = try tool.start(["worker"])
        _ = try first.line(beginning: "petiole: runs the queue", inErrors: true)
        let second = try tool.start(["worker", "--standby"])
        let line = try second.line(beginning: "petiole: waits for process", inErrors: true)
        #expect(line.hasPrefix("petiole: waits for process \(first.pid), which runs the queue"))
        first.send(SIGTERM)
        #expect(first.end().status == 0)
        _ = try second.line(beginning: "petiole: runs the queue", inErrors: true)
        second.send(SIGTERM)
        #expect(second.end().status == 0)
    }

    @Test(
        "what a command left running on purpose stays when its job has ended and another worker starts"
    )
    func leftRunning() throws {
        _ = try add("--", "sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $! > pid")
        #expect(try tool.run("worker", "--drain").status == 0)
        let pid = try #require(
            pid_t(tool.read("pid").split(separator: "\n").first.map(String.init) ?? ""))
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(try tool.run("run", "true", ":::", "a").status == 0)
        let state = tool.state(of: pid)
        #expect(state != nil && state != "Z")
        kill(pid, SIGKILL)
    }

    @Test("a unit is printed with absolute paths, and systemd has nothing against it")
    func unit() throws {
        // A unit is for a store that is there.
        let missing = try tool.run("worker", "--print-systemd-unit")
        #expect(missing.status == 66 && missing.output == "")
        #expect(!tool.exists(".petiole"))
        tool.makeFolder("a b")
        _ = try add("--store", "a b/jobs", "--", "true")
        _ = try add("--", "true")
        let user = try tool.run(
            "worker", "--print-systemd-unit", "--queue", "nightly", "-j", "3", "--on-failure",
            "echo \"$PETIOLE_JOB\" 100% >> '/tmp/x'", "--store", "a b/jobs")
        #expect(user.status == 0, "\(user.errorOutput)")
        #expect(user.output.contains("ExecStart=/"))
        #expect(
            user.output.contains(
                #"worker --queue nightly -j 3 --standby --existing --on-failure "echo \"$$PETIOLE_JOB\" 100%% >> '/tmp/x'" --store ""#
            ), "\(user.output)")
        #expect(user.output.contains("KillMode=mixed\nTimeoutStopSec=75\n"))
        #expect(user.output.contains("\nStartLimitIntervalSec=0\n"))
        #expect(user.output.contains("WantedBy=default.target"))
        #expect(try tool.run("worker", "--print-systemd-unit", "--drain").status == 64)
        let bytes = try tool.run(
            bytes: [
                Array("worker".utf8), Array("--print-systemd-unit".utf8),
                Array("--on-finish=echo ".utf8) + [0xE9],
            ])
        #expect(bytes.status == 64 && bytes.errorOutput.contains("--on-finish is not UTF-8"))
        // What it starts makes no store.
        let existing = try tool.run("worker", "--existing", "--store", "nowhere")
        #expect(existing.status == 66)
        #expect(!tool.exists("nowhere"))
        let system = try tool.run("worker", "--print-systemd-unit", "--system")
        #expect(system.output.contains("\nUser="))
        #expect(system.output.contains("WantedBy=multi-user.target"))
        #expect(try tool.run("worker", "--system").status == 64)
        guard access("/usr/bin/systemd-analyze", X_OK) == 0 else { return }
        for (name, text) in [("one.service", user.output), ("two.service", system.output)] {
            try tool.write(text, to: name)
            let check = try tool.start(
                shell:
                    "/usr/bin/systemd-analyze verify --man=no ./\(name) 2>&1 | grep -F \(name); true"
            )
            #expect(check.end().output == "")
        }
    }
}
