import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Bad input of the tool", .ownThreads) struct BadInputTests {
    let tool = Tool()

    @Test("a program that does not exist is refused, and no store is made for it")
    func noProgram() throws {
        let end = try tool.run("run", "no-such-program-here", "{}", ":::", "a")
        #expect(end.status == 127)
        #expect(
            end.errorOutput.hasPrefix("petiole: there is no program no-such-program-here in PATH"))
        #expect(!tool.exists(".petiole"))
        try tool.write("text", to: "file")
        #expect(try tool.run("run", "./file", "{}", ":::", "a").status == 126)
    }

    @Test("a run without inputs is refused, and no store is made for it")
    func noInputs() throws {
        for end in [try tool.run("run", "echo", ":::"), try tool.run("run", "echo", input: "\n\n")]
        {
            #expect(end.status == 64)
            #expect(end.errorOutput.hasPrefix("petiole: there are no inputs"))
        }
        #expect(!tool.exists(".petiole"))
    }

    @Test("a line that computes with the input is refused, and what it is told to write works")
    func arithmetic() throws {
        let input = "a[$(touch pwned)]"
        let end = try tool.run("run", "echo $(({}+1))", ":::", "5", input)
        #expect(end.status == 64)
        #expect(end.errorOutput.hasPrefix("petiole: {} stands inside $(( ))"))
        #expect(!tool.exists(".petiole"))
        let computed = try tool.run("run", "-j1", "echo $(expr {} + 1)", ":::", "5")
        #expect(computed.output == "6\n")
        #expect(computed.status == 0)
        _ = try tool.run("run", "-j1", "echo $(expr {} + 1)", ":::", input)
        #expect(!tool.exists("pwned"))
    }

    @Test("a run without a command, and unknown options, are wrong usage")
    func usage() throws {
        #expect(try tool.run("run", ":::", "a").status == 64)
        #expect(try tool.run("run", "--no-such-option", "echo", ":::", "a").status == 64)
        #expect(try tool.run("run", "-j", "x", "echo", ":::", "a").status == 64)
        #expect(try tool.run("add").status == 64)
        #expect(try tool.run("add", "--queue", "../x", "--", "true").status == 64)
        #expect(try tool.run("show", "none").status == 64)
        #expect(try tool.run("prune", "--older-than", "soon").status == 64)
    }

    @Test(
        "a value out of its bounds is answered by what is allowed",
        arguments: [
            ("run --retries -1 true ::: a", "--retries takes 0 to 254"),
            ("run -j 129 true ::: a", "--jobs (-j) takes 1 to 128, 50% of the processors"),
            ("worker -j-1", "--jobs (-j) takes 1 to 128"),
            ("add --retries -1 -- true", "--retries takes 0 to 254"),
            ("add --priority -1 -- true", "--priority takes 0 to 9"),
            ("jobs --limit -1", "--limit takes 0 or more"),
            ("prune --older-than -1d", "--older-than takes a number and one of s, m, h, d, w"),
        ])
    func bounds(arguments: String, sentence: String) throws {
        let end = try tool.start(shell: "\(Tool.path) \(arguments)").end()
        #expect(end.status == 64)
        #expect(end.errorOutput.hasPrefix("Error: \(sentence)"))
    }

    @Test("what was typed steers no terminal: in an error it stands escaped")
    func typedEscapes() throws {
        let red = Array("1\u{1B}[31m".utf8)
        for arguments in [["show"], ["no-such-command"], ["jobs", "--limit"], ["prune", "--x"]] {
            let end = try tool.run(bytes: arguments.map { Array($0.utf8) } + [red])
            #expect(end.status == 64)
            #expect(!end.errorOutput.contains("\u{1B}"))
        }
        #expect(
            try tool.run(bytes: [Array("show".utf8), red]).errorOutput.contains(
                #"The value '1\u{1b}[31m' is invalid"#))
        let bytes = try tool.run(bytes: [Array("show".utf8), [0x31, 0xFF]])
        #expect(bytes.errorOutput.contains("The value '1\u{FFFD}' is invalid"))
    }

    @Test(
        "an input that no argument can hold ends the run with a sentence, and loses none before it")
    func badInput() throws {
        let zero = try tool.run("run", "-j1", "echo", input: "a\nb\0c\n")
        #expect(zero.status == 125)
        #expect(zero.errorOutput.contains("input 2 holds a zero byte"))
    }

    @Test(
        "a store path that is a file or a foreign folder is refused and left alone",
        arguments: ["file", "folder"])
    func notAStore(kind: String) throws {
        if kind == "file" {
            try tool.write("text", to: "file")
        } else {
            tool.makeFolder("folder")
            try tool.write("text", to: "folder/other")
        }
        let end = try tool.run("add", "--store", kind, "--", "true")
        #expect(end.status == 66)
        #expect(end.errorOutput.contains("\(kind) is not a store"))
        #expect(tool.read(kind == "file" ? "file" : "folder/other") == "text")
    }

    @Test(
        "a store in a directory that does not exist is not made, and the directory is named",
        arguments: [
            ["add", "--store", "x y/z/store/", "--", "true"], ["worker", "--store", "x y/z/store"],
        ])
    func noParent(arguments: [String]) throws {
        let end = try tool.run(bytes: arguments.map { Array($0.utf8) })
        #expect(end.status == 73)
        #expect(
            end.errorOutput == """
                petiole: no store can be made at x y/z/store: there is no directory x y/z
                         make it first: mkdir -p 'x y/z'

                """)
        #expect(!tool.exists("x y"))
    }

    @Test(
        "looking where there is no store says so and makes none",
        arguments: ["status", "jobs", "doctor"])
    func noStore(command: String) throws {
        let end = try tool.run("\(command)")
        #expect(end.status == 66)
        #expect(end.errorOutput.hasPrefix("petiole: there is no store"))
        #expect(!tool.exists(".petiole"))
        #expect(try tool.run("show", "1", "--store", "nowhere").status == 66)
    }
}
