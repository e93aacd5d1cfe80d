import Testing

@testable import PetioleCLI

@Suite("petiole run, stopped and gone on with", .ownThreads) struct RunControlTests {
    let tool = Tool()

    @Test("what failed stays failed, until it is to run once more")
    func retryFailed() throws {
        let line = ["test -f {}", ":::", "here", "there", "nowhere"]
        func run(_ options: String...) throws -> Tool.End {
            try tool.run(bytes: (["run"] + options + line).map { Array($0.utf8) })
        }
        try tool.write("", to: "here")
        #expect(try run().status == 2)
        try tool.write("", to: "there")
        #expect(try run().status == 2)
        let again = try run("--retry-failed")
        #expect(again.status == 1)
        #expect(
            again.errorOutput.contains("2 jobs that had not succeeded will run once more"),
            "\(again.errorOutput)")
        try tool.write("", to: "nowhere")
        #expect(try run("--retry-failed").status == 0)
        #expect(try run("--retry-failed").errorOutput.contains("nothing has failed before"))
        #expect(try run("--fresh", "--retry-failed").status == 64)
    }

    @Test("a command that takes too long is asked to end, and has failed")
    func timeout() throws {
        let end = try tool.run("run", "--timeout", "1s", "sleep {}", ":::", "1000")
        #expect(end.status == 1)
        #expect(try tool.run("jobs", "--json").output.contains("longer than 1.0 seconds"))
        #expect(try tool.run("run", "--timeout", "soon", "sleep {}", ":::", "1").status == 64)
    }

    @Test("a run stops when so many have failed, succeeded or ended, and the same line goes on")
    func halt() throws {
        let inputs = (1...20).map(String.init).joined(separator: "\n")
        let line = "test {} -gt 3 && echo {}"
        let failed = try tool.run(
            "run", "-j1", "--halt", "soon,fail=3", line, input: inputs)
        #expect(failed.status == 3, "\(failed.errorOutput)")
        #expect(failed.errorOutput.contains("halted, since 3 commands failed: "))
        #expect(failed.errorOutput.contains("the same line again goes on from here"))
        let rest = try tool.run("run", "-j1", line, input: inputs)
        #expect(rest.status == 3)
        #expect(Set(rest.lines + failed.lines) == Set((4...20).map(String.init)))
        // What runs is asked to end, and is run again.
        let now = try tool.run(
            "run", "-j2", "--halt", "now,success=1", "sleep {}", ":::", "0", "1000")
        #expect(now.status == 0, "\(now.errorOutput)")
        #expect(
            now.errorOutput.contains("halted, since 1 command succeeded: 1 job ended, 1 is left"))
        let half = try tool.run(
            "run", "-j1", "--halt", "soon,fail=50%", "sleep 0.1; test {} = 1", input: inputs)
        #expect(half.status == 10, "\(half.errorOutput)")
        #expect(half.errorOutput.contains("halted, since 10 commands of 20 failed: 11 jobs"))
        #expect(try tool.run("run", "--halt", "later,fail=1", "true", ":::", "a").status == 64)
        // Reached with the last one, it is no matter.
        let all = try tool.run("run", "--halt", "soon,done=2", "true", ":::", "a", "b")
        #expect(all.status == 0 && !all.errorOutput.contains("halted"))
    }

    @Test(
        "a rule of when to stop is read, or refused",
        arguments: [
            ("soon,fail=1", HaltRule.Counted.fail, HaltRule.Bound.number(1), false),
            ("now,done=50%", .done, .percent(50), true),
            ("now,success=1000", .success, .number(1_000), true),
        ])
    func rules(text: String, counted: HaltRule.Counted, bound: HaltRule.Bound, isNow: Bool) throws {
        let rule = try #require(HaltRule(text))
        #expect(rule.counted == counted && rule.bound == bound && rule.isNow == isNow)
        for wrong in [
            "", "soon", "fail=1", "soon,fail", "soon,fail=0", "now,done=101%", "soon,fail=x",
        ] {
            #expect(HaltRule(wrong) == nil, "\(wrong)")
        }
        let percent = try #require(HaltRule("soon,fail=25%"))
        #expect(percent.reason(ended: 4, failed: 2, total: 4) == nil)
        #expect(percent.reason(ended: 5, failed: 3, total: 12) == "3 commands of 12 failed")
        #expect(percent.reason(ended: 13, failed: 3, total: 13) == nil)
        #expect(percent.reason(ended: 12, failed: 12, total: nil) == nil)
    }

    @Test(
        "outputs come in the order of the inputs when that is asked for, also of a run that goes on"
    )
    func keepOrder() throws {
        let line =
            "if test {} = 1; then until test -f last; do sleep 0.01; done; fi; test {} != 9 || touch last; echo {}"
        let inputs = (1...9).map(String.init)
        let end = try tool.run(
            bytes: (["run", "-k", "-j3", line, ":::"] + inputs).map { Array($0.utf8) })
        #expect(end.lines == inputs, "\(end.errorOutput)")
        // What is retried stands in its place among what ended before.
        let some = ["run", "-k", "-j2", "test {} != 3 -o -e go && echo {}", ":::"] + inputs
        #expect(
            try tool.run(bytes: some.map { Array($0.utf8) }).lines == inputs.filter { $0 != "3" })
        try tool.write("", to: "go")
        let retried = some[..<1] + ["--retry-failed"] + some[1...]
        #expect(try tool.run(bytes: retried.map { Array($0.utf8) }).lines == inputs)
        // Of a run that was stopped, what has ended is printed all the same.
        let stopped = try tool.run(
            "run", "-k", "-j2", "--halt", "now,success=1", "sleep {}; echo {}", ":::", "1000", "0")
        #expect(stopped.lines == ["0"])
    }

    @Test("jobs that have ended are given out in the order in which they are expected")
    func order() {
        var order = PrintOrder()
        order.expect([5...7, 10...10])
        order.add([6...6])
        #expect(order.next(orAny: false) == nil)
        order.add([10...10])
        order.add([5...5])
        #expect(order.next(orAny: false) == 5)
        #expect(order.next(orAny: false) == 6)
        #expect(order.next(orAny: false) == nil)
        #expect(order.next(orAny: true) == 10)
        #expect(order.next(orAny: true) == nil)
        order.add([7...7])
        order.expect((100..<3_000).map { $0...$0 })
        #expect(order.next(orAny: false) == 7)
        // 10 was given out of turn.
        #expect(order.next(orAny: false) == nil)
        order.add([10...10, 100...2_999])
        var given: [UInt64] = []
        while let id = order.next(orAny: false) { given.append(id) }
        #expect(given == [10] + Array(100..<3_000))
    }
}
