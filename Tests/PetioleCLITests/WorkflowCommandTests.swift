import Foundation
import Petiole
import Testing

@Suite("petiole workflow", .ownThreads) struct WorkflowCommandTests {
    let tool = Tool()

    /// Two that begin, a group behind the first, and one behind all.
    private var graph: Graph {
        var graph = Graph()
        graph.add("start", Make(number: 1), weight: 2)
        graph.add("other \"start\"", Make(number: 2))
        graph.add("parts", Group(count: 3, name: "parts") { Make(number: $0) }, after: ["start"])
        graph.add("end", Make(number: 3), after: ["parts", "other \"start\""], weight: 4)
        return graph
    }

    /// A chain that stops at its second step.
    private func stall(_ number: Int, _ store: JobStore) async throws -> JobID {
        let chain = Workflow(Make(number: 1), name: "first")
            .then(independent: Break(number: number), name: "breaks", weight: 2)
            .then(independent: Make(number: 2), name: "last")
        let id = try await store.enqueue(chain, name: "nightly").id
        try await store.runAll()
        return id
    }

    /// The lines but the last, without the widths of columns and how long anything took.
    private func shapes(_ shown: Tool.End) -> [String] {
        shown.lines.dropLast().map { line in
            line.replacing(#/\d[\d.]* (s|min \d+ s)/#, with: "T")
                .replacing(#/ {2,}succeeded/#, with: "  succeeded")
        }
    }

    // MARK: For people

    @Test("each step is drawn once, with what it comes after where that is not the step above")
    func draws() async throws {
        try await tool.withStore { _ = try await $0.enqueue(graph, name: "build") }
        let shown = try tool.run("workflow", "show", "1")
        #expect(shown.status == 0)
        #expect(
            shown.lines.dropLast() == [
                "1 build: awaiting, 0 of 6 jobs done, 0 % by weight",
                "├─ 2 start          ready",
                "├─ 3 other \"start\"  ready     from the start",
                "├─ 4…6 parts        awaiting  0 of 3 done, after start",
                "└─ 7 end            awaiting  after other \"start\", parts",
            ])
        #expect(shown.lines.last?.hasPrefix("accepted 20") == true)
        #expect(try tool.run("workflow", "show", "5").output == shown.output)
    }

    @Test("what a job gave way to is drawn below it, and run times stand beside what has ended")
    func nested() async throws {
        try await tool.withStore { store in
            let chain = Workflow(Split()).then(independent: Make(number: 3), name: "after it")
            _ = try await store.enqueue(chain, name: "outer")
            try await store.runAll()
        }
        let shapes = shapes(try tool.run("workflow", "show", "1"))
        #expect(
            shapes == [
                "1 outer: succeeded, 2 of 2 jobs done, 100 % by weight",
                "├─ 2 Split  succeeded  attempt 1, T, gave way",
                "│  ├─ 4 inner one  succeeded  attempt 1, T",
                "│  └─ 5 inner two  succeeded  attempt 1, T",
                "└─ 3 after it  succeeded  attempt 1, T",
            ])
        let bounded = try tool.run("workflow", "show", "--limit", "2", "1")
        #expect(bounded.lines.count == 4)
        #expect(bounded.errorOutput.contains("raise --limit"))
        let list = try tool.run("workflow", "list")
        #expect(list.lines.count == 2 && list.lines[1].hasSuffix("outer"))
    }

