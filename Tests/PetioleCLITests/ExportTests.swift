import Testing

@testable import PetioleCLI

@Suite("petiole export and import", .ownThreads, .timeLimit(.minutes(10))) struct ExportTests {
    let tool = Tool()

    private func run(_ arguments: [UInt8]...) throws -> Tool.End {
        try tool.run(bytes: arguments)
    }
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(
        "what is exported is imported with all that it was told, byte for byte, and behind the same others"
    )
    func roundTrip() throws {
        let odd: [UInt8] = [0x66, 0xFF, 0x20, 0x22, 0x0A]
        let first = try run(
            bytes("add"), bytes("--env"), bytes("none"), bytes("--env"), bytes("A=") + odd,
            bytes("--tag"), bytes("t"), bytes("--retries"), bytes("2"), bytes("--priority"),
            bytes("1"), bytes("--timeout"), bytes("90s"), bytes("--"), bytes("sh"), bytes("-c"),
            bytes("printf %s \"$0$A\" > out"), odd)
        #expect(first.status == 0)
        #expect(
            try tool.run("add", "--after-any", "1", "--in", "1h", "--", "true").status == 0)
        #expect(try tool.run("add", "--queue", "done", "--", "true").status == 0)
        #expect(try tool.run("worker", "--queue", "done", "--drain").status == 0)
        #expect(try tool.run("export", "-o", "all.jsonl").status == 0)
        let dry = try tool.run("import", "--store", "other", "--dry-run", "--json", "all.jsonl")
        #expect(
            dry.output
                == "{\"v\":1,\"dry_run\":true,\"enqueued\":2,\"present\":0,\"ended\":1,\"left_out\":0}\n",
            "\(dry.output)\(dry.errorOutput)")
        #expect(!tool.exists("other"))
        let end = try tool.run("import", "--store", "other", "all.jsonl")
        #expect(end.output == "2 jobs are enqueued, 1 had ended\n", "\(end.errorOutput)")
        // But for ids and times nothing is changed.
        func fields(_ text: String) -> [String] {
            text.split(separator: "\n").map { line -> String in
                String(line).replacing(#/"(accepted|id|store)":("[^"]*"|[0-9]+),?/#, with: "")
            }
        }
        let before = fields(tool.read("all.jsonl"))
        let after = fields(try tool.run("export", "--store", "other").output)
        #expect(after == Array(before.prefix(2)))
        #expect(after[1].contains("\"after_any\":[1]"))
        // It is due in an hour.
        #expect(try tool.run("cancel", "--store", "other", "2").status == 0)
        #expect(try tool.run("worker", "--store", "other", "--drain").status == 0)
        #expect(tool.readBytes("out") == odd + odd)
    }

    @Test("a CSV has a header and a row a job, quoted where it is needed")
    func csv() throws {
        _ = try tool.run("add", "--tag", "a,b", "--", "sh", "-c", "echo 'x\"y'; echo z >&2; exit 4")
        #expect(try tool.run("worker", "--drain").status == 0)
        let end = try tool.run("export", "--format", "csv", "--what", "results")
        #expect(end.status == 0)
        let rows = end.output.split(separator: "\r\n").map(String.init)
        #expect(rows.count == 2)
        #expect(
            rows[0]
                == "id,state,queue,name,attempt,started,microseconds,exit,signal,error,fingerprint,command,stdout,stderr,result,stdout_bytes,stderr_bytes"
        )
        #expect(rows[1].hasPrefix("1,failed,commands,petiole.command,1,"))
        #expect(
            rows[1].hasSuffix(
                ",\"sh -c $'echo \\'x\"\"y\\'; echo z >&2; exit 4'\",\"x\"\"y\n\",\"z\n\",,4,2")
                || rows[1].hasSuffix(",\"x\"\"y\n\",\"z\n\",,4,2"), "\(rows[1])")
        let jobs = try tool.run("export", "--format", "csv").output
        #expect(jobs.contains(",\"a,b\","))
        #expect(CSVLine.field([0x41, 0xFF]) == "base64:Qf8=")
        #expect(CSVLine.field(Array("base64:".utf8)) == "base64:YmFzZTY0Og==")
        #expect(CSVLine.text(["a\rb", "c d"]) == "\"a\rb\",c d\r\n")
    }

    @Test("a line that cannot be read ends an import, and what came before it is said")
    func broken() throws {
        _ = try tool.run("add", "--", "true")
        let line = try tool.run("export").output
        try tool.write(line + "{\"id\":1\n", to: "cut.jsonl")
        let end = try tool.run("import", "--store", "other", "cut.jsonl")
        #expect(end.status == 64)
        #expect(end.errorOutput.contains("line 2 is none of"), "\(end.errorOutput)")
        #expect(try tool.run("import", "--store", "other", "nowhere").status == 66)
        #expect(try tool.run("import", "--queue", "/", "cut.jsonl").status == 64)
        let orphan = line.replacing(
            "\"state\":\"ready\"", with: "\"state\":\"held\",\"after\":[99]")
        try tool.write(orphan, to: "orphan.jsonl")
        let left = try tool.run("import", "--store", "other", "--again", "orphan.jsonl")
        #expect(left.output == "0 jobs are enqueued, 1 is left out\n")
        #expect(left.status == 1)
        #expect(left.errorOutput.contains("job 1 is left out: it comes after job 99"))
        for (state, said) in [("odd", "knows no state"), ("awaiting", "part of a workflow")] {
            try tool.write(
                line.replacing("\"state\":\"ready\"", with: "\"state\":\"\(state)\""), to: "odd")
            let end = try tool.run("import", "--store", "new", "odd")
            #expect(end.status == 1 && end.errorOutput.contains(said), "\(end.errorOutput)")
        }
        try tool.write(line.replacing("\"v\":1", with: "\"v\":2"), to: "newer")
        #expect(try tool.run("import", "--store", "new", "newer").status == 64)
        try tool.write(line.replacing("\"queue\":\"", with: "\"queue\":\"/"), to: "bad")
        for options in [["--dry-run"], []] {
            let end = try tool.run(
                bytes: (["import", "--store", "new"] + options + ["bad"]).map { Array($0.utf8) })
            #expect(end.status == 64 && end.errorOutput.contains("line 1: "))
        }
        #expect(try tool.run("export", "--queue", "slip", "-o", "bad").status == 66)
        #expect(!tool.read("bad").isEmpty)
        #expect(try tool.run("export", "-o", "no/such/folder").status == 73)
    }
}
