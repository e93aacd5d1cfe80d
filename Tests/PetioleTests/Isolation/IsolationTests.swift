import PetioleStorage
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Jobs in child processes", .timeLimit(.minutes(10))) struct IsolationTests {
    private static let retries = EnqueueOptions(maxAttempts: 3)

    // MARK: Children

    @Test("a child is kept and runs one job after the other, and ends with its runner")
    func warm() async throws {
        try await withStore { store in
            var jobs: [JobHandle<Int>] = []
            for _ in 0..<10 { jobs.append(try await store.enqueue(Isolated("plain"))) }
            let task = try await store.enqueue(IsolatedTask("plain"))
            let echo = JobClosure("pid") { (_: Int, _) in Int(getpid()) }
            let here = try await store.numbers("pid", [1])[0]
            let runner = try makeRunner(store, [echo], jobs: [Isolated.self, IsolatedTask.self])
            try await runner.run {}
            let pid = try await jobs[0].result
            #expect(pid != Int(getpid()))
            for job in jobs { try await expectEqual(job.result, pid) }
            try await expectEqual(task.result, pid)
            try await expectEqual(here.result, Int(getpid()))
            #expect(ProcessIdentity.info(of: pid_t(pid)) == nil)
            // Reaped, too.
            #expect(kill(pid_t(pid), 0) != 0)
        }
    }

    @Test("as many children run as workers have jobs for, and no more")
    func several() async throws {
        try await withStore { store in
            let jobs = [
                try await store.enqueue(Isolated("heed")),
                try await store.enqueue(Isolated("heed")),
            ]
            let runner = try makeRunner(store, jobs: [Isolated.self], workers: 2)
            try await runner.run {
                for job in jobs { try await store.awaitProgress(of: job.id) }
                #expect(runner.core.children.idleProcesses.isEmpty)
                for job in jobs { try await store.cancel(job.id) }
                for job in jobs { await #expect(throws: JobError.self) { try await job.result } }
                let more = try await store.enqueue(
                    contentsOf: (0..<20).map { _ in Isolated("plain") })
                for job in more { _ = try await job.result }
                #expect((1...2).contains(runner.core.children.idleProcesses.count))
            }
            #expect(runner.core.children.idleProcesses.isEmpty)
        }
    }

    @Test("a child is replaced after the number of jobs that its type says")
    func maxJobs() async throws {
        try await withStore { store in
            var jobs: [JobHandle<Int>] = []
            for _ in 0..<7 { jobs.append(try await store.enqueue(IsolatedThree("plain"))) }
            try await makeRunner(store, jobs: [IsolatedThree.self]).run {}
            var pids: [Int] = []
            for job in jobs { pids.append(try await job.result) }
            #expect(Set(pids[0..<3]).count == 1 && Set(pids[3..<6]).count == 1)
            #expect(Set(pids).count == 3)
        }
    }

    @Test("a child is replaced when it has more memory after a job than its type says")
    func maxResidentBytes() async throws {
        try await withStore { store in
            let kinds = [("plain", 0), ("grow", 16), ("plain", 0), ("grow", 512), ("plain", 0)]
            var jobs: [JobHandle<Int>] = []
            for (kind, number) in kinds {
                jobs.append(try await store.enqueue(IsolatedSmall(kind, number)))
            }
            try await makeRunner(store, jobs: [IsolatedSmall.self]).run {}
            var pids: [Int] = []
            for job in jobs { pids.append(try await job.result) }
            #expect(Set(pids[0..<4]).count == 1)
            #expect(pids[4] != pids[0])
        }
    }

    @Test(
        "a child that has died while it had nothing to do is replaced, and costs no job an attempt")
    func diesIdle() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Isolated.self])
            try await runner.run {
                let first = pid_t(try await store.enqueue(Isolated("plain")).result)
                kill(first, SIGKILL)
                let next = try await store.enqueue(Isolated("plain"), options: Self.retries)
                let second = pid_t(try await next.result)
                #expect(second != first)
                #expect(try store.outcome(of: next.id)?.attempt == 1)
                // Suspended, it is given the job and never reads it.
                kill(second, SIGSTOP)
                let last = try await store.enqueue(Isolated("plain"), options: Self.retries)
                while store.open.slots.slot(of: last.id.rawValue)?.child?.pid != second {
                    try await turn()
                }
                kill(second, SIGKILL)
                try await #expect(last.result != Int(second))
                #expect(try store.outcome(of: last.id)?.attempt == 1)
                #expect(try store.history(of: last.id).isEmpty)
            }
            #expect(try store.counts().retries == 0)
        }
    }

    @Test("idle children that have died are taken away, and what idle ones write is passed on")
    func lookedAfter() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Isolated.self])
            try await runner.run {
                let children = runner.core.children
                let pid = pid_t(try await store.enqueue(Isolated("plain")).result)
                children.lookAfter()
                #expect(children.idleProcesses.map { $0.pid } == [pid])
                kill(pid, SIGKILL)
                try await awaitEnd(of: pid)
                // Its end may be told a moment later.
                while !children.idleProcesses.isEmpty {
                    children.lookAfter()
                    try await turn()
                }
                // Reaped, too.
                #expect(kill(pid, 0) != 0)
                let next = pid_t(try await store.enqueue(Isolated("chatter")).result)
                // Until what it has written since is read.
                while children.idleTails != ["one more line"] { children.lookAfter() }
                #expect(children.idleProcesses.map { $0.pid } == [next])
            }
        }
    }

    @Test("a child that dies again and again before it has begun with a job is not tried for ever")
    func stillborn() async throws {
        let program = try ScriptedProgram.stillborn()
        defer { program.remove() }
        try await ScriptedProgram.$path.withValue(program.path) {
            try await withStore { store in
                let job = try await store.enqueue(
                    ScriptedKind("plain"), options: EnqueueOptions(maxAttempts: 2))
                try await makeRunner(store, jobs: [ScriptedKind.self]).run {}
                #expect(
                    try store.failure(of: job.id).message == "its process exited with status 7")
                #expect(try store.outcome(of: job.id)?.attempt == 2)
            }
        }
    }

    // MARK: Ends

    @Test(
        "a trap, a signal and an exit are one failed attempt each, which names them, and the runner goes on",
        arguments: [
            ("trap", 0, ["SIG", "it traps on purpose"]), ("signal", Int(SIGSEGV), ["SIGSEGV"]),
            ("signal", Int(SIGKILL), ["SIGKILL"]), ("exit", 3, ["exited with status 3"]),
            ("exit", 0, ["exited with status 0"]),
        ])
    func ends(kind: String, number: Int, words: [String]) async throws {
        try await withStore { store in
            let job = try await store.enqueue(Isolated(kind, number), options: Self.retries)
            let after = try await store.enqueue(Isolated("plain"))
            try await makeRunner(store, jobs: [Isolated.self]).run {}
            let outcome = try #require(try store.outcome(of: job.id))
            #expect(outcome.kind == .deadLetter && outcome.attempt == 3)
            let history = try store.history(of: job.id)
            #expect(history.count == 2)
            for failure in history.map({ $0.failure.message }) + [outcome.failure!.message] {
                for word in words { #expect(failure.contains(word), "\(failure)") }
            }
            #expect(outcome.failure?.type == "ChildProcessEnded")
            _ = try await after.result
        }
    }

    @Test("a job whose process ended is tried again by its policy, which is told how it ended")
    func retries() async throws {
        struct Told: IsolatedKind {
            static let isolation = Isolated.isolation
            static let ends = Trace<ChildProcessEnded>()
            static let retryPolicy = RetryPolicy(
                maxAttempts: 9, backoff: .constant(.milliseconds(1))
            ) { error in
                guard let end = error as? ChildProcessEnded else { return .retry }
                ends.add(end)
                return end.cause == .exited(4) ? .deadLetter : .retry
            }
            var kind: String
            var number: Int
            var path: String
        }
        try await withStore { store in
            let flaky = try await store.enqueue(Told("flaky", 2))
            let exiting = try await store.enqueue(Told("exit", 4))
            try await makeRunner(store, jobs: [Told.self]).run {}
            _ = try await flaky.result
            #expect(try store.outcome(of: flaky.id)?.attempt == 3)
            let exited = try #require(try store.outcome(of: exiting.id))
            #expect(exited.kind == .deadLetter && exited.attempt == 1)
            let traps = Told.ends.items.filter { $0.cause != .exited(4) }
            #expect(traps.count == 2 && traps.allSatisfy { $0.lastLines.contains("attempt ") })
        }
    }

    @Test("the last 4 KiB of whole lines of standard error stand in the failure")
    func lastLines() async throws {
        try await withStore { store in
            let few = try await store.enqueue(Isolated("lines", 2))
            let many = try await store.enqueue(Isolated("lines", 20_000))
            try await makeRunner(store, jobs: [Isolated.self]).run {}
            #expect(
                try store.failure(of: few.id).message
                    == "its process was ended by SIGABRT\nline 1\nline 2")
            let lines = try store.failure(of: many.id).message.split(separator: "\n")
            #expect(lines.last == "line 20000")
            #expect(lines[1...].allSatisfy { $0.hasPrefix("line ") && $0.count == 10 })
            #expect((371...373).contains(lines.count))
        }
    }

    @Test("what is thrown in a child is recorded and decided as on a thread")
    func throwing() async throws {
        try await withStore { store in
            func enqueue(_ kind: String, _ number: Int) async throws -> JobHandle<Int> {
                try await store.enqueue(Isolated(kind, number), options: Self.retries)
            }
            let fault = try await enqueue("fault", 0)
            let hopeless = try await enqueue("fault", 1)
            let dropped = try await enqueue("fault", 2)
            let unwanted = try await enqueue("control", 0)
            let gone = try await enqueue("control", 1)
            let later = try await enqueue("control", 2)
            let snoozing = try await enqueue("control", 3)
            let undecodable = try await store.enqueue(
                name: "Isolated", payload: 5, output: Int.self)
            let task = try await store.enqueue(IsolatedTask("fault"))
            let set = JobClosure("set") { (value: Int, context) -> Int in
                try context.table("t").put(value: value, for: "snoozed")
                return value
            }
            let runner = try makeRunner(store, [set], jobs: [Isolated.self, IsolatedTask.self])
            try await runner.run {
                try await #expect(later.result > 0)
                try await store.numbers("set", [1])
            }
            func outcome(_ id: JobID) throws -> Outcome { try #require(try store.outcome(of: id)) }
            #expect(try outcome(fault.id).kind == .deadLetter)
            #expect(try store.failure(of: fault.id).type == "Fault")
            #expect(try store.failure(of: fault.id).message == "plain")
            #expect(try outcome(fault.id).attempt == 3)
            #expect(try outcome(hopeless.id).kind == .deadLetter)
            #expect(try outcome(hopeless.id).attempt == 1)
            #expect(try store.failure(of: hopeless.id).message == "hopeless")
            #expect(try outcome(dropped.id).kind == .discarded)
            #expect(try outcome(unwanted.id).kind == .discarded)
            #expect(try store.failure(of: unwanted.id).message == "not wanted")
            #expect(try outcome(gone.id).kind == .deadLetter)
            #expect(try outcome(later.id).attempt == 2)
            #expect(try outcome(snoozing.id).kind == .succeeded)
            #expect(try outcome(snoozing.id).attempt == 1)
            #expect(try outcome(undecodable.id).kind == .deadLetter)
            #expect(try store.failure(of: undecodable.id).type == "UndecodablePayload")
            #expect(try store.failure(of: task.id).message == "plain")
        }
    }

    @Test("a child that says what is no answer is ended, and the attempt has failed")
    func garbled() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Isolated("garble"))
            let after = try await store.enqueue(Isolated("plain"))
            try await makeRunner(store, jobs: [Isolated.self]).run {}
            #expect(try store.failure(of: job.id).message.contains("no answer"))
            _ = try await after.result
        }
    }

    @Test("what a job started in its child's process group ends with the child")
    func group() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Isolated("spawn"))
            let runner = try makeRunner(store, jobs: [Isolated.self])
            let pid = try await runner.run {
                let pid = pid_t(try await job.result)
                #expect(lives(pid))
                return pid
            }
            try await awaitEnd(of: pid)
        }
    }

    @Test("a time after now that a job in a child names is counted by the runner's clock")
    func clock() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            clock.advance(.seconds(1_000_000))
            try await store.enqueue(Isolated("later", 60))
            let before = store.open.clock.now
            let runner = try makeRunner(store, jobs: [Isolated.self])
            try await runner.run {
                while try store.counts().accepted < 2 { try await turn() }
                let id = JobID(rawValue: 2)
                guard case .waiting(let due, _) = try store.state(of: id) else {
                    Issue.record("\(try store.state(of: id))")
                    return
                }
                let now = store.open.clock.now
                #expect((before...now).contains(due.microseconds - 60_000_000))
                try await store.cancel(id)
            }
        }
    }

    // MARK: Bytes

    @Test("payloads and results of any size arrive whole", arguments: [0, 1, 65_536, 9 << 20])
    func bytes(count: Int) async throws {
        try await withStore { store in
            let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            let job = try await store.enqueue(IsolatedBytes.self, payload: payload)
            try await makeRunner(store, jobs: [IsolatedBytes.self]).run {}
            let result = try await job.result
            #expect(result.count == count + 8)
            #expect(result[8...].elementsEqual(payload))
            #expect(result.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } == count)
        }
    }

    // MARK: Registration

    @Test("what a program cannot do, or may not, is refused where it is registered")
    func registration() async throws {
        struct Unserved: Job {
            static let isolation = Isolation.process
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct Missing: Job {
            static let isolation = Isolation.process(executable: "/no/such/program")
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct Nameless: Job {
            static let isolation = Isolation.process(executable: "sh")
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct None: Job {
            static let isolation = Isolation.process(executable: ServingProgram.path, maxJobs: 0)
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct Tiny: Job {
            static let isolation = Isolation.process(
                executable: ServingProgram.path, maxResidentBytes: 1)
            func run(_ context: JobContext) -> Int { 1 }
        }
        try await withStore { store in
            let cases: [(any JobType.Type, String)] = [
                (Unserved.self, "Petiole.serveChild(jobs:)"), (Missing.self, "/no/such/program"),
                (Nameless.self, "not the path"), (None.self, "1 and more"), (Tiny.self, "1 MiB"),
            ]
            for (type, words) in cases {
                let error = #expect(throws: RunnerError.self) {
                    _ = try makeRunner(store, jobs: [type])
                }
                #expect("\(error!)".contains(words), "\(error!)")
            }
            serveChild(jobs: [Unserved.self])
            _ = try makeRunner(store, jobs: [Unserved.self])
        }
    }

    @Test("a program that serves no children, and one that does not know a type, fail the attempt")
    func unfit() async throws {
        struct Deaf: Job {
            static let isolation = Isolation.process(executable: "/bin/true")
            static let retryPolicy = RetryPolicy.never
            func run(_ context: JobContext) -> Int { 1 }
        }
        struct Stranger: Job {
            static let isolation = Isolation.process(executable: ServingProgram.path)
            static let retryPolicy = RetryPolicy.never
            func run(_ context: JobContext) -> Int { 1 }
        }
        try await withStore { store in
            let deaf = try await store.enqueue(Deaf())
            let stranger = try await store.enqueue(Stranger())
            let inner = try await store.enqueue(Isolated("runner"))
            try await makeRunner(
                store, jobs: [Deaf.self, Stranger.self, Isolated.self]
            ).run {}
            #expect(try store.failure(of: deaf.id).message.contains("does not serve"))
            #expect(try store.failure(of: stranger.id).message.contains("\"Stranger\""))
            #expect(try store.failure(of: inner.id).message.contains("cannot be one itself"))
        }
    }
}
