import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Tail and tree by the tool", .ownThreads) struct TailCommandTests {
    let tool = Tool()

    @Test("what happens is printed as it happens, with its jobs, and Ctrl-C ends it")
    func tail() throws {
        _ = try tool.run("add", "--", "true")
        let tail = try tool.start(["tail", "--json"])
        _ = try tail.line(beginning: "petiole: follows", inErrors: true)
        let failed = try tool.start(["tail", "--event", "failed"])
        _ = try failed.line(beginning: "petiole: follows", inErrors: true)
        _ = try tool.run("add", "--", "sh", "-c", "exit 3")
        let accepted = try tail.line(beginning: "{")
        #expect(
            accepted.contains(
                #""event":"accepted","id":2,"queue":"commands","name":"petiole.command","priority":4}"#
            ))
        _ = try tool.run("worker", "--drain")
        let line = try failed.line(beginning: "2")
        #expect(
            line.contains("  2  failed  commands  sh -c 'exit 3'")
                && line.contains("it exited with status 3"))
        tail.send(SIGINT)
        failed.send(SIGTERM)
        let end = tail.end()
        #expect(end.status == 0)
        #expect(
            end.lines.contains {
                $0.contains(#""event":"succeeded","id":1,"#)
                    && $0.contains(#""attempt":1,"started":"#)
            })
        #expect(failed.end().lines.count == 1)
    }

    @Test("who goes on behind a position finds what was kept, or is told that something is missing")
    func position() throws {
        _ = try tool.run("add", "--", "true")
        _ = try tool.run("tail", "--keep")
        _ = try tool.run("add", "--", "true")
        let tail = try tool.start(["tail", "--json", "--from", "0"])
        // What was before is not known.
        #expect(try tail.line(beginning: "{").contains(#""event":"missed"}"#))
        let line = try tail.line(beginning: #"{"v":1,"position":2"#)
        #expect(line.contains(#""event":"accepted","id":2"#))
        tail.send(SIGINT)
        #expect(tail.end().status == 0)
        _ = try tool.run("tail", "--forget")
        let again = try tool.start(["tail", "--json", "--from", "2"])
        #expect(try again.line(beginning: "{").contains(#""event":"missed"}"#))
        again.send(SIGINT)
        #expect(again.end().status == 0)
        #expect(try tool.run("tail", "--keep", "--forget").status == 64)
        #expect(try tool.run("tail", "--event", "started").status == 64)
    }

    @Test("the tree of a job that has none is the job alone")
    func tree() throws {
        _ = try tool.run("add", "--", "true")
        #expect(try tool.run("show", "--tree", "1").output == "1 ready petiole.command  <\n")
        #expect(
            try tool.run("show", "--tree", "--json", "1").output.contains(
                #""depth":0,"parent":null}"#))
        #expect(try tool.run("show", "--tree", "7").status == 66)
        #expect(try tool.run("show", "--tree", "--limit", "0", "1").status == 64)
    }
}
