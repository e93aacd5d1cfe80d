import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("The pace of petiole run", .ownThreads, .timeLimit(.minutes(10))) struct RunPaceTests {
    let tool = Tool()

    @Test("how many commands go on at once is read, or refused")
    func jobsAtOnce() {
        let processors = 8
        for (text, count) in [
            ("1", 1), ("128", 128), ("0", 128), ("50%", 4), ("1%", 1), ("200%", 16),
            ("99999%", 128), ("+1", 9), ("+0", 8), ("-3", 5), ("-20", 1), ("+500", 128),
        ] {
            #expect(JobsAtOnce(text)?.count(processors: processors) == count, "\(text)")
        }
        for text in ["", "129", "x", "%", "0%", "+", "-", "+-1", "1.5", "-1%", "1 "] {
            #expect(JobsAtOnce(text) == nil, "\(text)")
        }
    }

    @Test("times shorter than a second are read, or refused")
    func shortTimes() {
        for (text, time) in [
            ("0", Duration.zero), ("3", .seconds(3)), ("0.25", .milliseconds(250)),
            ("500ms", .milliseconds(500)), ("1.5m", .seconds(90)), ("2h", .seconds(7_200)),
            ("1d", .seconds(86_400)),
        ] {
            #expect(ShortTime.duration(text) == time, "\(text)")
        }
        for text in ["", "s", ".5", "5.", "1.2.3", "-1", "1 s", "1e3", "9999999999", "1y"] {
            #expect(ShortTime.duration(text) == nil, "\(text)")
        }
    }

    @Test(
        "a run is told from outside, by signals and by another start, how many commands go on at once"
    )
    func changes() throws {
        for number in 1...6 { mkfifo(tool.file("go-\(number)"), 0o600) }
        let line = "echo up {}; read x < go-{}; echo down {}"
        let inputs = (1...6).map(String.init)
        let run = try tool.start(["run", "-j1", "--line-buffer", line, ":::"] + inputs)
        _ = try run.line(beginning: "up 1")
        #expect(try tool.run("run", "--runs", "--json").output.contains(#""at_once":1"#))
        run.send(SIGUSR1)
        #expect(
            try run.line(beginning: "petiole: 2 ", inErrors: true)
                == "petiole: 2 commands at once now")
        _ = try run.line(beginning: "up 2")
        let more = try tool.run("run", "--set-jobs", "4", line)
        #expect(
            more.status == 0
                && more.errorOutput == "petiole: process \(run.pid) runs 4 commands at once now\n",
            "\(more.errorOutput)")
        _ = try run.line(beginning: "up 3")
        _ = try run.line(beginning: "up 4")
        #expect(try tool.run("run", "--runs", "--json").output.contains(#""at_once":4"#))
        // Without a line it is the one that goes on.
        #expect(try tool.run("run", "--set-jobs", "1").status == 0)
        run.send(SIGUSR2)
        _ = try run.line(beginning: "petiole: 1 command at once now", inErrors: true)
        for number in 1...6 {
            try tool.write("x\n", to: "go-\(number)")
            _ = try run.line(beginning: "down \(number)")
        }
        let end = run.end()
        #expect(end.status == 0)
        let lines = end.lines
        for number in 5...6 {
            let up = try #require(lines.firstIndex(of: "up \(number)"))
            let before = try #require(lines.firstIndex(of: "down \(number - 1)"))
            #expect(up > before, "\(lines)")
        }
    }

    @Test("another number of commands at once is refused where there is no run to have it")
    func noRun() throws {
        _ = try tool.run("run", "true", ":::", "a")
        let none = try tool.run("run", "--set-jobs", "2")
        #expect(none.status == 66 && none.errorOutput.contains("no run is running now"))
        let line = try tool.run("run", "--set-jobs", "2", "true", ":::", "a")
        #expect(line.status == 66 && line.errorOutput.contains("this line is running now"))
        #expect(try tool.run("run", "--set-jobs", "200").status == 64)
    }

    @Test("a command starts so long after the one before")
    func delay() throws {
        let start = ContinuousClock.now
        let end = try tool.run("run", "-j4", "--delay", "0.2", "echo {}", ":::", "1", "2", "3", "4")
        #expect(end.lines.sorted() == ["1", "2", "3", "4"])
        // However slow the machine is, four starts have three pauses between them.
        #expect(start.duration(to: .now) >= .milliseconds(600))
        #expect(try tool.run("run", "--delay", "often", "true", ":::", "a").status == 64)
    }

    @Test("no command starts while there is too little memory, and the run can be stopped there")
    func memory() throws {
        let run = try tool.start(["run", "--memfree", "1000T", "echo {}", ":::", "1"])
        _ = try run.line(
            beginning: "petiole: no command is started while less than 1000T", inErrors: true)
        run.send(SIGINT)
        let end = run.end()
        #expect(end.status == 128 + SIGINT && end.output == "")
        #expect(try tool.run("run", "--memfree", "1K", "echo {}", ":::", "1").output == "1\n")
    }

    @Test("a command that takes far longer than the median of those that succeeded is asked to end")
    func median() throws {
        let end = try tool.run(
            "run", "-j4", "--timeout", "200%", "sleep {}; echo {}", ":::", "0.1", "1000", "0.11",
            "0.12", "0.13")
        #expect(end.status == 1, "\(end.errorOutput)")
        #expect(end.lines.count == 4)
        #expect(try tool.run("jobs", "--json").output.contains("longer than 1.0 seconds"))
        #expect(try tool.run("run", "--timeout", "20%", "true", ":::", "1").status == 64)
    }

    @Test("the wait before a retry can be made short")
    func backoff() throws {
        let line = "echo x >> tries; test $(wc -l < tries) -ge 6 # {}"
        #expect(
            try tool.run("run", "--retries", "5", "--backoff", "1ms", line, ":::", "a").status == 0)
        #expect(tool.read("tries").count == 12)
    }
}
