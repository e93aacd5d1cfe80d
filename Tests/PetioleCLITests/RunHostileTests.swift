import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Commands and terminals that misbehave", .ownThreads, .timeLimit(.minutes(10)))
struct RunHostileTests {
    let tool = Tool()

    @Test("a command that closes its outputs and goes on is waited for")
    func closesOutputs() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let run = try tool.start(
            ["run", "echo said; exec >&- 2>&-; read x < pipe; echo {} > done", ":::", "a"])
        try tool.write("x\n", to: "pipe")
        let end = run.end()
        #expect(end.status == 0 && end.output == "said\n")
        #expect(tool.read("done") == "a\n")
    }

    @Test(
        "a command that ends by a signal, or is killed from outside, has failed and the others run")
    func signals() throws {
        let end = try tool.run(
            "run", "-j1", "kill -{} $$; echo not reached", ":::", "SEGV", "KILL", "TERM", "0")
        #expect(end.status == 3)
        #expect(end.output == "not reached\n")
        let jobs = try tool.run("jobs", "--json").output
        for signal in [SIGSEGV, SIGKILL, SIGTERM] {
            #expect(jobs.contains("ended by signal \(signal)"))
        }
    }

    @Test(
        "what a command leaves behind does not hold the run, and ends with a command that is stopped"
    )
    func grandchildren() throws {
        let left = try tool.run("run", "sleep 1000 & echo $!", ":::", "a")
        #expect(left.status == 0)
        let pid = try #require(left.lines[0].split(separator: " ").first.flatMap { pid_t($0) })
        #expect(kill(pid, 0) == 0)
        kill(pid, SIGKILL)
        let stopped = try tool.run(
            "run", "--timeout", "1s", "sleep 1000 & echo $! > pid; wait # {}", ":::", "a")
        #expect(stopped.status == 1)
        let other = try #require(pid_t(tool.read("pid").dropLast()))
        // Ended before its parent was reaped; gone, or waiting for init to take it.
        #if os(Linux)
            #expect([nil, "Z", "X"].contains(tool.state(of: other)))
        #else
            #expect(kill(other, 0) != 0)
        #endif
    }

    @Test("a command that ignores being asked is killed at its hard limit")
    func ignoresTerm() throws {
        let end = try tool.run(
            "run", "--timeout", "0.2", "--hard-timeout", "0.4",
            "trap '' TERM; sleep 1000 & wait; wait; sleep 1000 # {}", ":::", "a")
        #expect(end.status == 1)
        #expect(
            try tool.run("jobs", "--json").output.contains("it ran for longer than 0.2 seconds"))
    }

    @Test("a child that is killed by somebody else is a failure of that one alone")
    func childKilled() throws {
        mkfifo(tool.file("pipe"), 0o600)
        let run = try tool.start(
            ["run", "-j1", "test {} = 2 || { echo $$ > pipe; exec sleep 1000; }; echo {}", ":::"]
                + ["1", "2"])
        let child = try #require(pid_t(tool.read("pipe").dropLast()))
        kill(child, SIGKILL)
        let end = run.end()
        #expect(end.status == 1 && end.output == "2\n")
    }

    #if os(Linux)
        @Test("a run whose terminal goes away stops in order, and the same line goes on elsewhere")
        func terminalGone() throws {
            mkfifo(tool.file("up"), 0o600)
            mkfifo(tool.file("pipe"), 0o600)
            let terminal = try OutputTerminal()
            let path = terminal.path
            let line = "echo {} > up; test {} != 1 || read x < pipe; echo {} >> ran"
            let run = try tool.start(
                shell:
                    "exec setsid -w -c \(Tool.path) run -j1 '\(line)' ::: 1 2 3 < \(path) > \(path) 2> \(path)"
            )
            #expect(tool.read("up") == "1\n")
            // The kernel sends SIGHUP to the session.
            terminal.hangUp()
            try tool.write("x\n", to: "pipe")
            #expect(run.end().status == 128 + SIGHUP)
            #expect(tool.read("ran") == "1\n")
            let second = try tool.start(["run", "-j1", line, ":::", "1", "2", "3"])
            // Both may have come before one looks.
            let starts = try tool.start(shell: "exec 3<> up; read a <&3; read b <&3; echo $a $b")
                .end()
            #expect(starts.output == "2 3\n")
            #expect(second.end().status == 0)
            #expect(tool.read("ran") == "1\n2\n3\n")
        }
    #endif
}

