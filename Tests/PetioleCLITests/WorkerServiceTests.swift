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

    @Test("a unit is printed with absolute paths, and systemd has nothing against it")
    func unit() throws {
        tool.makeFolder("a b")
        let user = try tool.run(
            "worker", "--print-systemd-unit", "--queue", "nightly", "-j", "3", "--on-failure",
            "echo \"$PETIOLE_JOB\" 100% >> '/tmp/x'", "--store", "a b/jobs")
        #expect(user.status == 0, "\(user.errorOutput)")
        #expect(user.output.contains("ExecStart=/"))
        #expect(
            user.output.contains(
                #"worker --queue nightly -j 3 --standby --on-failure "echo \"$$PETIOLE_JOB\" 100%% >> '/tmp/x'" --store ""#
            ), "\(user.output)")
        #expect(user.output.contains("KillMode=mixed\nTimeoutStopSec=60\n"))
        #expect(user.output.contains("WantedBy=default.target"))
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
