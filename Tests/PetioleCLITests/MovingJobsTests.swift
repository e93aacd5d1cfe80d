import Petiole
import Testing

@testable import PetioleCLI

@Suite("What an export carries", .ownThreads, .timeLimit(.minutes(10))) struct MovingJobsTests {
    let tool = Tool()

    @Test("commands of a run keep their inputs, and the same line goes on with them elsewhere")
    func runs() throws {
        let line = "test -e go && echo {} > {}.out"
        let first = try tool.run(
            "run", "--nice", "5", "--env", "A=b", "-j1", "--halt", "soon,fail=1", line, ":::", "a",
            "b c", "b c")
        #expect(first.status == 1, "\(first.errorOutput)")
        #expect(try tool.run("export", "-o", "all").status == 0)
        let rows = tool.read("all")
        #expect(rows.contains("\"input\":\"b c\"") && rows.contains("\"nice\":5"))
        #expect(
            rows.contains("\"environment\":null,\"environment_added\":[{\"name\":\"PETIOLE_INPUT\"")
        )
        #expect(
            try tool.run("import", "--store", "other", "all").output
                == "2 jobs are enqueued, 1 had ended\n")
        try tool.write("", to: "go")
        let again = try tool.run("run", "--store", "other", line, ":::", "a", "b c", "b c")
        #expect(again.status == 0, "\(again.errorOutput)")
        #expect(tool.read("a.out") == "a\n" && tool.read("b c.out") == "b c\n")
        // The two that came, and the one that had ended elsewhere.
        #expect(try tool.run("jobs", "--store", "other", "--json").lines.count == 3)
    }

    @Test("what cannot run elsewhere is left out, and its id and the exit status say so")
    func leftOut() throws {
        try tool.write("1\n2\n3\n", to: "in")
        for (store, before, after) in [("one", "", "< in"), ("two", "cat in |", "")] {
            let run = "run --pipe --block 1 -j1 --halt soon,fail=1 --store \(store) false"
            let first = try tool.start(shell: "\(before) \(Tool.path) \(run) \(after)").end()
            #expect(first.status == 1, "\(first.errorOutput)")
            #expect(try tool.run("export", "--store", store, "-o", "all").status == 0)
            let end = try tool.run("import", "--store", "other", "--json", "all")
            #expect(end.status == 1)
            #expect(end.output.contains("\"enqueued\":0,"), "\(end.output)")
            #expect(!end.output.contains("\"left_out\":0}"))
            #expect(
                end.errorOutput.contains(
                    "job 2 is left out: its standard input is a block of petiole run --pipe"))
        }
    }

    @Test("an export has what was there when it began, so one into its own store ends")
    func intoItself() throws {
        // More than a page of the log, and than a pipe holds.
        let long = String(repeating: "x", count: 20_000)
        for _ in 1...20 { #expect(try tool.run("add", "--", "true", long).status == 0) }
        let end = try tool.start(
            shell:
                "\(Tool.path) export | { read -r line; \(Tool.path) add -- true > id; wc -l; }"
        ).end()
        #expect(end.output.filter(\.isNumber) == "19", "\(end.output)\(end.errorOutput)")
        #expect(tool.read("id") == "21\n")
        let own = try tool.start(
            shell: "\(Tool.path) export | \(Tool.path) import --queue later"
        ).end()
        #expect(own.output == "21 jobs are enqueued\n", "\(own.errorOutput)")
    }

    @Test("an import that is started again enqueues what is not there, behind the same others")
    func again() throws {
        for _ in 1...3 { #expect(try tool.run("add", "--", "true").status == 0) }
        #expect(try tool.run("add", "--after", "2", "--priority", "1", "--", "false").status == 0)
        let lines = try tool.run("export").lines
        try tool.write(lines[0] + "\n" + lines[1] + "\n{\n", to: "half")
        let half = try tool.run("import", "--store", "other", "half")
        #expect(half.status == 64)
        #expect(half.errorOutput.contains("2 jobs are enqueued"), "\(half.errorOutput)")
        // What has ended meanwhile is there, too.
        #expect(try tool.run("worker", "--store", "other", "--drain").status == 0)
        try tool.write(lines.joined(separator: "\n"), to: "whole")
        let whole = try tool.run("import", "--store", "other", "whole")
        #expect(whole.output == "2 jobs are enqueued, 2 are here already\n")
        let jobs = try tool.run("export", "--store", "other").lines
        #expect(jobs.count == 4)
        #expect(
            try tool.run("import", "--store", "other", "whole").output
                == "0 jobs are enqueued, 4 are here already\n")
        #expect(
            try tool.run("import", "--store", "other", "--again", "whole").output
                == "4 jobs are enqueued\n")
    }

    @Test("due times and expiries are carried as they stand, and what could never start may")
    func times() throws {
        #expect(try tool.run("add", "--in", "1h", "--expires", "2h", "--", "true").status == 0)
        #expect(try tool.run("add", "--in", "1h", "--", "true").status == 0)
        #expect(try tool.run("edit", "--due", "now", "1").status == 0)
        let rows = try tool.run("export").lines
        #expect(rows[0].contains("\"expires\":") && !rows[0].contains("\"due\":"), "\(rows[0])")
        #expect(rows[1].contains("\"due\":"))
        let late = rows[0].replacing(
            "\"expires\":", with: "\"due\":\"12000-01-01T00:00:00.000000Z\",\"expires\":")
        try tool.write(late + "\n", to: "late")
        let end = try tool.run("import", "--store", "other", "late")
        #expect(end.output == "1 job is enqueued\n", "\(end.errorOutput)")
        // What was requeued behind its expiry is not to expire again.
        #expect(
            try tool.run("add", "--queue", "q", "--expires", "1h", "--", "false").status == 0)
        #expect(try tool.run("worker", "--queue", "q", "--drain").status == 0)
        #expect(try tool.run("requeue", "3").status == 0)
        let requeued = try tool.run("export", "--queue", "q").output
        #expect(requeued.contains("\"state\":\"ready\"") && !requeued.contains("\"expires\""))
    }

    @Test("results go on behind an output that is not there, and say how much was written")
    func missing() throws {
        let many = "head -c 3000000 /dev/zero | tr '\\0' x"
        #expect(try tool.run("add", "--", "sh", "-c", many).status == 0)
        #expect(try tool.run("add", "--", "echo", "last").status == 0)
        #expect(try tool.run("worker", "--drain").status == 0)
        let gone = try tool.start(
            shell: "rm .petiole/outputs/1-*; \(Tool.path) export --what results --queue commands"
        ).end()
        #expect(gone.status == 74)
        #expect(gone.errorOutput.contains("job 1: the file 1-1"), "\(gone.errorOutput)")
        #expect(gone.errorOutput.contains("1 output could not be exported"))
        #expect(gone.lines.count == 2)
        #expect(gone.lines[0].contains("\"stdout\":null,\"stdout_bytes\":3000000"))
        #expect(gone.lines[1].contains("\"stdout\":\"last\\n\",\"stdout_bytes\":5"))
        #expect(try tool.run("run", "--output-limit", "2", "echo", ":::", "abc").status == 0)
        let cut = try tool.run("export", "--what", "results")
        #expect(
            cut.lines.last?.contains("\"stdout\":\"ab\",\"stdout_bytes\":4") == true,
            "\(cut.output)")
    }

    @Test("jobs that are deleted while they are exported are passed over")
    func deleted() throws {
        // As above: the export waits for who reads.
        let long = String(repeating: "x", count: 20_000)
        for _ in 1...14 { #expect(try tool.run("add", "--", "true", long).status == 0) }
        #expect(try tool.run("worker", "--drain").status == 0)
        let end = try tool.start(
            shell:
                "\(Tool.path) export --what outcomes | { read -r line; \(Tool.path) purge --yes --state succeeded > said; cat; }"
        ).end()
        #expect(tool.read("said").contains("14"), "\(tool.read("said"))\(end.errorOutput)")
        #expect((1..<13).contains(end.lines.count))
        #expect(end.lines.allSatisfy { $0.contains("\"exit\":0") })
    }

    @Test("results of jobs that are no commands are given, whatever their form and length")
    func rawResults() async throws {
        try await tool.withStore { store in
            _ = try await store.enqueue(Echo.self, payload: [0x41])
            _ = try await store.enqueue(Echo.self, payload: [0xFF])
            _ = try await store.enqueue(Long())
            try await JobRunner(store, jobs: [Echo.self, Long.self]).run {}
        }
        let rows = try tool.run("export", "--what", "results").lines
        #expect(rows.count == 3)
        #expect(rows[0].hasSuffix("\"result\":\"A\"}"), "\(rows[0])")
        #expect(rows[1].hasSuffix("\"result\":{\"base64\":\"/w==\"}}"))
        #expect(rows[2].utf8.count > 2_000_000 && rows[2].hasSuffix("zz\"}"))
    }

    #if os(Linux)
        @Test("to a terminal a CSV drives nothing")
        func terminal() throws {
            #expect(try tool.run("add", "--", "printf", "\\033[2J,x").status == 0)
            #expect(try tool.run("worker", "--drain").status == 0)
            let terminal = try OutputTerminal()
            let end = try tool.start(
                shell: "exec \(Tool.path) export --what results --format csv > \(terminal.path)"
            ).end()
            #expect(end.status == 0)
            let text = terminal.text()
            #expect(text.contains("\\u{1b}[2J,x") && !text.contains("\u{1B}"), "\(text)")
        }
    #endif
}

private enum Echo: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) {
        result.append(payload)
    }
}

private struct Long: Job {
    func run(_ context: JobContext) throws -> String { String(repeating: "z", count: 2_000_000) }
}
