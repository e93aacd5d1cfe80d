import Testing

@Suite("petiole limit", .ownThreads) struct LimitTests {
    let tool = Tool()

    @Test("limits are set, shown and taken away, and hold for the worker")
    func limits() throws {
        _ = try tool.run("add", "--", "true")
        #expect(try tool.run("limit", "commands").output == "no limits are set in commands\n")
        #expect(
            try tool.run("limit", "commands", "--concurrency", "2", "--rate", "600/m").output
                == "the queue: 2 at once, 600 each 1 min 0 s, 600 may gather\n")
        #expect(
            try tool.run("limit", "commands", "--rate", "10/30s").output
                == "the queue: 10 each 30 s, 10 may gather\n")
        _ = try tool.run("limit", "commands", "--concurrency", "2", "--rate", "600/m")
        let json = try tool.run("limit", "commands", "--json").output
        #expect(json.contains(#""concurrency":2,"rate":10.0,"burst":600"#))
        #expect(
            try tool.run(
                "limit", "commands", "--job", "petiole.command", "--key-concurrency", "1",
                "--ordered"
            ).output.contains("petiole.command: 1 at once of each key, each key in order"))
        _ = try tool.run("limit", "commands", "--job", "petiole.command", "--remove")
        #expect(
            try tool.run("limit", "commands", "--remove").output
                == "no limits are set in commands\n")
        #expect(try tool.run("worker", "--drain").status == 0)
    }

    @Test(
        "what is no limit is refused with what is allowed",
        arguments: [
            "--rate 10", "--rate 0/s", "--rate 10/0s", "--rate 10/2d", "--rate 10/",
            "--concurrency 0", "--burst 3", "--fair",
            "--remove --concurrency 1",
        ])
    func refused(options: String) throws {
        _ = try tool.run("add", "--", "true")
        let end = try tool.start(shell: "\(Tool.path) limit commands \(options)").end()
        #expect(end.status == 64)
        #expect(!end.errorOutput.isEmpty)
        #expect(try tool.run("limit", "nowhere", "--concurrency", "1").status == 66)
    }
}
