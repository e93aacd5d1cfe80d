import Testing

@testable import PetioleCLI

@Suite("Logs and lists of runs", .ownThreads) struct RunLogTests {
    let tool = Tool()

    @Test("each command that ends has a line in the job log, in the columns of GNU parallel")
    func jobLog() throws {
        let line = "printf %s {}; exit {}"
        #expect(
            try tool.run("run", "-j1", "--joblog", "log", line, ":::", "0", "3").status == 1)
        #expect(
            try tool.run("run", "-j1", "--joblog", "log", "kill -9 $$; :", ":::", "a b").status == 1
        )
        let rows = tool.read("log").split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        #expect(rows.count == 4)
        #expect(
            rows[0] == [
                "Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal",
                "Command",
            ])
        for row in rows.dropFirst() {
            try #require(row.count == 9)
            #expect(row[1] == ":" && row[4] == "0")
            #expect(try #require(Double(row[2])) > 1_700_000_000)
            #expect(try #require(Double(row[3])) < 600)
        }
        #expect(rows[1][5...7] == ["1", "0", "0"])
        #expect(rows[2][5...7] == ["1", "3", "0"])
        #expect(rows[3][5...7] == ["0", "0", "9"])
        // What stands there can be run again.
        let again = try tool.start(shell: rows[2][8]).end()
        #expect(again.status == 3 && again.output == "3")
        // What had ended before is in it already.
        #expect(try tool.run("run", "--joblog", "log", line, ":::", "0", "3").status == 1)
        #expect(tool.read("log").split(separator: "\n").count == 4)
        // One that could not be started.
        #expect(try tool.run("run", "--joblog", "log", "{}", "x", ":::", "./missing").status == 1)
        let last = tool.read("log").split(separator: "\n").last?.split(separator: "\t")
        #expect(last?[6] == "127")
        let bad = try tool.run("run", "--joblog", "none/log", "true", ":::", "a")
        #expect(bad.status == 125 && bad.errorOutput.contains("none/log cannot be written"))
    }

    @Test("the runs of a store are listed, with what is left of them")
    func runs() throws {
        #expect(try tool.run("run", "--runs").status == 66)
        _ = try tool.run("run", "test {} -lt 2", ":::", "0", "1", "2")
        _ = try tool.run("run", "printf", "%s", "<{}>", ":::", "a", "b")
        _ = try tool.run("add", "--", "true")
        let list = try tool.run("run", "--runs")
        #expect(list.status == 0)
        #expect(list.lines.count == 3, "\(list.output)")
        #expect(list.lines.contains { $0.contains(" 3 ") && $0.hasSuffix("'test {} -lt 2'") })
        #expect(
            list.lines.contains {
                $0.hasSuffix("printf '%s' '<{}>'") || $0.hasSuffix("printf %s '<{}>'")
            },
            "\(list.output)")
        let json = try tool.run("run", "--runs", "--json")
        #expect(
            json.output.contains(#""jobs":3,"succeeded":2,"failed":1,"left":0,"pid":null"#),
            "\(json.output)")
        #expect(try tool.run("run", "--json", "true", ":::", "a").status == 64)
    }
}