    @Test("what members of a group gave way to is drawn below the group, a line for each")
    func nestedInGroup() async throws {
        try await tool.withStore { store in
            let chord = Group(count: 2, name: "parts") { _ in Split() }
                .then(independent: Make(number: 3), name: "after all")
            _ = try await store.enqueue(chord, name: "outer")
            try await store.runAll()
        }
        #expect(
            shapes(try tool.run("workflow", "show", "1")) == [
                "1 outer: succeeded, 3 of 3 jobs done, 100 % by weight",
                "├─ 2…3 parts  succeeded  2 of 2 done, T",
                "│  ├─ 2  succeeded  2 of 2 done",
                "│  │  ├─ 5 inner one  succeeded  attempt 1, T",
                "│  │  └─ 6 inner two  succeeded  attempt 1, T",
                "│  └─ 3  succeeded  2 of 2 done",
                "│     ├─ 7 inner one  succeeded  attempt 1, T",
                "│     └─ 8 inner two  succeeded  attempt 1, T",
                "└─ 4 after all  succeeded  attempt 1, T",
            ])
    }

    @Test("of a workflow that stopped, cause and next step are named, and that step carries it on")
    func stalled() async throws {
        let id = try await tool.withStore { try await stall(8_100, $0) }
        let shown = try tool.run("workflow", "show", "\(id)").lines
        #expect(
            shown[0] == "1 nightly: dead, 3 of 3 jobs done, 2 of them not well, 100 % by weight")
        #expect(shown[2].hasPrefix("├─ 3 breaks  dead       attempt 2, "))
        #expect(shown[3] == "└─ 4 last    cancelled")
        #expect(
            shown.suffix(2) == [
                "cause: job 3, Break, dead at attempt 2: no 8100 to be had",
                "next: petiole requeue 1 carries it on from there; what has succeeded stays",
            ])
        #expect(
            try tool.run("requeue", "3").output
                == "3 requeued, workflow 1 goes on: 1 of 3 jobs are done\n")
        Break.mended.withLock { _ = $0.insert(8_100) }
        try await tool.withStore { try await $0.runAll() }
        #expect(
            try tool.run("workflow", "show", "1").lines[0]
                == "1 nightly: succeeded, 3 of 3 jobs done, 100 % by weight")
        #expect(try tool.run("requeue", "--json", "1").output.contains(#""result":"succeeded""#))
    }

    @Test("a requeue of the workflow's job carries it on too, a cancel stops what has not started")
    func requeuedAndCancelled() async throws {
        let id = try await tool.withStore { try await stall(8_200, $0) }
        #expect(
            try tool.run("requeue", "\(id)").output
                == "1 requeued, workflow 1 goes on: 1 of 3 jobs are done\n")
        #expect(
            try tool.run("cancel", "\(id)").output
                == "1 stopping, it ends when nothing of its workflow runs\n")
        // Whoever runs the queue records the step that was ready as cancelled.
        try await tool.withStore { try await $0.runAll() }
        #expect(try tool.run("jobs", "--state", "cancelled", "--json").lines.count == 3)
        #expect(
            try tool.run("workflow", "list", "--state", "awaiting").output == "no such workflows\n")
        #expect(try tool.run("workflow", "list", "--state", "cancelled").lines.count == 2)
        #expect(try tool.run("cancel", "\(id)").output == "1 ended\n")
    }

    @Test("no line is wider than 80 columns, however many steps one comes after")
    func columns() async throws {
        try await tool.withStore { store in
            var graph = Graph()
            let long = (1...8).map { "step number \($0) of a rather long name" }
            for name in long { graph.add(name, Make(number: 1)) }
            graph.add("end", Make(number: 1), after: long)
            graph.add("again", Make(number: 1), after: ["end", long[0]])
            _ = try await store.enqueue(graph)
        }
        let lines = try tool.run("workflow", "show", "1").lines
        #expect(lines.allSatisfy { $0.count <= 80 })
        #expect(lines.contains { $0.hasSuffix("and 3 others") })
    }

    // MARK: For programs

    @Test("a workflow is one object of JSON, with its steps and what they gave way to")
    func json() async throws {
        try await tool.withStore { store in
            let chain = Workflow(Split(), name: "a \"b\"\n")
                .then(independent: Break(number: 8_300), name: "breaks")
            _ = try await store.enqueue(chain, name: "outer")
            try await store.runAll()
        }
        let end = try tool.run("workflow", "show", "--json", "1")
        #expect(end.lines.count == 1)
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(end.output.utf8)) as? [String: Any])
        #expect(object["v"] as? Int == 1 && object["name"] as? String == "outer")
        #expect(object["state"] as? String == "dead" && object["cause"] as? Int == 3)
        #expect((object["error"] as? String)?.hasSuffix("no 8300 to be had") == true)
        #expect(object["more"] as? Bool == false)
        let steps = try #require(object["steps"] as? [[String: Any]])
        #expect(steps.map { $0["name"] as? String } == ["a \"b\"\n", "breaks"])
        #expect(steps.map { $0["state"] as? String } == ["succeeded", "failed"])
        #expect(steps[1]["after"] as? [Int] == [0] && steps[1]["ids"] as? [[Int]] == [[3, 3]])
        let job = try #require(steps[1]["job"] as? [String: Any])
        #expect(job["state"] as? String == "dead" && job["attempt"] as? Int == 2)
        let inner = try #require(steps[0]["inner"] as? [[String: Any]])
        #expect((inner[0]["steps"] as? [Any])?.count == 2)
    }

    @Test(
        "jobs and workflows that await others are listed, those without any are refused with words")
    func lists() async throws {
        try await tool.withStore { store in
            _ = try await store.enqueue(graph, name: "build")
            _ = try await store.enqueue(Make(number: 1))
        }
        let awaiting = try tool.run("jobs", "--state", "awaiting", "--json").lines
        #expect(awaiting.count == 5, "\(awaiting)")
        #expect(awaiting.allSatisfy { $0.contains(#""workflow":1"#) })
        let list = try tool.run("workflow", "list", "--json").lines
        #expect(list.count == 1)
        #expect(
            list[0].contains(#""id":1,"name":"build","state":"awaiting","queue":"default""#)
                && list[0].contains(#""jobs":6,"ended":0,"failed":0,"done":0,"weight":10"#))
        #expect(try tool.run("edit", "7", "--priority", "0").output == "7 awaiting\n")
        let all = try tool.run("edit", "--all", "--priority", "0", "--json").output
        #expect(all.contains(#""awaiting":5"#))
        let alone = try tool.run("workflow", "show", "8")
        #expect(alone.status == 66 && alone.errorOutput.contains("job 8 is part of no workflow"))
        #expect(alone.errorOutput.contains("petiole show 8"))
        let missing = try tool.run("workflow", "show", "99")
        #expect(missing.status == 66 && !missing.errorOutput.contains("no workflow"))
        #expect(try tool.run("workflow", "show", "--dot", "--json", "1").status == 64)
        #expect(try tool.run("jobs", "--help").output.contains("awaiting"))
    }

    // MARK: Pictures

    @Test(
        "a picture for Graphviz has a box a step and an arrow a dependency, and its texts end where they should"
    )
    func dot() async throws {
        try await tool.withStore { store in
            var graph = graph
            graph.add("back\\slash\n\"", Make(number: 1), after: ["end"])
            _ = try await store.enqueue(graph, name: "build")
        }
        let lines = try tool.run("workflow", "show", "--dot", "1").lines
        #expect(lines.first == "digraph {" && lines.last == "}")
        #expect(lines.contains(##"  w1_1 [label="other \"start\"\nready", fillcolor="#cfe2ff"];"##))
        #expect(lines.contains(##"  w1_4 [label="back\\slash\\u{a}\"\nawaiting"];"##))
        #expect(
            lines.filter { $0.contains("->") } == [
                "  w1_0 -> w1_2;", "  w1_1 -> w1_3;", "  w1_2 -> w1_3;", "  w1_3 -> w1_4;",
            ])
    }

    @Test(
        "a picture for Mermaid keeps what would be markup as text, and draws callbacks and what is nested"
    )
    func mermaid() async throws {
        try await tool.withStore { store in
            let chain = Workflow(Split(), name: "\"end\" <b>#1`")
                .onFailure(run: Make(number: 1), name: "tell")
            _ = try await store.enqueue(chain)
            try await store.runAll()
        }
        let lines = try tool.run("workflow", "show", "--mermaid", "1").lines
        #expect(lines.first == "flowchart TD")
        #expect(
            lines.contains(
                ##"  w1_0["#34;end#34; #60;b#62;#35;1#96;<br/>succeeded"]:::succeeded"##))
        #expect(lines.contains(#"  w1_0 -. "on failure" .-> w1_1"#))
        #expect(lines.contains { $0.hasPrefix("  subgraph w2[\"2: succeeded, 2 of 2 jobs done") })
        #expect(lines.contains("    w2_0 --> w2_1"))
    }
}
