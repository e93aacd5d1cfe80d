import Testing

@Suite("The capacity command", .ownThreads) struct CapacityCommandTests {
    let tool = Tool()

    @Test("a capacity is set, shown, kept to and taken away, for a queue and for the store")
    func set() throws {
        _ = try tool.run("add", "--queue", "q", "--", "true")
        #expect(
            try tool.run("capacity", "q", "--jobs", "2").output
                == "q: 1 of 2 jobs, \(bytes(1)) of any; when it is full, enqueues are refused\n")
        _ = try tool.run("add", "--queue", "q", "--", "true")
        let refused = try tool.run("add", "--queue", "q", "--", "true")
        #expect(refused.status == 75)
        #expect(refused.errorOutput.contains("the queue \"q\" is full: 2 of 2 jobs"))
        #expect(refused.errorOutput.contains("petiole capacity q --jobs N"))
        #expect(try tool.run("status").output.contains("q (full)"))
        let json = try tool.run("status", "--json").output
        #expect(
            json.contains(
                #""capacity":{"jobs":2,"bytes":null,"whenFull":"refuse","waitUpTo":null}"#))
        _ = try tool.run("capacity", "q", "--jobs", "2", "--when-full", "drop")
        #expect(try tool.run("add", "--queue", "q", "--", "true").output == "3\n")
        #expect(try tool.run("jobs", "--state", "dropped", "--json").lines.count == 1)
        #expect(try tool.run("show", "1").output.contains("dropped: its queue was full"))
        _ = try tool.run("capacity", "--jobs", "2", "--when-full", "wait", "--wait-up-to", "1s")
        let all = try tool.run("capacity", "--json").lines
        #expect(all.count == 2)
        #expect(all[0].hasPrefix(#"{"v":1,"queue":"q","jobs":2,"bytes":null,"whenFull":"drop""#))
        #expect(
            all[1].hasPrefix(
                #"{"v":1,"queue":null,"jobs":2,"bytes":null,"whenFull":"wait","waitUpTo":1,"heldJobs":2"#
            ))
        #expect(try tool.run("add", "--queue", "other", "--", "true").status == 75)
        #expect(
            try tool.run("capacity", "--none").output.hasPrefix("store: 2 of any jobs"))
        #expect(try tool.run("add", "--queue", "other", "--", "true").status == 0)
        #expect(try tool.run("worker", "--drain", "--queue", "q").status == 0)
    }

    private func bytes(_ jobs: Int) throws -> String {
        let json = try tool.run("capacity", "q", "--json").output
        let held = try #require(json.split(separator: #""heldBytes":"#).last?.prefix { $0 != "}" })
        return "\(held) B"
    }

    @Test("the limit of the data file is set for all processes, and shown")
    func file() throws {
        _ = try tool.run("add", "--", "true")
        #expect(
            try tool.run("capacity", "--file", "128M").output.hasSuffix(
                "of 128 MiB; what has ended is kept 365 d 0 h\n"))
        #expect(
            try tool.run("capacity", "--json").output.contains(#""fileLimit":134217728,"keep":"#))
    }

    @Test(
        "options out of bounds, or that do not go together, are answered by what is allowed",
        arguments: [
            ["q", "--jobs", "0"], ["q", "--bytes", "12X"], ["q", "--bytes", "-1"],
            ["--file", "1M"], ["q", "--file", "64M"], ["q", "--when-full", "drop"],
            ["q", "--jobs", "1", "--wait-up-to", "1s"],
            ["q", "--jobs", "1", "--when-full", "wait", "--wait-up-to", "0s"],
            ["q", "--jobs", "1", "--none"], ["q", "--jobs", "1", "--when-full", "explode"],
        ])
    func bounds(arguments: [String]) throws {
        _ = try tool.run("add", "--queue", "q", "--", "true")
        let end = try tool.run(bytes: (["capacity"] + arguments).map { Array($0.utf8) })
        #expect(end.status == 64)
    }

    @Test("a queue that does not exist is not made by a slip")
    func noQueue() throws {
        _ = try tool.run("add", "--", "true")
        #expect(try tool.run("capacity", "comands", "--jobs", "1").status == 66)
    }

    @Test("failures are listed by kind, and what a dry run finds is what a prune deletes")
    func failures() throws {
        for status in [3, 4] { _ = try tool.run("add", "--", "sh", "-c", "exit \(status)") }
        _ = try tool.run("add", "--", "true")
        #expect(try tool.run("failures").output == "no failures\n")
        _ = try tool.run("worker", "--drain")
        let table = try tool.run("failures").lines
        // Of which of the two is told first depends on the worker's threads.
        #expect(table.count == 2 && table[1].contains("Command: it exited with status "))
        let json = try tool.run("failures", "--json").output
        #expect(json.contains(#""count":2,"error":"Command: it exited with status "#))
        let found = try tool.run("prune", "--older-than", "0s", "--dry-run")
        #expect(found.output == "3 jobs would be deleted\n")
        #expect(
            try tool.run("prune", "--older-than", "0s", "--dry-run", "--json").output
                == #"{"v":1,"found":3}"# + "\n")
        #expect(try tool.run("prune", "--older-than", "0s").output == "deleted 3 jobs\n")
        #expect(try tool.run("failures", "--json").output == "")
    }
}