#if os(Linux)
    private enum Mounting {
        static let isAllowed = geteuid() == 0 && canMount()

        private static func canMount() -> Bool {
            let tool = Tool()
            defer { umount2(tool.folder, Int32(MNT_DETACH)) }
            return mount("tmpfs", tool.folder, "tmpfs", 0, "size=1m") == 0
        }
    }

    @Suite(
        "Output on a full disk", .ownThreads, .timeLimit(.minutes(10)),
        .enabled(if: Mounting.isAllowed, "mounting a small file system takes root"))
    struct FullDiskOutputTests {
        let tool = Tool()

        /// A file system of 96 MiB, of which so many bytes are taken.
        private func makeDisk(taken: Int) throws {
            tool.makeFolder("disk")
            try #require(mount("tmpfs", tool.file("disk"), "tmpfs", 0, "size=96m") == 0)
            let file = open(tool.file("disk/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(file) }
            try #require(posix_fallocate(file, 0, off_t(taken)) == 0)
        }

        private let line = "head -c {} /dev/zero"

        @Test(
            "a command whose output has no room waits on its pipe, which is said, and goes on when there is some"
        )
        func waits() throws {
            try makeDisk(taken: 40 << 20)
            defer { umount2(tool.file("disk"), Int32(MNT_DETACH)) }
            let size = 45 << 20
            let run = try tool.start(
                shell: "exec \(Tool.path) run --store disk/s '\(line)' ::: \(size) | wc -c")
            #expect(
                try run.line(beginning: "petiole: job 1", inErrors: true)
                    == "petiole: job 1 waits: the disk has no room for its output")
            // Its outcome has room all the same, and so have others'.
            #expect(
                try tool.run("status", "--store", "disk/s", "--json").output.contains(
                    #""running":1"#))
            unlink(tool.file("disk/filler"))
            _ = try run.line(
                beginning: "petiole: job 1 goes on: there is room for its output", inErrors: true)
            let end = run.end()
            #expect(end.lines.first?.split(separator: " ").last.map(String.init) == "\(size)")
            #expect(
                try tool.run("jobs", "--store", "disk/s", "--json").output.contains(
                    #""state":"succeeded""#))
        }

        @Test("what a command that has ended left in its pipe waits for room as well")
        func restOfPipe() throws {
            try makeDisk(taken: 40 << 20)
            defer { umount2(tool.file("disk"), Int32(MNT_DETACH)) }
            mkfifo(tool.file("ended"), 0o600)
            let line = "\(line); echo ended > ended"
            let run = ["run", "--store", "disk/s", line, ":::"]
            let probe = try tool.start(run + ["\(90 << 20)"])
            _ = try probe.line(beginning: "petiole: job 1 waits", inErrors: true)
            var info = stat()
            try #require(stat(tool.file("disk/s/outputs/1-1.out"), &info) == 0)
            #expect(try tool.run("cancel", "--store", "disk/s", "1").status == 0)
            _ = probe.end()
            let size = Int(info.st_size) + 64 << 10
            let small = try tool.start(run + ["\(size)"])
            _ = try small.line(beginning: "petiole: job 2 waits", inErrors: true)
            // Two pages at a time there is room again.
            var filler = off_t(40 << 20)
            var written: off_t = 0
            func makeRoom(upTo least: Int) throws {
                while written < least {
                    filler -= 8_192
                    truncate(tool.file("disk/filler"), filler)
                    let before = written
                    while written == before {
                        try #require(stat(tool.file("disk/s/outputs/2-1.out"), &info) == 0)
                        written = info.st_size
                        poll(nil, 0, 10)
                    }
                }
            }
            // The rest is less than a pipe holds: the command ends.
            try makeRoom(upTo: size - 60 << 10)
            #expect(try tool.start(shell: "cat ended").end().output == "ended\n")
            try makeRoom(upTo: size)
            let end = small.end()
            // The first was cancelled.
            #expect(end.status == 1, "\(end.errorOutput)")
            #expect(end.output.utf8.count == size)
        }

        @Test(
            "one that waits for room can be ended, and what came of it is recorded on the full disk"
        )
        func ended() throws {
            try makeDisk(taken: 40 << 20)
            defer { umount2(tool.file("disk"), Int32(MNT_DETACH)) }
            let run = try tool.start(["run", "--store", "disk/s", line, ":::", "\(90 << 20)", "1"])
            _ = try run.line(beginning: "petiole: job 1 waits", inErrors: true)
            #expect(try tool.run("cancel", "--store", "disk/s", "1").status == 0)
            let end = run.end()
            #expect(end.status == 1, "\(end.errorOutput)")
            let jobs = try tool.run("jobs", "--store", "disk/s", "--json").output
            #expect(
                jobs.contains(#""state":"cancelled""#) && jobs.contains(#""state":"succeeded""#))
        }
    }
#endif
