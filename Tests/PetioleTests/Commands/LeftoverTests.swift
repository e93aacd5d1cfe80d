import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Each test has a store id of its own, so that none ends another's processes.
@Suite("Leftovers of a dead owner") struct LeftoverTests {
    /// Starts a command that says its pid, and the pids of what it starts, in a FIFO.
    private static func start(
        _ line: String, storeID: String
    ) throws -> (child: ChildProcess, pids: [pid_t]) {
        let scratch = try ScratchDirectory()
        let ready = try scratch.makeFIFO("ready")
        let child = try ChildProcess(
            spawning: try shell(line, ready),
            mark: AttemptMark(storeID: storeID, job: 5, attempt: 2), limits: CaptureLimits())
        // The FIFO lies in the directory, which must not go before the child has opened it.
        let pids = try withExtendedLifetime(scratch) {
            try readFIFO(ready).split(separator: "\n").compactMap { pid_t($0) }
        }
        return (child, pids)
    }

    private static func storeID(_ name: String) -> String { "\(name)-\(getpid())" }

    @Test("a leftover is found by its mark, with its group and start, and ended")
    func found() throws {
        let store = Self.storeID("found")
        let (child, _) = try Self.start("echo >\"$0\"; exec sleep 1000", storeID: store)
        let found = Leftovers.find(storeID: store)
        #expect(
            found == [
                LeftoverProcess(
                    pid: child.pid, startTime: child.startTime, processGroup: child.processGroup,
                    mark: AttemptMark(storeID: store, job: 5, attempt: 2))
            ])
        #expect(Leftovers.find(storeID: store + "x").isEmpty)
        #expect(Leftovers.find(storeID: String(store.dropLast())).isEmpty)
        Leftovers.endAndAwait(all: found)
        #expect(!lives(child.pid))
        #expect(child.awaitEnd().cause == .signalled(SIGTERM, coreDumped: false))
    }

    @Test("a leftover that ignores SIGTERM is ended, with members of its group that hide the mark")
    func stubborn() throws {
        let line = """
            trap '' TERM; env -i sleep 1000 & printf '%s\\n' $$ $! >"$0"; \
            while :; do sleep 1000; done
            """
        let (child, pids) = try Self.start(line, storeID: Self.storeID("stubborn"))
        try #require(pids.count == 2)
        Leftovers.endAndAwait(
            pid: child.pid, startTime: child.startTime, processGroup: child.processGroup)
        for pid in pids { #expect(!lives(pid)) }
        #expect(child.awaitEnd().cause == .signalled(SIGKILL, coreDumped: false))
    }

    @Test("members of a group whose leader has died are found by their mark and ended")
    func leaderless() throws {
        let store = Self.storeID("leaderless")
        let line = "sleep 1000 >/dev/null 2>&1 & echo $! >\"$0\""
        let (child, pids) = try Self.start(line, storeID: store)
        #expect(child.awaitEnd().succeeded)
        let member = try #require(pids.first)
        Leftovers.endAndAwait(
            pid: child.pid, startTime: child.startTime, processGroup: child.processGroup)
        #expect(lives(member))
        let found = Leftovers.find(storeID: store)
        #expect(found.map(\.pid) == [member])
        #expect(found.map(\.processGroup) == [child.processGroup])
        Leftovers.endAndAwait(all: found)
        #expect(!lives(member))
    }

    @Test("a process with the same pid and another start is left alone")
    func reusedPID() throws {
        let (child, _) = try Self.start(
            "echo >\"$0\"; exec sleep 1000", storeID: Self.storeID("reused"))
        Leftovers.endAndAwait(
            pid: child.pid, startTime: child.startTime + 1, processGroup: child.processGroup)
        #expect(lives(child.pid))
        child.stop()
        #expect(child.awaitEnd().cause == .signalled(SIGTERM, coreDumped: false))
    }

    #if os(Linux)
        @Test("a leftover is found also while it becomes one program after another")
        func amidExec() throws {
            let store = Self.storeID("exec")
            let scratch = try ScratchDirectory()
            let ready = try scratch.makeFIFO("ready")
            // Each shell replaces itself with the next, without end.
            let line = "echo >\"$0\"; exec /bin/sh -c 'exec /bin/sh -c \"$0\" \"$0\"' "
            let again = "'exec /bin/sh -c \"$0\" \"$0\"'"
            let child = try ChildProcess(
                spawning: try shell(line + again, ready),
                mark: AttemptMark(storeID: store, job: 5, attempt: 2), limits: CaptureLimits())
            _ = try withExtendedLifetime(scratch) { try readFIFO(ready) }
            for _ in 0..<50 {
                #expect(Leftovers.find(storeID: store).map(\.pid) == [child.pid])
            }
            Leftovers.endAndAwait(all: Leftovers.find(storeID: store))
            #expect(child.awaitEnd().cause == .signalled(SIGTERM, coreDumped: false))
        }
    #endif

    @Test("a suspended leftover is ended too")
    func suspended() throws {
        let store = Self.storeID("suspended")
        let (child, _) = try Self.start("echo >\"$0\"; exec sleep 1000", storeID: store)
        child.suspend()
        Leftovers.endAndAwait(all: Leftovers.find(storeID: store))
        #expect(child.awaitEnd().cause == .signalled(SIGTERM, coreDumped: false))
    }
}
