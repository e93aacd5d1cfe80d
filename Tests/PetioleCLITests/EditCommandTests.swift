import Testing

@Suite("Edit by the tool", .ownThreads) struct EditCommandTests {
    let tool = Tool()

    @Test("jobs are edited by id and by filter, and what came of each is said")
    func edits() throws {
        for name in ["a", "b", "c"] { _ = try tool.run("add", "--", "touch", name) }
        #expect(try tool.run("edit", "2", "--priority", "0").output == "2 edited\n")
        let later = try tool.run("edit", "--json", "3", "--due", "2h")
        #expect(later.output == #"{"v":1,"id":3,"result":"edited"}"# + "\n")
        let listed = try tool.run("jobs", "--json").lines
        #expect(listed[1].contains(#""state":"ready","queue":"commands","priority":0"#))
        #expect(listed[2].contains(#""state":"waiting""#) && listed[2].contains(#""due":"2"#))
        let dry = try tool.run("edit", "--state", "waiting", "--due", "now", "--dry-run")
        #expect(dry.output == "1 job would be edited\n")
        let all = try tool.run("edit", "--state", "waiting", "--due", "now")
        #expect(all.output == "1 job edited\n")
        _ = try tool.run("worker", "--drain")
        #expect(tool.exists("a") && tool.exists("b") && tool.exists("c"))
        #expect(try tool.run("edit", "1", "--priority", "9").output == "1 ended\n")
        let missing = try tool.run("edit", "--json", "7", "--priority", "9")
        #expect(missing.status == 66)
        #expect(missing.output == #"{"v":1,"id":7,"result":"missing"}"# + "\n")
    }

    @Test(
        "an edit that is out of bounds is refused with what is allowed",
        arguments: [
            ["1"], ["1", "--priority", "10"], ["1", "--priority", "-1"], ["1", "--due", "soon"],
            ["1", "--due", "2026-02-30"], ["--priority", "3"],
        ])
    func refuses(arguments: [String]) throws {
        _ = try tool.run("add", "--", "true")
        let end = try tool.start(["edit"] + arguments).end()
        #expect(end.status == 64)
        #expect(!end.errorOutput.isEmpty)
    }

    @Test("jobs are listed by times and by what their failures say, a page behind the other")
    func lists() throws {
        _ = try tool.run("add", "--", "sh", "-c", "exit 3")
        _ = try tool.run("add", "--", "true")
        _ = try tool.run("worker", "--drain")
        _ = try tool.run("add", "--", "true")
        func ids(_ arguments: String...) throws -> [String] {
            let end = try tool.start(["jobs", "--json"] + arguments).end()
            #expect(end.status == 0)
            return end.lines.map { String($0.dropFirst(#"{"v":1,"id":"#.count).prefix(1)) }
        }
        #expect(try ids("--error", "status 3") == ["1"])
        #expect(try ids("--error", "status 4") == [])
        #expect(try ids("--ended-since", "1h") == ["1", "2"])
        #expect(try ids("--ended-before", "1h") == [])
        #expect(try ids("--since", "1h", "--before", "2200-01-01T00:00:00Z") == ["1", "2", "3"])
        #expect(try ids("--since", "2200-01-01 10:00") == [])
        #expect(try ids("--limit", "2") == ["1", "2"])
        #expect(try ids("--limit", "2", "--after", "2") == ["3"])
        let page = try tool.run("jobs", "--limit", "2")
        #expect(page.errorOutput.contains("--after 2"))
        let wrong = try tool.run("jobs", "--since", "yesterday")
        #expect(wrong.status == 64 && wrong.errorOutput.contains("are allowed"))
    }
}

@Suite("Pause of a job type by the tool", .ownThreads) struct PauseTypeCommandTests {
    let tool = Tool()

    @Test("a paused job type runs nothing until it goes on, and status and listings say so")
    func pauses() throws {
        _ = try tool.run("add", "--", "touch", "ran")
        let type = "petiole.command"
        #expect(
            try tool.run("pause", "--type", type, "commands").output
                == "\(type) in commands is paused\n")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(!tool.exists("ran"))
        #expect(try tool.run("jobs", "--state", "paused").output.contains("touch ran"))
        #expect(try tool.run("show", "1").output.contains("paused: the job type"))
        #expect(try tool.run("status").output.contains("paused: \(type) in commands, for "))
        #expect(
            try tool.run("status", "--json").output.contains(#""paused_types":["\#(type)"]"#))
        #expect(
            try tool.run("resume", "--json", "--type", type).output
                == #"{"v":1,"queue":null,"type":"\#(type)","paused":false,"changed":true}"# + "\n")
        _ = try tool.run("worker", "--drain")
        #expect(tool.exists("ran"))
        #expect(try tool.run("pause", "--type", "resise").status == 66)
        #expect(try tool.run("pause").status == 64)
    }

    @Test("what is paused everywhere does not go on in one queue alone, and that is said")
    func everywhere() throws {
        _ = try tool.run("add", "--", "true")
        _ = try tool.run("pause", "--type", "petiole.command")
        let end = try tool.run("resume", "--type", "petiole.command", "commands")
        #expect(end.status == 0 && end.errorOutput.contains("is paused everywhere"))
    }
}
