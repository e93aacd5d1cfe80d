import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Resources of petiole run", .ownThreads, .timeLimit(.minutes(10))) struct RunResourceTests {
    let tool = Tool()

    @Test(
        "commands of several processes take no more of a resource than there is, and a dead one gives back what it had"
    )
    func acrossProcesses() throws {
        _ = try tool.run("add", "--", "true")
        let none = try tool.run("run", "--resources", "gpu=1", "true", ":::", "a")
        #expect(none.status == 125 && none.errorOutput.contains("petiole limit --resource gpu=1"))
        #expect(try tool.run("limit", "--resource", "gpu=2").output == "gpu: 2, 0 in use\n")
        for name in ["a1", "a2", "b1", "b2"] { mkfifo(tool.file(name), 0o600) }
        let line = "echo up {}; read x < {}; echo down {}"
        func start(_ inputs: String..., more: String = "") throws -> Tool.Running {
            try tool.start(
                ["run", "-j4", "--line-buffer", "--resources", "gpu=1", line + more, ":::"] + inputs
            )
        }
        let first = try start("a1", "a2")
        _ = try first.line(beginning: "up a1")
        _ = try first.line(beginning: "up a2")
        #expect(
            try tool.run("limit", "--resource", "gpu", "--json").output
                == "{\"v\":1,\"resource\":\"gpu\",\"count\":2,\"used\":2}\n")
        let second = try start("b1", "b2", more: " ")
        try tool.write("x\n", to: "a1")
        _ = try first.line(beginning: "down a1")
        _ = try second.line(beginning: "up b")
        // What the first still has goes with it.
        first.send(SIGKILL)
        _ = first.end()
        _ = try second.line(beginning: "up b2")
        _ = try second.line(beginning: "up b1")
        for name in ["b1", "b2", "a2"] { try tool.write("x\n", to: name) }
        #expect(second.end().status == 0)
        #expect(try tool.run("limit", "--resource", "gpu").output == "gpu: 2, 0 in use\n")
    }

    @Test("a run that waits for a resource can be stopped, and starts when there is some")
    func waits() throws {
        _ = try tool.run("add", "--", "true")
        _ = try tool.run("limit", "--resource", "gpu=1")
        mkfifo(tool.file("pipe"), 0o600)
        let holder = try tool.start(
            [
                "run", "--line-buffer", "--resources", "gpu=1", "echo up; read x < pipe # {}",
                ":::", "a",
            ])
        _ = try holder.line(beginning: "up")
        let stopped = try tool.start(["run", "--resources", "gpu=1", "echo {}", ":::", "b"])
        _ = try stopped.line(beginning: "petiole: no command is started", inErrors: true)
        stopped.send(SIGINT)
        #expect(stopped.end().status == 128 + SIGINT)
        let waiting = try tool.start(["run", "--resources", "gpu=1", "echo {}", ":::", "b"])
        #expect(
            try waiting.line(beginning: "petiole: no command is started", inErrors: true)
                == "petiole: no command is started: 1 of 1 \"gpu\" is wanted, and others have them")
        _ = try tool.run("limit", "--resource", "gpu", "--remove")
        _ = try waiting.line(beginning: "petiole: this store knows no resource", inErrors: true)
        #expect(try tool.run("limit", "--resource", "gpu=2").status == 0)
        #expect(waiting.end().output == "b\n")
        try tool.write("x\n", to: "pipe")
        #expect(holder.end().status == 0)
        let tooMuch = try tool.run("run", "--resources", "gpu=3", "true", ":::", "a")
        #expect(tooMuch.status == 125 && tooMuch.errorOutput.contains("there are 2"))
        for wrong in ["gpu", "gpu=0", "gpu=1,gpu=1", "g p=1", "gpu=x", ""] {
            #expect(try tool.run("run", "--resources", wrong, "true", ":::", "a").status == 64)
        }
        #expect(try tool.run("limit", "--resource", "gpu", "--remove").status == 0)
        #expect(try tool.run("limit").output == "this store knows no resources\n")
        #expect(try tool.run("limit", "--concurrency", "1").status == 64)
        #expect(try tool.run("limit", "commands", "--resource", "gpu=1").status == 64)
    }

    @Test("a worker's commands take of a resource too, so that two queues share it")
    func worker() throws {
        _ = try tool.run(
            "add", "--", "sh", "-c", "echo up > started; read x < pipe; echo down >> log")
        _ = try tool.run("add", "--queue", "other", "--", "sh", "-c", "echo other >> log")
        let refused = try tool.run("worker", "--resources", "gpu=1", "--drain")
        #expect(refused.status == 66 && refused.errorOutput.contains("limit --resource gpu=1"))
        #expect(try tool.run("worker", "--resources", "gpu").status == 64)
        _ = try tool.run("limit", "--resource", "gpu=1")
        for name in ["pipe", "started"] { mkfifo(tool.file(name), 0o600) }
        let holder = try tool.start(["worker", "--resources", "gpu=1", "--drain"])
        #expect(try tool.start(shell: "cat started").end().output == "up\n")
        let other = try tool.start(
            ["worker", "--queue", "other", "--resources", "gpu=1", "--drain"])
        _ = try other.line(beginning: "petiole: runs the queue", inErrors: true)
        #expect(
            try tool.run("limit", "--resource", "gpu").output == "gpu: 1, 1 in use\n")
        #expect(!tool.exists("log"))
        try tool.write("x\n", to: "pipe")
        #expect(holder.end().status == 0)
        #expect(other.end().status == 0)
        #expect(tool.read("log") == "down\nother\n")
    }

    @Test("no command begins behind the one with which a run is to stop")
    func halts() throws {
        for _ in 0..<5 {
            let end = try tool.run(
                "run", "--fresh", "-j1", "--halt", "now,fail=1", "echo {}; exit {}", ":::", "0",
                "1",
                "0", "0")
            #expect(end.output == "0\n1\n")
            #expect(
                end.errorOutput.contains("halted, since 1 command failed"), "\(end.errorOutput)")
            #expect(end.status == 1)
        }
        // An attempt that is followed by another has not failed yet.
        let retried = try tool.run(
            "run", "-j1", "--halt", "soon,fail=1", "--retries", "1", "--backoff", "1ms",
            "echo x >> n; test $(wc -l < n) -gt 1 # {}", ":::", "a", "b")
        #expect(retried.status == 0, "\(retried.errorOutput)")
    }
}
