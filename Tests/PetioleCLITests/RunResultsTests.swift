import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Results of petiole run, and what is run once more", .ownThreads) struct RunResultsTests {
    let tool = Tool()

    @Test("what each command wrote and came to is in files of its own")
    func layout() throws {
        let end = try tool.run(
            "run", "-j1", "--results", "a/b", "echo out {}; echo err >&2; exit 3", ":::", "x/y",
            "..", "x/y")
        #expect(end.status == 3)
        #expect(end.output == "out x/y\nout ..\nout x/y\n")
        for (folder, job) in [("x+zy", "1"), ("+..", "2"), ("x+zy+n2", "3")] {
            let path = "a/b/1/\(folder)"
            #expect(tool.read("\(path)/exitval") == "3\n", "\(folder)")
            #expect(tool.read("\(path)/seq") == "\(job)\n")
            #expect(tool.read("\(path)/stderr") == "err\n")
            #expect(tool.read("\(path)/stdout").hasPrefix("out "))
        }
        _ = try tool.run("run", "--results", "r", "kill -9 $$ # {}", ":::", "k")
        #expect(tool.read("r/1/k/exitval") == "137\n")
        _ = try tool.run("run", "--results", "r", "head -c 3000000 /dev/zero # {}", ":::", "long")
        var info = stat()
        #expect(stat(tool.file("r/1/long/stdout"), &info) == 0 && info.st_size == 3_000_000)
    }

    @Test(
        "results that are not there, or not whole, are written when the same line is started again")
    func missing() throws {
        func start() throws -> Tool.End {
            try tool.run("run", "--results", "r", "echo ran >> ran; echo {}", ":::", "1", "2")
        }
        #expect(try start().status == 0)
        unlink(tool.file("r/1/1/exitval"))
        try tool.write("half", to: "r/1/1/stdout")
        try tool.write("mine", to: "r/1/2/stdout")
        #expect(try start().status == 0)
        #expect(tool.read("r/1/1/stdout") == "1\n" && tool.read("r/1/1/exitval") == "0\n")
        // One that is whole is left alone.
        #expect(tool.read("r/1/2/stdout") == "mine")
        #expect(tool.read("ran") == "ran\nran\n")
    }

    @Test("results that cannot be written end the run, which the same line goes on with")
    func unwritable() throws {
        try tool.write("", to: "file")
        let end = try tool.run("run", "--results", "file/x", "echo {}", ":::", "1")
        #expect(end.status == 125)
        #expect(end.errorOutput.contains("results cannot be written to file/x: "))
        #expect(try tool.run("run", "--results", "dir", "echo {}", ":::", "1").status == 0)
        #expect(tool.read("dir/1/1/stdout") == "1\n")
    }

    @Test("any value has a name of its own for its folder, which fits and leads nowhere else")
    func names() {
        let values: [[UInt8]] = [
            [], [46], [46, 46], Array("a/b".utf8), Array("a+zb".utf8), Array("+e".utf8),
            Array("+.".utf8), [0xFF], Array("ÿ".utf8), [10], Array("a+n2".utf8),
            Array(repeating: 120, count: 200), Array(repeating: 120, count: 201),
            Array(repeating: 120, count: 60_000), Array(repeating: 47, count: 60_000),
            Array(String(repeating: "ä", count: 300).utf8), Array(repeating: 0xC3, count: 300),
        ]
        var names: Set<[UInt8]> = []
        for value in values {
            for occurrence in [1, 2, 1_000_000] {
                let name = ResultFolder.name(of: value, occurrence: occurrence)
                #expect((1...255).contains(name.count))
                #expect(
                    !name.contains(47) && !name.contains(0) && name != [46] && name != [46, 46])
                #expect(String(validating: name, as: UTF8.self) != nil)
                names.insert(name)
            }
        }
        #expect(names.count == values.count * 3)
    }

    @Test("all that is listed runs once more when that is asked for, and nothing else does")
    func redo() throws {
        let line = "echo {} >> ran; echo did {}; test {} != 3"
        func start(_ options: String..., inputs: String...) throws -> Tool.End {
            let words = ["run", "-j1", "-k"] + options + [line, ":::"] + inputs
            return try tool.run(bytes: words.map { Array($0.utf8) })
        }
        #expect(try start(inputs: "1", "2", "3").status == 1)
        let again = try start("--redo", inputs: "3", "1", "4")
        #expect(again.output == "did 3\ndid 1\ndid 4\n", "\(again.errorOutput)")
        #expect(again.status == 1)
        #expect(again.errorOutput.contains("2 jobs that had ended run once more"))
        let ran = tool.read("ran").split(separator: "\n").map(String.init)
        #expect(ran.prefix(3) == ["1", "2", "3"])
        #expect(ran.dropFirst(3).sorted() == ["1", "3", "4"])
        // The same jobs, with what they came to before.
        let jobs = try tool.run("jobs", "--json").lines
        #expect(jobs.count == 4)
        let known = try start(inputs: "1", "2", "3", "4")
        #expect(known.errorOutput.contains("this run is finished: 4 jobs, 1 not well"))
        #expect(try start("--redo", "--fresh", inputs: "1").status == 64)
        #expect(try start("--redo", "--retry-failed", inputs: "1").status == 64)
        let dry = try start("--redo", "--dry-run", inputs: "1", "9")
        #expect(dry.lines.count == 2)
    }
}
