import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Stopping jobs in child processes", .timeLimit(.minutes(10))) struct IsolatedStopTests {
    @Test("a job that heeds a cancel is cancelled, and its child goes on with the next")
    func heeded() async throws {
        try await withStore { store in
            let first = try await store.enqueue(Isolated("plain"))
            let sync = try await store.enqueue(Isolated("heed"))
            let task = try await store.enqueue(IsolatedTask("sleep"))
            let after = try await store.enqueue(Isolated("plain"))
            let runner = try makeRunner(store, jobs: [Isolated.self, IsolatedTask.self])
            try await runner.run {
                for id in [sync.id, task.id] {
                    try await store.awaitProgress(of: id)
                    try await expectEqual(store.cancel(id), .stopping)
                    await #expect(throws: JobError.cancelled(id)) {
                        try await store.handle(of: id, output: Int.self).result
                    }
                }
                try await expectEqual(after.result, first.result)
            }
        }
    }

    @Test("a job that does not heed a cancel is killed with its child when its grace is over")
    func killed() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Isolated("hang"))
            let after = try await store.enqueue(Isolated("plain"))
            let runner = try makeRunner(store, jobs: [Isolated.self])
            runner.core.children.stopGrace = .milliseconds(20)
            try await runner.run {
                try await store.awaitProgress(of: job.id)
                try await store.cancel(job.id)
                await #expect(throws: JobError.cancelled(job.id)) { try await job.result }
                _ = try await after.result
            }
        }
    }

    @Test("a stop that comes when the job has ended does nothing to the next one in the child")
    func lateStop() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Isolated.self])
            try await runner.run {
                _ = try await store.enqueue(Isolated("plain")).result
                let settings = try #require(runner.core.children.idleSettings)
                let child = try runner.core.children.take(settings)
                // As the worker does it, step by step: asked for job 7 when 7 is over, and when 8 runs.
                child.begin(7)
                child.finish()
                child.ask(ChildOrder(.stop, job: 7), grace: .zero)
                child.kill(7)
                child.begin(8)
                child.ask(ChildOrder(.stop, job: 7), grace: .zero)
                child.kill(7)
                child.finish()
                #expect(child.isFit && child.passOn())
                runner.core.children.give(child)
                let pid = Int(child.process.pid)
                try await expectEqual(store.enqueue(Isolated("plain")).result, pid)
            }
        }
    }

    @Test(
        "an attempt is asked to stop at its soft limit, and its process is killed at the hard one")
    func limits() async throws {
        try await withStore { store in
            func enqueue(_ kind: String, _ limit: TimeLimit) async throws -> JobHandle<Int> {
                try await store.enqueue(
                    Isolated(kind), options: EnqueueOptions(timeLimit: limit))
            }
            let soft = TimeLimit(soft: .milliseconds(20))
            let heeding = try await enqueue("heed", soft)
            let task = try await store.enqueue(
                IsolatedTask("sleep"), options: EnqueueOptions(timeLimit: soft))
            let hard = try await enqueue("hang", TimeLimit(hard: .milliseconds(50)))
            // The grace of one that was asked is shorter here, and does not count: there is a hard limit. It has begun when it is
            // asked: else it would not be started any more.
            let both = try await enqueue(
                "hang", TimeLimit(soft: .milliseconds(1_500), hard: .milliseconds(2_000)))
            let deaf = try await enqueue("hang", soft)
            let within = try await enqueue("plain", TimeLimit(hard: .seconds(3_600)))
            let runner = try makeRunner(store, jobs: [Isolated.self, IsolatedTask.self])
            runner.core.children.stopGrace = .milliseconds(1)
            try await runner.run {}
            func text(_ id: JobID) throws -> String { try store.failure(of: id).message }
            for id in [heeding.id, task.id, hard.id, both.id, deaf.id] {
                #expect(try store.failure(of: id).type == "TimeLimitExceeded")
            }
            #expect(try text(heeding.id) == "it ran for longer than 0.02 seconds and was stopped")
            #expect(try text(task.id) == text(heeding.id))
            #expect(
                try text(hard.id)
                    == "it ran for longer than 0.05 seconds and its process was killed (SIGKILL)")
            #expect(try text(both.id).contains("2.0 seconds and its process was killed"))
            #expect(try text(deaf.id) == text(heeding.id))
            _ = try await within.result
        }
    }

    @Test("when both limits have passed at one look, who is asked to stop is left to the hard one")
    func bothAtOnce() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Isolated.self])
            try await runner.run {
                let core = runner.core
                let lent = core.places.takeSlots(upTo: 1)
                let limit = TimeLimit(soft: .microseconds(1), hard: .microseconds(2))
                core.deadlines.begin(7, try #require(lent.first), limit, core.stoppables)
                while core.deadlines.hardPassed(7) == nil { try await turn() }
                #expect(core.deadlines.endsLater(7))
                _ = core.deadlines.end(7)
                core.places.giveSlots(lent)
            }
        }
    }

    @Test("a job type that is isolated may have a hard limit, and so may its enqueues")
    func hardLimit() async throws {
        struct Hard: IsolatedKind {
            static let isolation = Isolated.isolation
            static let timeLimit: TimeLimit? = TimeLimit(hard: .milliseconds(50))
            var kind: String
            var number: Int
            var path: String
        }
        struct OnThread: Job {
            func run(_ context: JobContext) -> Int { 1 }
        }
        try await withStore { store in
            let job = try await store.enqueue(Hard("hang"), options: EnqueueOptions(maxAttempts: 2))
            let options = EnqueueOptions(timeLimit: TimeLimit(hard: .seconds(1)))
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(OnThread(), options: options)
            }
            try await makeRunner(store, jobs: [Hard.self]).run {}
            #expect(try store.history(of: job.id).map { $0.failure.type } == ["TimeLimitExceeded"])
            #expect(try store.outcome(of: job.id)?.kind == .deadLetter)
        }
    }

    @Test(
        "a second stop of the runner asks jobs in children to stop, and they are left for the next")
    func secondStop() async throws {
        try await withStore { store in
            let jobs = [
                try await store.enqueue(Isolated("heed")).id,
                try await store.enqueue(IsolatedTask("sleep")).id,
                try await store.enqueue(Isolated("hang")).id,
            ]
            let runner = try makeRunner(
                store, jobs: [Isolated.self, IsolatedTask.self], workers: 3)
            runner.core.children.stopGrace = .milliseconds(20)
            try await runner.run {
                for id in jobs { try await store.awaitProgress(of: id) }
                runner.stop()
                runner.stop()
            }
            for id in jobs {
                guard case .ready = try store.state(of: id) else {
                    Issue.record("\(id): \(try store.state(of: id))")
                    continue
                }
                try await store.cancel(id)
            }
        }
    }

    @Test("a job in a child that waits for another lets that one run, on one thread too")
    func waiting() async throws {
        try await withStore { store in
            let sync = try await store.enqueue(Isolated("wait", 3))
            let task = try await store.enqueue(IsolatedTask("wait", 3))
            let waited = try await store.enqueue(Isolated("plain"))
            try await makeRunner(store, jobs: [Isolated.self, IsolatedTask.self]).run {}
            try await expectEqual(sync.result, waited.result)
            try await expectEqual(task.result, 2 * waited.result)
        }
    }

    @Test("of jobs in children that wait, one too many is postponed, and all come to an end")
    func tooManyWaiting() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let waiting = [
                try await store.enqueue(Isolated("wait", 4)).id,
                try await store.enqueue(IsolatedTask("wait", 4)).id,
                try await store.enqueue(Isolated("wait", 4)).id,
            ]
            let waited = try await store.enqueue(Isolated("plain"))
            let runner = try makeRunner(store, jobs: [Isolated.self, IsolatedTask.self])
            runner.core.spareLimit = 1
            try await runner.run {
                _ = try await waited.result
                // Those that were refused wait for about a second.
                while try store.counts().unfinished > 0 {
                    clock.advance(.seconds(2), store)
                    try await turn()
                }
            }
            for id in waiting {
                #expect(try store.outcome(of: id)?.kind == .succeeded)
                #expect(try store.outcome(of: id)?.attempt == 1)
            }
            #expect(try store.counts().retries == 0)
        }
    }

    @Test(
        "a cancel, and a hard limit, that come while a child starts end the attempt before it begins",
        arguments: [false, true])
    func duringStart(isLimit: Bool) async throws {
        let program = try ScriptedProgram.slow()
        defer { program.remove() }
        try await ScriptedProgram.$path.withValue(program.path) {
            try await withStore { store in
                let options = EnqueueOptions(
                    timeLimit: isLimit ? TimeLimit(hard: .milliseconds(5)) : nil)
                let job = try await store.enqueue(ScriptedKind("fault"), options: options)
                let after = try await store.enqueue(ScriptedKind("plain"))
                try await makeRunner(store, jobs: [ScriptedKind.self]).run {
                    let slots = store.open.slots
                    while slots.slot(of: job.id.rawValue) == nil { try await turn() }
                    if !isLimit { try await expectEqual(store.cancel(job.id), .stopping) }
                    while slots.slot(of: job.id.rawValue)?.stopping != job.id.rawValue {
                        try await turn()
                    }
                    try await onThread("test-go") { try program.letGo() }
                    _ = try await after.result
                }
                let outcome = try #require(try store.outcome(of: job.id))
                #expect(outcome.kind == (isLimit ? .failed : .cancelled))
                #expect(outcome.failure?.type == (isLimit ? "TimeLimitExceeded" : nil))
            }
        }
    }

    @Test("a job in a child that waits for another is cancelled while it waits")
    func cancelledWaiting() async throws {
        try await withStore { store in
            // Of a queue that nobody runs.
            let never = try await store.enqueue(
                Isolated("plain"), options: EnqueueOptions(queue: "nobody"))
            let sync = try await store.enqueue(Isolated("wait", Int(never.id.rawValue)))
            let after = try await store.enqueue(Isolated("plain"))
            try await makeRunner(store, jobs: [Isolated.self]).run {
                // It waits: its thread runs the next one.
                _ = try await after.result
                try await store.cancel(sync.id)
                await #expect(throws: JobError.cancelled(sync.id)) { try await sync.result }
            }
            try await store.cancel(never.id)
        }
    }
}
