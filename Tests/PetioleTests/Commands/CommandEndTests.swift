import CPetiole
import Synchronization
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("The end of a command") struct CommandEndTests {
    @Test("an exit code is reported as it was", arguments: [0, 1, 2, 127, 255] as [Int32])
    func exitCode(code: Int32) throws {
        let end = try run(shell("exit \(code)"))
        #expect(end.cause == .exited(code: code))
        #expect(end.runTime > .zero)
    }

    @Test("a death by signal is reported as that signal", arguments: [SIGTERM, SIGKILL, SIGUSR1])
    func deathBySignal(number: Int32) throws {
        let end = try run(shell("ulimit -c 0; kill -\(number) $$"))
        #expect(end.cause == .signalled(number, coreDumped: false))
    }

    @Test("a command that closes its outputs is still waited for")
    func closesOutputs() throws {
        let end = try run(
            shell("exec >&- 2>&-; read line; exit 3", input: .bytes([10])))
        #expect(end.cause == .exited(code: 3))
    }

    @Test("without a process handle the end is waited for all the same")
    func byThread() throws {
        let child = try ChildProcess(
            spawning: try shell("echo out; exit 5"), mark: nil, limits: CaptureLimits(),
            endByThread: true)
        let end = child.awaitEnd()
        #expect(end.cause == .exited(code: 5))
        #expect(text(end.output) == "out\n")
    }

    @Test("an end that somebody else took is reported as lost, with the output")
    func takenByOthers() throws {
        let child = try ChildProcess(
            spawning: try shell("echo out"), mark: nil, limits: CaptureLimits())
        // What a host does that waits for children that are not its own.
        var status: Int32 = 0
        while waitpid(child.pid, &status, 0) < 0 && errno == EINTR {}
        #expect(!child.signalGroup(SIGTERM))
        let end = child.awaitEnd()
        #expect(end.cause == .lost(.takenByOthers))
        #expect(text(end.output) == "out\n")
    }

    @Test("in a host that ignores SIGCHLD the end is lost by name, and the output is not")
    func ignoredSIGCHLD() async {
        await #expect(processExitsWith: .success) {
            signal(SIGCHLD, SIG_IGN)
            for _ in 0..<20 {
                let end = try run(shell("echo out"))
                try #require(end.cause == .lost(.takenByOthers))
                try #require(text(end.output) == "out\n")
            }
            let stopped = try run(shell("sleep 1000")) { $0.stop() }
            try #require(stopped.cause == .lost(.takenByOthers))
            // A member that outlives its leader, which nobody keeps as a zombie here.
            let scratch = try ScratchDirectory()
            let ready = try scratch.makeFIFO("ready")
            let line = "(trap '' TERM; echo >\"$0\"; while :; do sleep 1000; done) & wait"
            let outlived = try withExtendedLifetime(scratch) {
                try run(shell(line, ready)) { child in
                    _ = awaitReady(ready)
                    child.stop(after: .milliseconds(50))
                }
            }
            try #require(outlived.cause == .lost(.takenByOthers))
        }
    }

    @Test("a signal after the end reaches nobody")
    func signalAfterEnd() throws {
        var kept: ChildProcess?
        #expect(try run(shell("exit 0")) { kept = $0 }.succeeded)
        let child = try #require(kept)
        #expect(!child.signalGroup(SIGTERM))
        child.stop()
    }

    @Test("a stop ends a command, and what it started in its group, by SIGTERM")
    func stop() throws {
        let scratch = try ScratchDirectory()
        let ready = try scratch.makeFIFO("ready")
        defer { withExtendedLifetime(scratch) {} }
        let end = try run(shell("sleep 1000 & echo $! >\"$0\"; wait", ready)) { child in
            let member = pid_t(awaitReady(ready).dropLast())
            #expect(member.map(lives) == true)
            child.stop()
        }
        #expect(end.cause == .signalled(SIGTERM, coreDumped: false))
        #expect(!end.outputHeldOpen)
    }

    @Test("a stop turns hard on a command that ignores SIGTERM")
    func stopEscalates() throws {
        let scratch = try ScratchDirectory()
        let ready = try scratch.makeFIFO("ready")
        defer { withExtendedLifetime(scratch) {} }
        let line = "trap '' TERM; echo >\"$0\"; while :; do sleep 1000; done"
        let end = try run(shell(line, ready)) { child in
            #expect(awaitReady(ready) == "\n")
            child.stop(after: .milliseconds(50))
        }
        #expect(end.cause == .signalled(SIGKILL, coreDumped: false))
    }

    @Test("a stop ends a member that ignores SIGTERM and outlives its leader")
    func stopEndsMembers() throws {
        let scratch = try ScratchDirectory()
        let ready = try scratch.makeFIFO("ready")
        defer { withExtendedLifetime(scratch) {} }
        // The member holds none of the pipes: only its group tells of it.
        let line = """
            (trap '' TERM; exec >/dev/null 2>&1; sh -c 'echo $PPID >"$0"' "$0"; \
            while :; do sleep 1000; done) & wait
            """
        var member: pid_t?
        let end = try run(shell(line, ready)) { child in
            member = pid_t(awaitReady(ready).dropLast())
            child.stop(after: .milliseconds(50))
        }
        #expect(end.cause == .signalled(SIGTERM, coreDumped: false))
        #expect(!lives(try #require(member)))
    }

    @Test("a suspended command is stopped all the same")
    func stopSuspended() throws {
        let end = try run(shell("sleep 1000")) { child in
            child.suspend()
            child.stop()
        }
        #expect(end.cause == .signalled(SIGTERM, coreDumped: false))
    }

    @Test(
        "suspended commands do not go on before they are resumed, also those that start meanwhile")
    func suspendAndResume() throws {
        let running = RunningCommands()
        running.suspendAll()
        let echo = try shell("echo on")
        let suspensions = Atomic(0)
        let suspend: @Sendable () -> Void = { suspensions.add(1, ordering: .relaxed) }
        let child = try running.start { () throws(SpawnError) in
            let child = try ChildProcess(
                spawning: echo, mark: nil, limits: CaptureLimits())
            // The command may run already, and is not entered yet: the process waits for that.
            running.suspendProcess(by: suspend)
            #expect(suspensions.load(ordering: .relaxed) == 0)
            return child
        }
        #expect(suspensions.load(ordering: .relaxed) == 1)
        // The kernel says that it stopped; nothing else lets this come back.
        var info = siginfo_t()
        let isStopped = waitid(P_PID, id_t(child.pid), &info, WSTOPPED | WEXITED | WNOWAIT) == 0
        #expect(isStopped)
        #expect(info.si_code == Int32(CLD_STOPPED) || info.si_code == Int32(CLD_EXITED))
        running.resumeAll()
        running.suspendProcess(by: suspend)
        #expect(suspensions.load(ordering: .relaxed) == 1)
        let end = child.awaitEnd()
        running.remove(child)
        #expect(end.succeeded)
        #expect(text(end.output) == "on\n")
        #expect(running.count == 0)
    }

    @Test(
        "one that was suspended by itself stays so when all go on, or when nobody had suspended all"
    )
    func suspendedBefore() throws {
        let running = RunningCommands()
        let sleeper = try shell("sleep 1000")
        let one = try running.start { () throws(SpawnError) in
            try ChildProcess(spawning: sleeper, mark: nil, limits: CaptureLimits())
        }
        one.suspend()
        // The kernel says that it stopped.
        var info = siginfo_t()
        #expect(waitid(P_PID, id_t(one.pid), &info, WSTOPPED | WEXITED | WNOWAIT) == 0)
        func isSuspended() -> Bool { ProcessIdentity.info(of: one.pid)?.is_suspended == 1 }
        running.resumeAll()
        #expect(isSuspended())
        running.suspendAll()
        running.resumeAll()
        #expect(isSuspended())
        one.stop()
        #expect(one.awaitEnd().cause == .signalled(SIGTERM, coreDumped: false))
        running.remove(one)
    }

    @Test(
        "commands that ignore SIGTERM are killed all at once, also one that has just been started")
    func killAll() throws {
        let running = RunningCommands()
        let stubborn = try shell("trap '' TERM; sleep 1000")
        var children = try (0..<3).map { _ in
            try running.start { () throws(SpawnError) in
                try ChildProcess(spawning: stubborn, mark: nil, limits: CaptureLimits())
            }
        }
        children.append(
            try running.start { () throws(SpawnError) in
                let child = try ChildProcess(
                    spawning: stubborn, mark: nil, limits: CaptureLimits())
                // It may run already, and is not entered yet.
                running.killAll()
                return child
            })
        for child in children {
            #expect(child.awaitEnd().cause == .signalled(SIGKILL, coreDumped: false))
            running.remove(child)
        }
    }
}
