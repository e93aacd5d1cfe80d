import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Purge and drain by the tool", .ownThreads) struct PurgeCommandTests {
    let tool = Tool()

    @Test("a purge says how many there are, and with --yes deletes them with what they wrote")
    func purge() throws {
        _ = try tool.run("add", "--", "sh", "-c", "head -c 3000000 /dev/zero")
        _ = try tool.run("add", "--", "false")
        _ = try tool.run("worker", "--drain")
        _ = try tool.run("add", "--", "touch", "ran")
        func outputs() throws -> Int {
            try tool.start(shell: "ls .petiole/outputs | wc -l").end().lines.first
                .flatMap { Int($0.filter { $0 != " " }) } ?? -1
        }
        #expect(try outputs() == 1)
        let dry = try tool.run("purge", "--all")
        #expect(dry.output == "3 jobs would be deleted, of which 1 have not ended\n")
        #expect(dry.errorOutput.contains("--yes"))
        #expect(try tool.run("jobs", "--json").lines.count == 3)
        #expect(try tool.run("purge", "--state", "failed", "--yes").output == "1 job deleted\n")
        #expect(try tool.run("show", "2").status == 66)
        #expect(try outputs() == 1)
        #expect(
            try tool.run("purge", "--json", "--all", "--yes").output
                == #"{"v":1,"dry_run":false,"deleted":2,"cancelled":1,"running":0}"# + "\n")
        #expect(try outputs() == 0)
        _ = try tool.run("worker", "--drain")
        #expect(!tool.exists("ran"))
        #expect(try tool.run("jobs").output == "no such jobs\n")
        #expect(try tool.run("purge", "--yes").status == 64)
    }

    @Test("a drain ends when nothing is left to run, and its status tells what is left")
    func drain() throws {
        mkfifo(tool.file("pipe"), 0o600)
        _ = try tool.run("add", "--", "sh", "-c", "echo up > pipe")
        let timedOut = try tool.run("drain", "commands", "--timeout", "0s")
        #expect(timedOut.status == 75)
        #expect(timedOut.errorOutput.contains("nobody runs the queue"))
        #expect(timedOut.output == "1 job left when the time was over\n")
        let worker = try tool.start(["worker"])
        let drain = try tool.start(["drain", "--json"])
        // Opens when the command does.
        _ = tool.read("pipe")
        let end = drain.end()
        #expect(end.status == 0)
        #expect(end.output == #"{"v":1,"result":"drained","left":0}"# + "\n")
        _ = try tool.run("pause", "commands")
        _ = try tool.run("add", "--", "true")
        let aside = try tool.run("drain", "commands")
        #expect(aside.status == 1)
        #expect(aside.output.contains("1 job left, held, parked or paused"))
        #expect(try tool.run("drain", "defualt").status == 66)
        #expect(try tool.run("drain", "--timeout", "soon").status == 64)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
    }
}
