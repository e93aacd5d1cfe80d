import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Health, backup and compact by the tool", .ownThreads) struct HealthCommandTests {
    let tool = Tool()

    @Test("health tells by its status whether all is well, and in sentences what is not")
    func health() throws {
        #expect(try tool.run("health").status == 66)
        _ = try tool.run("add", "--", "true")
        let alone = try tool.run("health")
        #expect(alone.status == 1)
        #expect(alone.output == "nobody runs queue commands, which has 1 job to run\n")
        #expect(try tool.run("health", "--no-runner").output == "all is well\n")
        let worker = try tool.start(["worker"])
        _ = try worker.line(beginning: "petiole: runs the queue", inErrors: true)
        _ = try tool.run("wait", "1")
        let json = try tool.run("health", "--json", "--queue", "commands")
        #expect(json.status == 0)
        #expect(
            json.output.hasPrefix(
                #"{"v":1,"healthy":true,"problems":[],"queues":[{"queue":"commands","pid":\#(worker.pid),"beat":"#
            ))
        #expect(json.output.contains(#""oldest":null,"ready":0"#))
        _ = try tool.run("pause", "commands")
        _ = try tool.run("add", "--", "true")
        let many = try tool.run("health", "--max-ready", "0")
        #expect(many.status == 1 && many.output.contains("more than 0"))
        #expect(try tool.run("health", "--queue", "defualt").status == 64)
        #expect(try tool.run("health", "--max-age", "soon").status == 64)
        #expect(try tool.run("health", "--max-ready", "-1").status == 64)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
    }

    @Test("a backup is a store that doctor calls whole, and a path that is taken is refused")
    func backup() throws {
        _ = try tool.run("add", "--", "echo", "hi")
        _ = try tool.run("worker", "--drain")
        _ = try tool.run("add", "--", "touch", "ran")
        let backup = try tool.run("backup", "copy")
        #expect(
            backup.status == 0 && backup.output.contains("copy: ")
                && backup.output.contains("2 jobs, whole"))
        #expect(try tool.run("doctor", "--store", "copy").status == 0)
        #expect(try tool.run("show", "--stdout", "1", "--store", "copy").output == "hi\n")
        #expect(try tool.run("worker", "--drain", "--store", "copy").status == 0)
        #expect(tool.exists("ran"))
        #expect(try tool.run("jobs", "--state", "ready", "--json").lines.count == 1)
        let again = try tool.run("backup", "copy")
        #expect(again.status == 73 && again.errorOutput.contains("there is something already"))
        let json = try tool.run("backup", "--json", "--whole", "--unchecked", "other")
        #expect(json.output.contains(#""outputs":0,"output_bytes":0,"jobs":null}"#))
    }

    @Test("compact names who has the store open, and gives room back when nobody has")
    func compact() throws {
        let input = String(repeating: "x", count: 2_000)
        _ = try tool.run(
            "run", "true", input: (1...200).map { "\($0)\(input)" }.joined(separator: "\n"))
        _ = try tool.run("purge", "--all", "--yes")
        let worker = try tool.start(["worker"])
        _ = try worker.line(beginning: "petiole: runs the queue", inErrors: true)
        let refused = try tool.run("compact")
        #expect(refused.status == 75 && refused.errorOutput.contains("process \(worker.pid)"))
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
        let json = try tool.run("compact", "--json")
        #expect(json.status == 0)
        let numbers = json.output.split { !$0.isNumber }.compactMap { Int($0) }
        #expect(numbers.count == 3 && numbers[1] > 2 * numbers[2])
        #expect(try tool.run("doctor").status == 0)
        #expect(try tool.run("add", "--", "true").status == 0)
        #expect(try tool.run("compact").output.contains(" before, "))
        #expect(try tool.run("compact", "--store", "none").status == 66)
    }
}
