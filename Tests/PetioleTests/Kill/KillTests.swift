import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Kills", .serialized, .timeLimit(.minutes(15))) struct KillTests {
    /// Makes the store, so that children find it, and closes it again.
    func prepare(
        _ durability: StoreOptions.Durability = .scratch,
        _ body: (JobStore) async throws -> Void = { _ in }
    ) async throws -> TestDirectory {
        let directory = try TestDirectory()
        let store = try directory.open { $0.durability = durability }
        try await body(store)
        store.close()
        return directory
    }

    /// Looks at a store that nobody has open: whole, and with every job that was accepted.
    func check(_ directory: TestDirectory, _ accepted: [ClosedRange<UInt64>]) throws {
        let store = try directory.open()
        defer { store.close() }
        let audit = try Audit(store)
        #expect(audit.problems == [])
        let lost = accepted.flatMap { Array($0) }.filter { !audit.jobs.contains($0) }
        #expect(lost == [], "accepted and not there")
    }

    /// Runs what is left, and looks whether all of it has come to an end, once.
    func finish(
        _ directory: TestDirectory, _ accepted: [ClosedRange<UInt64>]
    ) async throws {
        let effects = directory.path + "/effects"
        let end = try await Child(["run", directory.store, effects, "2"]).end()
        #expect(end == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        let audit = try Audit(store)
        #expect(audit.problems == [])
        #expect(try store.counts().unfinished == 0)
        #expect(audit.outcomes.values.allSatisfy { $0 == .succeeded })
        #expect(Set(audit.outcomes.keys) == audit.jobs)
        let ended = try Effects(effects).ended
        #expect(audit.jobs.subtracting(ended) == [], "succeeded without having run to its end")
        for range in accepted { #expect(range.allSatisfy { audit.outcomes[$0] == .succeeded }) }
    }

    @Test(
        "two producers and a runner, killed again and again, lose no job and end none twice",
        arguments: [(UInt64(1), StoreOptions.Durability.scratch, 16), (2, .durable, 4)])
    func random(seed: UInt64, durability: StoreOptions.Durability, rounds: Int) async throws {
        var random = SeededRandom(seed)
        let directory = try await prepare(durability)
        defer { directory.remove() }
        var accepted: [ClosedRange<UInt64>] = []
        for _ in 0..<rounds {
            let children = [
                try Child(["produce", directory.store, "20000", "1"]),
                try Child([
                    "produce", directory.store, "20000",
                    "\(Int.random(in: 2...600, using: &random))",
                ]),
                try Child(["serve", directory.store, directory.path + "/effects", "2"]),
            ]
            // The process takes some 20 ms to start; a kill may come before, at, or after its first commit.
            try await Child.kill(children.shuffled(using: &random)) {
                .milliseconds(Int.random(in: 1...90, using: &random))
            }
            for child in children {
                accepted += try await child.acceptedIDs()
                #expect(try await child.end() == .signal(SIGKILL))
            }
            try check(directory, accepted)
        }
        #expect(!accepted.isEmpty)
        try await finish(directory, accepted)
    }

    @Test(
        "effects happen once each, however often the runner is killed", arguments: [UInt64(3), 4])
    func effects(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let amounts = Array(1...200)
        let directory = try await prepare { store in
            for amount in amounts {
                try await store.enqueue(
                    name: "Tally", payload: Amount(amount: amount, isLeaf: false))
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        for _ in 0..<8 {
            let child = try Child(["serve", directory.store, effects, "2"])
            #expect(try await child.line() == "serving")
            try await child.kill(after: .microseconds(Int.random(in: 100...15_000, using: &random)))
            #expect(try await child.end() == .signal(SIGKILL))
        }
        #expect(try await Child(["run", directory.store, effects, "2"]).end() == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        #expect(try Audit(store).problems == [])
        let table = try store.table("tally")
        let sum = amounts.reduce(0, +)
        #expect(try table.value(for: "sum", as: Int.self) == sum)
        #expect(try table.value(for: "leaves", as: Int.self) == sum)
        #expect(try store.counts().accepted == 2 * amounts.count)
        #expect(try store.counts().succeeded == 2 * amounts.count)
    }

    @Test(
        "of processes that enqueue the same keys, all are given the same jobs, and killed ones leave no key behind"
    )
    func uniqueKeys() async throws {
        let directory = try await prepare()
        defer { directory.remove() }
        let children = try (0..<3).map { _ in try Child(["unique", directory.store, "200"]) }
        var ids: [[ClosedRange<UInt64>]] = []
        for child in children { ids.append(try await child.acceptedIDs()) }
        for child in children { #expect(try await child.end() == .exit(0)) }
        #expect(ids[0].count == 200 && ids[0] == ids[1] && ids[1] == ids[2])
        try await finish(directory, ids[0])
        var random = SeededRandom(7)
        for _ in 0..<8 {
            let producer = try Child(["unique", directory.store, "2000"])
            let runner = try Child(["serve", directory.store, directory.path + "/effects", "2"])
            #expect(try await runner.line() == "serving")
            try await runner.kill(
                after: .microseconds(Int.random(in: 100...20_000, using: &random)))
            producer.kill()
            _ = try await (producer.end(), runner.end())
        }
        try await finish(directory, [])
        let store = try directory.open()
        defer { store.close() }
        let rows = try store.open.read { (reader) throws(StorageError) in
            try reader.count(store.open.tables.unique)
        }
        #expect(rows == 0)
    }

    private struct Amount: Encodable {
        var amount: Int
        var isLeaf: Bool
    }

    @Test(
        "a producer that dies at any step of a commit has lost nothing that it was told was accepted",
        arguments: ["beforeCommit", "afterCommit", "beforeBell", "afterBell"], [1, 2, 5])
    func producer(point: String, pass: Int) async throws {
        let directory = try await prepare()
        defer { directory.remove() }
        let child = try Child(["produce", directory.store, "20", "3"], crashAt: "\(point):\(pass)")
        let accepted = try await child.acceptedIDs()
        #expect(try await child.end() == .exit(9))
        #expect(accepted.count == pass - 1)
        try check(directory, accepted)
        let store = try directory.open()
        // Behind the commit they are there, though nobody was told.
        #expect(try store.counts().accepted == (point == "beforeCommit" ? pass - 1 : pass) * 3)
        store.close()
        try await finish(directory, accepted)
    }

    @Test(
        "a large enqueue that dies half-way leaves nothing, and one that was published is whole",
        arguments: [
            "stagePart:1", "stagePart:2", "stagePublish:1", "beforeCommit:2", "beforeCommit:5",
            "afterCommit:1", "afterCommit:3", "afterCommit:5",
        ])
    func staging(point: String) async throws {
        let directory = try await prepare()
        defer { directory.remove() }
        let child = try Child(["stage", directory.store], crashAt: point)
        #expect(try await child.acceptedIDs() == [])
        #expect(try await child.end() == .exit(9))
        let store = try directory.open()
        // Begin, three parts, publish: the fifth commit makes all of it visible.
        #expect(try store.counts().accepted == (point == "afterCommit:5" ? 400 : 0))
        let tables = store.open.tables
        let stages = try store.open.read { (reader) throws(StorageError) in
            try reader.count(tables.stages)
        }
        #expect(stages == 0)
        store.close()
        try await finish(directory, [])
    }

    @Test(
        "a runner that dies at any step of a commit is followed by one that ends every job",
        arguments: ["beforeCommit", "afterCommit", "beforeBell", "afterBell"], [2, 3, 6])
    func runner(point: String, pass: Int) async throws {
        let directory = try await prepare { store in
            for kind in ["plain", "flaky"] {
                for _ in 0..<20 { try await store.enqueue(name: "Work", payload: ["kind": kind]) }
            }
        }
        defer { directory.remove() }
        let child = try Child(
            ["run", directory.store, directory.path + "/effects", "2"], crashAt: "\(point):\(pass)")
        #expect(try await child.end() == .exit(9))
        try check(directory, [])
        try await finish(directory, [1...40])
    }

    @Test("a runner that dies while it takes over is followed by one that takes over")
    func takeover() async throws {
        let directory = try await prepare { store in
            for kind in ["hang", "hang", "plain", "plain"] {
                try await store.enqueue(name: "Work", payload: ["kind": kind])
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let first = try Child(
            ["serve", directory.store, effects, "2"], environment: ["CRASH_CHILD_HANGS": "1"])
        var started = 0
        while started < 2, let line = try await first.line() {
            if line.hasPrefix("started") { started += 1 }
        }
        first.kill()
        try await first.end()
        for point in ["takeoverCollected", "takeoverApplied", "takeoverCleared"] {
            let child = try Child(["run", directory.store, effects, "2"], crashAt: "\(point):1")
            #expect(try await child.end() == .exit(9))
            try check(directory, [1...4])
        }
        try await finish(directory, [1...4])
    }

    @Test("what ran when its process was killed runs alone, before anything else, and succeeds")
    func suspects() async throws {
        let directory = try await prepare { store in
            for kind in ["hang", "hang", "plain", "plain", "plain"] {
                try await store.enqueue(name: "Work", payload: ["kind": kind])
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let first = try Child(
            ["serve", directory.store, effects, "2"], environment: ["CRASH_CHILD_HANGS": "1"])
        var started = 0
        while started < 2, let line = try await first.line() {
            if line.hasPrefix("started") { started += 1 }
        }
        first.kill()
        #expect(try await first.end() == .signal(SIGKILL))
        try await finish(directory, [1...5])
        let lines = Array(try Effects(effects).lines.dropFirst(2))
        #expect(Set(lines[0..<4].map { $0.id }) == [1, 2])
        #expect(lines[0].id == lines[1].id && lines[2].id == lines[3].id, "they ran side by side")
        #expect(lines[0..<4].allSatisfy { $0.attempt == 2 })
        #expect(lines[4...].allSatisfy { $0.attempt == 1 })
    }

    @Test("a suspect that was cancelled meanwhile does not keep the others waiting")
    func cancelledSuspect() async throws {
        let directory = try await prepare { store in
            for kind in ["hang", "plain"] {
                try await store.enqueue(name: "Work", payload: ["kind": kind])
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let first = try Child(
            ["serve", directory.store, effects, "1"], environment: ["CRASH_CHILD_HANGS": "1"])
        while let line = try await first.line(), !line.hasPrefix("started") {}
        first.kill()
        try await first.end()
        // Blamed, but the starter dies before it runs anything; then the request is made, and not carried out.
        let second = try Child(
            ["run", directory.store, effects, "1"], crashAt: "takeoverCleared:1")
        #expect(try await second.end() == .exit(9))
        let canceller = try Child(["cancel", directory.store, "1"], crashAt: "cancelRequested:1")
        #expect(try await canceller.end() == .exit(9))
        let third = try Child(["run", directory.store, effects, "1"])
        #expect(try await third.end() == .exit(0))
        let store = try directory.open()
        #expect(try store.outcome(of: JobID(rawValue: 1))?.kind == .cancelled)
        #expect(try store.outcome(of: JobID(rawValue: 2))?.kind == .succeeded)
        expectSound(store)
        store.close()
    }

    @Test("a job that traps is a dead letter after three crashes, and its neighbours succeed")
    func trap() async throws {
        let directory = try await prepare { store in
            for index in 0..<21 {
                try await store.enqueue(
                    name: "Work", payload: ["kind": index == 10 ? "trap" : "plain"])
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        for _ in 0..<3 {
            let child = try Child(["run", directory.store, effects, "2"])
            if case .exit(let code) = try await child.end() {
                Issue.record("a job that traps ended its process with \(code)")
            }
            try check(directory, [1...21])
        }
        #expect(try await Child(["run", directory.store, effects, "2"]).end() == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        #expect(try store.counts().deadLetters == 1)
        #expect(try store.counts().succeeded == 20)
        let outcome = try #require(try store.outcome(of: JobID(rawValue: 11)))
        #expect(outcome.kind == .deadLetter)
        #expect(outcome.failure?.type == "Crash")
        #expect(try store.history(of: JobID(rawValue: 11)).map { $0.attempt } == [1, 2, 3])
        let starts = try Effects(effects).starts
        #expect(starts.filter { $0.id == 11 }.map { $0.attempt } == [1, 2, 3])
        #expect(
            starts.filter { $0.id != 11 }.allSatisfy { $0.attempt == 1 }, "the innocent are blamed")
    }

    @Test(
        "a queue that another process runs is refused with that process named, and taken over when it dies"
    )
    func standby() async throws {
        let directory = try await prepare()
        defer { directory.remove() }
        let child = try Child(["serve", directory.store, directory.path + "/effects", "1"])
        while let line = try await child.line(), line != "serving" {}
        let store = try directory.open()
        defer { store.close() }
        let echo = JobClosure("echo") { (number: Int, _) in number }
        #expect(try store.queues().first?.ownerPID == Int(child.pid))
        await #expect(
            throws: RunnerError.queueOwned(
                queue: "default", pid: Int(child.pid), jobs: ["echo"])
        ) { try await makeRunner(store, [echo]).run {} }
        let job = try await store.numbers("echo", [7])[0]
        let standby = try makeRunner(store, [echo]) { $0.whenOwned = .standby }
        async let result: Int = standby.run { try await job.result }
        child.kill()
        try await child.end()
        // The child parked it, not knowing the name: whoever knows it runs it.
        #expect(try await result == 7)
        expectSound(store)
    }

    #if os(Linux)
        /// How many threads of all processes wait in the kernel for bytes of a store's `locks`.
        private func waiters(_ directory: TestDirectory) throws -> Int {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: directory.store + "/locks")
            let inode = try #require(attributes[.systemFileNumber] as? UInt64)
            return try String(contentsOfFile: "/proc/locks", encoding: .utf8)
                .split(separator: "\n").count { $0.contains("->") && $0.contains(":\(inode) ") }
        }

        @Test(
            "two processes that each run a queue and stand by for the other's wait without a deadlock"
        )
        func crossedStandbys() async throws {
            let directory = try await prepare()
            defer { directory.remove() }
            let store = try directory.open()
            defer { store.close() }
            let here = JobClosure("on-a", queue: "a") { (number: Int, _) in number }
            let there = JobClosure("on-b", queue: "b") { (number: Int, _) in -number }
            let standby = try makeRunner(store, [there]) { $0.whenOwned = .standby }
            let failures = Trace<String>()
            try await makeRunner(store, [here]).run {
                let child = try Child(["crossed", directory.store])
                #expect(try await child.line() == "runs b")
                while try waiters(directory) < 1 { try await turn() }
                // To the kernel, which looks at processes, this wait closes a circle.
                let standing = Task {
                    do {
                        try await standby.run {
                            let job = try await store.numbers(
                                "on-b", [7], options: EnqueueOptions(queue: "b"))[0]
                            try await expectEqual(job.result, -7)
                        }
                    } catch { failures.add("\(error)") }
                }
                while try waiters(directory) < 2, failures.items.isEmpty { try await turn() }
                child.kill()
                #expect(try await child.end() == .signal(SIGKILL))
                await standing.value
            }
            #expect(failures.items == [])
            expectSound(store)
        }

        @Test("a command that a killed runner was just starting is ended before the next attempt")
        func startingCommand() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let program = directory.path + "/program"
            let effects = directory.path + "/effects"
            try writeProgram("#!/bin/sh\necho ran >> \(effects)\n", to: program)
            do {
                let store = try directory.open()
                let command = try Command(arguments: [Array(program.utf8)])
                _ = try await store.enqueue(
                    commands: [JobStore.CommandRequest(command: command)],
                    options: EnqueueOptions())
                store.close()
            }
            // Who opens a file under somebody's lease waits until it is given back: here `exec` does, between the birth of the
            // child and its becoming the program. F_SETSIG 10, F_SETLEASE 1024, F_GETLEASE 1025; SIGURG is ignored.
            let lease = open(program, O_RDONLY | O_CLOEXEC)
            try #require(fcntl(lease, 10, SIGURG) == 0)
            try #require(fcntl(lease, 1024, Int32(F_WRLCK)) == 0)

            let first = try Child(["commands", directory.store, "1", "serve"])
            #expect(try await first.line() == "serving")
            while fcntl(lease, 1025) == Int32(F_WRLCK) { try await turn() }
            let held = try #require(
                ProcessIdentity.allPIDs().first {
                    ProcessIdentity.info(of: $0)?.parent == first.pid
                })
            first.kill()
            #expect(try await first.end() == .signal(SIGKILL))
            #expect(ProcessIdentity.info(of: held) != nil)

            let second = try Child(["commands", directory.store, "1", "drain"])
            #expect(try await second.line() == "serving")
            #expect(ProcessIdentity.info(of: held) == nil, "two attempts overlap")
            close(lease)
            #expect(try await second.end() == .exit(0))
            #expect(try String(contentsOfFile: effects, encoding: .utf8) == "ran\n")
            try check(directory, [1...1])
        }

        @Test(
            "a command that was stopped and has ended, but is not recorded yet, is not said to be cancelled before it started"
        )
        func cancelledWhileEnding() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let (up, go) = (directory.path + "/up", directory.path + "/go")
            for pipe in [up, go] { mkfifo(pipe, 0o600) }
            // Asked to stop, it ends when it is let.
            let script = "trap 'read line <\(go); exit 1' TERM; echo up >\(up); sleep 1000 & wait"
            let store = try directory.open()
            defer { store.close() }
            let command = try Command(
                arguments: ["/bin/sh", "-c", script].map { Array($0.utf8) })
            _ = try await store.enqueue(
                commands: [JobStore.CommandRequest(command: command)], options: EnqueueOptions())
            let runner = try Child(["commands", directory.store, "1", "serve"])
            // Opens when the command does.
            close(try await onThread("test-up") { open(up, O_RDONLY | O_CLOEXEC) })

            let signals = store.open.signals
            let order: @Sendable (CrashPoint) -> Void = { point in
                guard point == .cancelRequested else { return }
                // The runner has heard the request, and answers it while the command is still there.
                let asked = signals.control.value
                let answer = store.open.slots.answer(seat: 0)
                while !answer.isGiven(to: asked) { answer.wait(for: asked, atMost: .max) }
                // It cannot record what comes now: we are the one who writes.
                let (begun, over) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
                store.open.writer.submit(
                    OperationSubmission { (_, _) throws(StorageError) in
                        begun.signal()
                        over.wait()
                    } completion: { _ in
                    })
                begun.wait()
                // Opening both ends does not wait for a reader, who may be gone.
                let pipe = open(go, O_RDWR | O_CLOEXEC)
                _ = write(pipe, "\n", 1)
                while store.open.slots.slot(of: 1) != nil { sched_yield() }
                close(pipe)
                kill(runner.pid, SIGSTOP)
                while !isStopped(runner.pid) { sched_yield() }
                over.signal()
                // It goes on when it is asked again.
                Thread.detachNewThread {
                    while signals.control.value == asked { signals.control.wait(whileAt: asked) }
                    kill(runner.pid, SIGCONT)
                }
            }
            let result = try await CrashPoint.$observer.withValue(order) {
                try await store.cancel(JobID(rawValue: 1))
            }
            signals.control.ring()
            #expect(result == .stopping)
            runner.kill()
            #expect(try await runner.end() == .signal(SIGKILL))
            let outcome = try #require(try store.outcome(of: JobID(rawValue: 1)))
            #expect(outcome.kind == .cancelled && outcome.attempt == 1)
            expectSound(store)
        }

        private func isStopped(_ pid: pid_t) -> Bool {
            // A process that is gone is not waited for.
            guard let line = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            else { return true }
            return line.split(separator: ") ").last?.hasPrefix("T") ?? true
        }
    #endif

    @Test("a job that ends in another process wakes who awaits it here, and is cancelled from here")
    func acrossProcesses() async throws {
        let directory = try await prepare()
        defer { directory.remove() }
        let child = try Child(
            ["serve", directory.store, directory.path + "/effects", "1"],
            environment: ["CRASH_CHILD_HANGS": "1"])
        while let line = try await child.line(), line != "serving" {}
        let store = try directory.open()
        defer { store.close() }
        let plain = try await store.enqueue(
            name: "Work", payload: ["kind": "plain"], output: Int.self)
        #expect(try await plain.result == Int(plain.id.rawValue))
        let hang = try await store.enqueue(
            name: "Work", payload: ["kind": "hang"], output: Int.self)
        while let line = try await child.line(), !line.hasPrefix("started") {}
        let behind = try await store.enqueue(
            name: "Work", payload: ["kind": "plain"], output: Int.self)
        #expect(try await store.cancel(behind.id) == .cancelled)
        #expect(try await store.cancel(hang.id) == .stopping)
        if case .running(1, _, let pid) = try hang.state {
            #expect(pid == Int(child.pid))
        } else {
            Issue.record("\(try hang.state) is not running")
        }
        child.kill()
        try await child.end()
        #expect(try hang.state == .ready)
        #expect(
            try await Child(["run", directory.store, directory.path + "/effects", "1"]).end()
                == .exit(0))
        await #expect(throws: JobError.cancelled(hang.id)) { try await hang.result }
        expectSound(store)
    }
}

/// Repeatable numbers: SplitMix64.
/// - Source: G. Steele and others, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
