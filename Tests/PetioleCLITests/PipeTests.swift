import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole run --pipe", .ownThreads, .timeLimit(.minutes(10))) struct PipeTests {
    let tool = Tool()

    /// Lines of different lengths; the last has no end.
    private static let lines =
        (1...4_000).map { "\($0) " + String(repeating: "x", count: $0 % 37) }
        .joined(separator: "\n")

    enum From: String, CaseIterable, CustomTestStringConvertible {
        case file, input, pipe
        var testDescription: String { rawValue }
    }

    /// The line of a shell whose process becomes the tool.
    private func line(_ options: String, _ command: String, _ from: From) -> String {
        let line = "\(Tool.path) run --pipe --store s \(options)"
        return switch from {
        case .file: "exec \(line) -a in \(command)"
        case .input: "exec \(line) \(command) < in"
        case .pipe: "mkfifo f 2> /dev/null; cat in > f & exec \(line) \(command) < f"
        }
    }

    private func parts(_ range: ClosedRange<Int>) -> String {
        range.map { tool.read("part.\($0)") }.joined()
    }

    @Test("every byte comes once and in order, and no record is cut", arguments: From.allCases)
    func whole(from: From) throws {
        try tool.write(Self.lines, to: "in")
        let end = try tool.start(
            shell: line("-j3 -k --block 5000", "'tee part.{#}'", from)
        ).end()
        #expect(end.status == 0, "\(end.errorOutput)")
        #expect(end.output == Self.lines)
        var number = 1
        while tool.exists("part.\(number + 1)") {
            let part = tool.read("part.\(number)")
            #expect(part.hasSuffix("\n") && part.utf8.count >= 5_000 && part.utf8.count < 5_060)
            number += 1
        }
        #expect(number > 10)
        #expect(parts(1...number) == Self.lines)
        #expect(!tool.exists("s/inputs") || names("s/inputs").isEmpty)
        // The same line has nothing left to do.
        let again = try tool.start(
            shell: line("-j3 -k --block 5000", "'tee part.{#}'", from)
        ).end()
        #expect(again.errorOutput.contains("this run is finished: \(number) jobs"))
        #expect(again.output == Self.lines)
    }

    @Test(
        "killed in the middle, the same line goes on, and every byte comes once",
        arguments: From.allCases)
    func killed(from: From) throws {
        try tool.write(Self.lines, to: "in")
        let line = line(
            "-j1 --block 5000",
            "'cat > part.{#}; echo done {#}; test {#} -lt 3 || test -e go || sleep 1000'", from)
        let first = try tool.start(shell: line)
        _ = try first.line(beginning: "done 2")
        first.send(SIGKILL)
        #expect(first.end().signal == SIGKILL)
        try tool.write("", to: "go")
        // What has ended is not run again, so these stay what they are.
        #expect(parts(1...2).utf8.count >= 10_000)
        unlink(tool.file("part.1"))
        let end = try tool.start(shell: line).end()
        #expect(end.status == 0, "\(end.errorOutput)")
        #expect(!tool.exists("part.1"))
        let last = end.lines.count
        #expect(last > 10)
        #expect(Self.lines.hasSuffix(parts(2...last)))
        #expect(parts(2...last).hasSuffix("\n4000 xxxx"))
        #expect(Set(end.lines) == Set((1...last).map { "done \($0)" }))
        #expect(!tool.exists("s/inputs") || names("s/inputs").isEmpty)
    }

    @Test("a file that was written to in between is no longer what its blocks were listed of")
    func changed() throws {
        let text = Self.lines + "\n"
        let count = BlockCutterTests.blocks(Array(text.utf8), size: 20_000, .lines).count
        try tool.write(text, to: "in")
        let line = line(
            "-j1 --block 20000",
            "'cat > part.{#}; echo done {#}; test {#} -lt 2 || test -e go || sleep 1000'", .file)
        let first = try tool.start(shell: line)
        _ = try first.line(beginning: "done 1")
        first.send(SIGKILL)
        _ = first.end()
        try tool.write("", to: "go")
        try tool.write(text + "more\n", to: "in")
        let second = try tool.start(shell: line).end()
        // All but the first of the file as it was fail; all of the file as it is are run.
        #expect(Int(second.status) == count - 1, "\(second.errorOutput)")
        #expect(parts(1...count) == text + "more\n")
        let jobs = try tool.run("jobs", "--store", "s", "--json").output
        #expect(jobs.contains("has changed since its blocks were listed"), "\(jobs)")
    }

    @Test("a command need not read its block", arguments: From.allCases)
    func unread(from: From) throws {
        try tool.write(String(repeating: Self.lines, count: 20), to: "in")
        let none = try tool.start(shell: line("--block 1M", "true", from)).end()
        #expect(none.status == 0, "\(none.errorOutput)")
        let some = try tool.start(shell: line("-k --block 1M", "head -n 1", from)).end()
        #expect(some.status == 0, "\(some.errorOutput)")
        #expect(some.lines.count == 2 && some.lines[0] == "1 x")
    }

    @Test("an empty input is none, and a wrong line is told why")
    func wrong() throws {
        try tool.write("", to: "in")
        for from in From.allCases {
            let end = try tool.start(shell: line("", "wc", from)).end()
            #expect(end.status == 64 && end.errorOutput.contains("there are no inputs"))
        }
        try tool.write("a\n", to: "in")
        for wrong in [
            "run --pipe 'wc {}' < in", "run --pipe --block 0 wc < in",
            "run --block 10M wc < in", "run --pipe wc ::: a", "run --pipe -0 wc < in",
            "run --pipepart wc < /dev/null", "run --pipe --recend '\\q' wc < in",
        ] {
            let end = try tool.start(shell: "\(Tool.path) \(wrong)").end()
            #expect(end.status == 64, "\(wrong): \(end.errorOutput)")
        }
        let missing = try tool.run("run", "--pipepart", "-a", "missing", "wc")
        #expect(missing.status == 125 && missing.errorOutput.contains("missing cannot be read"))
    }

    @Test("records may begin and end with anything", arguments: From.allCases)
    func separators(from: From) throws {
        try tool.write(">a\n1\n2\n>b\n3\n>c\n4\n", to: "in")
        func run(_ options: String) throws -> [String] {
            let end = try tool.start(shell: line("-k \(options)", "'cat; echo .'", from)).end()
            #expect(end.status == 0, "\(end.errorOutput)")
            return end.output.split(separator: ".\n").map(String.init)
        }
        #expect(try run("--block 1 --recstart '>'") == [">a\n1\n2\n", ">b\n3\n", ">c\n4\n"])
        #expect(try run("--block 8 --recstart '>'") == [">a\n1\n2\n>b\n3\n", ">c\n4\n"])
        #expect(try run("--block 1 --recend '2\\n'") == [">a\n1\n2\n", ">b\n3\n>c\n4\n"])
        #expect(
            try run("--block 1 --recend '3\\n' --recstart '>'") == [">a\n1\n2\n>b\n3\n", ">c\n4\n"])
        let exact = try tool.start(shell: line("-k --block 4 --recend ''", "wc -c", from)).end()
        #expect(exact.lines.map { $0.filter { $0.isNumber } } == ["4", "4", "4", "4", "1"])
    }

    @Test("a block may have so many records", arguments: From.allCases)
    func counted(from: From) throws {
        try tool.write((1...25_000).map { "\($0)\n" }.joined(), to: "in")
        let end = try tool.start(shell: line("-k -N 12000", "'wc -l'", from)).end()
        #expect(end.lines.map { $0.filter(\.isNumber) } == ["12000", "12000", "1000"])
        let other = try tool.start(shell: line("-k -N 20000", "'wc -l'", from)).end()
        #expect(other.lines.count == 2, "\(other.errorOutput)")
        for wrong in ["-N 2 --block 1", "-N 0", "-N 2 --recend ''"] {
            #expect(try tool.start(shell: line(wrong, "'wc -l'", .input)).end().status == 64)
        }
        #expect(try tool.run("run", "-n", "10001", "echo", ":::", "a").status == 64)
    }

    @Test("of a file that is handed over at some place the rest is cut")
    func place() throws {
        try tool.write("head\na\nb\n", to: "in")
        let end = try tool.start(
            shell:
                "{ dd bs=5 count=1 of=/dev/null 2> /dev/null; \(Tool.path) run --pipe cat; } < in"
        ).end()
        #expect(end.output == "a\nb\n", "\(end.errorOutput)")
    }

    @Test("a file that has lost its name is kept as what comes from a pipe")
    func unlinked() throws {
        try tool.write(Self.lines, to: "in")
        let end = try tool.start(
            shell: "exec < in; rm in; exec \(Tool.path) run --pipe -k --block 9000 cat"
        ).end()
        #expect(end.output == Self.lines, "\(end.errorOutput)")
    }

    @Test("what came from a pipe and failed is kept, and runs once more without it")
    func kept() throws {
        try tool.write(Self.lines, to: "in")
        let command = "'test -e go && cat > part.{#}'"
        let first = try tool.start(shell: line("--block 20000", command, .pipe)).end()
        let failed = Int(first.status)
        #expect(failed > 2, "\(first.errorOutput)")
        #expect(names("s/inputs").count == failed)
        try tool.write("", to: "go")
        // No byte is read this time.
        let again = try tool.start(
            shell:
                "exec \(Tool.path) run --pipe --store s --retry-failed --block 20000 \(command) < /dev/null"
        ).end()
        #expect(again.status == 0, "\(again.errorOutput)")
        #expect(parts(1...failed) == Self.lines)
        #expect(names("s/inputs").isEmpty)
        // The bytes of one that has succeeded are gone.
        let job = try tool.run("jobs", "--store", "s", "--json").lines[0]
        let id = try #require(job.split(separator: #""id":"#).last?.prefix { $0.isNumber })
        #expect(try tool.run("requeue", "--store", "s", String(id)).status == 0)
        let gone = try tool.start(shell: line("--block 20000", command, .pipe)).end()
        #expect(gone.status == 1, "\(gone.errorOutput)")
        let jobs = try tool.run("jobs", "--store", "s", "--json").output
        #expect(jobs.contains("was kept until the job succeeded"), "\(jobs)")
    }

    @Test("what came from a pipe and succeeded runs once more when it comes again")
    func redone() throws {
        try tool.write(Self.lines, to: "in")
        let line = line("-j3 -k --block 20000", "'tee part.{#}'", .pipe)
        #expect(try tool.start(shell: line).end().output == Self.lines)
        let again = try tool.start(
            shell: line.replacing("--pipe ", with: "--pipe --redo ")
        ).end()
        #expect(again.status == 0, "\(again.errorOutput)")
        #expect(again.output == Self.lines)
        #expect(names("s/inputs").isEmpty)
    }

    @Test("a file is meant from where the tool is started, and a file of the kernel's is read")
    func paths() throws {
        tool.makeFolder("sub")
        try tool.write("a\nb\n", to: "in")
        let end = try tool.run("run", "--pipepart", "--workdir", "sub", "-a", "in", "tee out")
        #expect(end.output == "a\nb\n", "\(end.errorOutput)")
        #expect(tool.read("sub/out") == "a\nb\n")
        #if os(Linux)
            let kernel = try tool.run("run", "--pipe", "-a", "/proc/self/status", "grep -c Name")
            #expect(kernel.output == "1\n", "\(kernel.errorOutput)")
        #endif
    }

    @Test("more commands at once find more blocks ahead")
    func morePlaces() throws {
        mkfifo(tool.file("gate"), 0o600)
        try tool.write((1...20).map { "\($0)\n" }.joined(), to: "in")
        let run = try tool.start(
            shell: line(
                "-j1 --block 1 --line-buffer",
                "'echo started {#}; cat > /dev/null; : < gate'", .pipe))
        _ = try run.line(beginning: "started 1")
        let set = try tool.run("run", "--store", "s", "--set-jobs", "6")
        #expect(set.status == 0, "\(set.errorOutput)")
        // At the start there was room for four.
        _ = try run.line(beginning: "started 6")
        let gate = open(tool.file("gate"), O_WRONLY | O_CLOEXEC)
        let end = run.end()
        close(gate)
        #expect(end.status == 0, "\(end.errorOutput)")
    }

    @Test("a block that no job names is swept when the run goes on")
    func orphan() throws {
        try tool.write(Self.lines, to: "in")
        let line = line("--block 20000", "'test -e go'", .pipe)
        let failed = try tool.start(shell: line).end().status
        let name = try #require(names("s/inputs").first)
        let run = try #require(
            name.split(separator: "-").dropLast().joined(separator: "-") as String?)
        try tool.write("left by a crash", to: "s/inputs/\(run)-1234")
        // Another queue's is not ours to judge while that runs; nobody runs this one.
        #expect(names("s/inputs").count == Int(failed) + 1)
        #expect(try tool.start(shell: line).end().status == failed)
        #expect(!names("s/inputs").contains("\(run)-1234"))
        #expect(names("s/inputs").count == Int(failed))
    }

    @Test("of a pipe only so many blocks lie in the store that have not ended")
    func bounded() throws {
        try tool.write(Self.lines, to: "in")
        let end = try tool.start(
            shell: line("-j2 --blocks-ahead 3 --block 1000", "'ls s/inputs | wc -l; cat'", .pipe)
        ).end()
        #expect(end.status == 0, "\(end.errorOutput)")
        let counts = end.lines.compactMap { Int($0.trimmingPrefix { $0 == " " }) }.filter { $0 > 0 }
        #expect(counts.count > 50)
        // Three unfinished ones, and those that have just ended.
        #expect(counts.allSatisfy { $0 <= 8 }, "\(counts)")
    }

    @Test("another size or separator, or no --pipe, is another run")
    func identity() throws {
        try tool.write("a\nb\n", to: "in")
        for options in ["--pipe", "--pipe --block 2", "--pipe --recstart a", "", "--pipepart"] {
            let end = try tool.start(
                shell: "\(Tool.path) run --store s \(options) -a in echo"
            ).end()
            #expect(end.status == 0, "\(end.errorOutput)")
        }
        // --pipepart is --pipe of a file.
        #expect(try tool.run("run", "--store", "s", "--runs", "--json").lines.count == 4)
    }

    private func names(_ folder: String) -> [String] {
        guard let opened = opendir(tool.file(folder)) else { return [] }
        defer { closedir(opened) }
        var names: [String] = []
        while let entry = readdir(opened) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.first != "." { names.append(name) }
        }
        return names
    }
}
