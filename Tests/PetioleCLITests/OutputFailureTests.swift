import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Standard output that fails", .ownThreads) struct OutputFailureTests {
    let tool = Tool()

    static let commands = [
        "status", "jobs", "jobs --json", "show 1", "show --json 1", "show --stdout 1", "doctor",
        "cancel 1", "prune --older-than 7d", "--help",
    ]

    #if os(Linux)
        @Test(
            "what cannot be printed ends every command with a sentence and status 74",
            arguments: commands)
        func full(command: String) throws {
            _ = try tool.run("run", "echo", ":::", "a")
            let end = try tool.start(shell: "\(Tool.path) \(command) > /dev/full").end()
            #expect(end.status == 74)
            #expect(
                end.errorOutput.hasPrefix(
                    "petiole: standard output cannot be written: No space left on device"))
        }
    #endif

    @Test("so does a closed output, and nothing of the store takes its number", arguments: commands)
    func closed(command: String) throws {
        _ = try tool.run("run", "echo", ":::", "a")
        let end = try tool.start(shell: "\(Tool.path) \(command) >&-").end()
        #expect(end.status == 74)
        #expect(end.errorOutput == "petiole: standard output is closed\n")
        #expect(try tool.run("doctor").output.contains("is whole"))
    }

    @Test(
        "a job whose id cannot be printed is added once, and its id said",
        arguments: ["", "--json"])
    func added(option: String) throws {
        let end = try tool.start(shell: "\(Tool.path) add \(option) -- true >&-").end()
        #expect(end.status == 74)
        #expect(
            end.errorOutput == """
                petiole: standard output is closed
                         the job is on the disk all the same, with the id 1

                """)
        #expect(try tool.run("jobs", "--json").lines.count == 1)
    }

    @Test("a run whose output is closed says so, and the same line prints what is recorded")
    func run() throws {
        let line = "\(Tool.path) run 'echo {} | tee -a ran' ::: a"
        let end = try tool.start(shell: "\(line) >&-").end()
        #expect(end.status == 125)
        #expect(
            end.errorOutput == """
                petiole: standard output is closed
                         what the commands wrote is recorded: start the same line again with another output

                """)
        #expect(try tool.start(shell: line).end().output == "a\n")
        #expect(tool.read("ran") == "a\n")
    }

    @Test("a reader that goes away is told nothing", arguments: ["jobs --json", "show --stdout 1"])
    func pipe(command: String) throws {
        let inputs = (1...3_000).map(String.init).joined(separator: "\n")
        _ = try tool.run("run", "-j2", "seq", "50000", ":::", "1")
        _ = try tool.run("run", "true", input: inputs)
        // The tool waits for the reader to be gone.
        let line = "{ read x < gone; \(Tool.path) \(command); } | { exec <&-; echo > gone; }"
        mkfifo(tool.file("gone"), 0o600)
        let end = try tool.start(shell: line).end()
        #expect(end.errorOutput == "")
    }
}
