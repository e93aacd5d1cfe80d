import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("What commands of petiole run find", .ownThreads) struct RunSurroundingsTests {
    let tool = Tool()

    @Test(
        "variables, the working directory, the place of temporary files and niceness are as asked")
    func all() throws {
        tool.makeFolder("elsewhere")
        tool.makeFolder("tmp")
        let end = try tool.run(
            "run", "--env", "A=x=y", "--env", "SECRET", "--workdir", "elsewhere", "--tmpdir", "tmp",
            "--nice", "4", "echo $A $SECRET; pwd; echo $TMPDIR; nice; echo {}", ":::", "in put")
        #expect(
            end.lines == [
                "x=y s3cret", tool.file("elsewhere"), tool.file("tmp"), "4", "in put",
            ], "\(end.output) \(end.errorOutput)")
        // Words as well, without a shell.
        let words = try tool.run("run", "--env", "A=1", "--nice", "3", "printenv", ":::", "A")
        #expect(words.output == "1\n")
        #expect(
            try tool.run("run", "--runs").lines.contains {
                $0.hasSuffix(" printenv '{}'") || $0.hasSuffix(" printenv")
            })
    }

    @Test("what is not there is refused before anything is enqueued")
    func refused() throws {
        for options in [
            ["--workdir", "none"], ["--tmpdir", "none"], ["--env", "NONE"], ["--env", "=a"],
            ["--nice", "20"], ["--nice", "-1"],
        ] {
            let end = try tool.run(
                bytes: (["run"] + options + ["true", ":::", "a"]).map { Array($0.utf8) })
            #expect(end.status == 64, "\(options)")
        }
        #expect(!tool.exists(".petiole"))
    }

    @Test(
        "a job that goes on later has what it had when it was accepted, and the same line is the same run"
    )
    func kept() throws {
        let line = "test {} = 1 && { test -e go || exec sleep 600; }; echo $A {}"
        let first = try tool.start(
            ["run", "-j1", "--env", "A=old", "--nice", "2", line + "; nice", ":::", "0", "1", "2"])
        _ = try first.line(beginning: "2")
        first.send(SIGKILL)
        _ = first.end()
        try tool.write("", to: "go")
        let second = try tool.run(
            "run", "-j1", "--env", "A=new", line + "; nice", ":::", "0", "1", "2", "3")
        #expect(second.status == 0)
        #expect(
            second.lines == ["old 0", "2", "old 1", "2", "old 2", "2", "new 3", "0"],
            "\(second.lines)")
    }

    @Test("a dry run shows what commands would find")
    func dryRun() throws {
        tool.makeFolder("elsewhere")
        let end = try tool.run(
            "run", "--dry-run", "--env", "A=1 2", "--nice", "5", "--workdir", "elsewhere",
            "printenv", ":::", "A")
        #expect(
            end.output
                == "cd -- \(tool.file("elsewhere")) && nice -n 5 env 'A=1 2' printenv A\n")
        #expect(try tool.start(shell: end.output).end().output == "1 2\n")
    }
}
