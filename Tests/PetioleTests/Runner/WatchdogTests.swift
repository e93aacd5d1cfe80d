import Logging
import Testing

@testable import Petiole

@Suite("Watchdog and health", .timeLimit(.minutes(10))) struct WatchdogTests {
    private static let second: Int64 = 1_000_000_000

    @Test(
        "an attempt is far too long from ten times the average on, not before half a minute, and of an unknown kind never",
        arguments: [
            (0, 0, false), (1_000_000, 0, false), (30, 1, false), (31, 1, true), (31, 3, true),
            (31, 4, false), (40, 4, false), (41, 4, true), (9_000, 900, false), (9_001, 900, true),
        ])
    func decision(seconds: Int64, average: Int64, isOverdue: Bool) {
        #expect(
            Watchdog.isOverdue(running: seconds * Self.second, average: average * Self.second)
                == isOverdue)
        #expect(!Watchdog.isOverdue(running: .max, average: .max))
    }

    private func closure(_ begun: Gate, _ gate: Gate) -> JobClosure {
        JobClosure("job") { (number: Int, _) -> Int in
            if number == 0 {
                begun.open()
                gate.block()
            }
            return number
        }
    }

    @Test(
        "a job that runs far longer than its kind is named in the log once, and told to all, as long as it runs"
    )
    func named() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let begun = Gate()
            let gate = Gate()
            let log = Trace<String>()
            var options = JobRunner.Options()
            options.workers = 1
            options.marksCrashes = false
            let runner = try JobRunner(
                store, jobs: [], closures: [closure(begun, gate)], options: options,
                logger: Logger(label: "test") { _ in TracingLog(log) })
            try await runner.run {
                let quick = try await store.numbers("job", [1, 2, 3])
                _ = try await quick[2].result
                let slow = try await store.numbers("job", [0])[0]
                await begun.wait()
                expectEqual(try store.longRuns(), [])
                // The steward looks before it answers who asks, and so has seen it run by then.
                for _ in 0..<3 {
                    _ = await store.open.hasRecordedWhatEnded(of: 1)
                    clock.advance(.seconds(31))
                }
                _ = await store.open.hasRecordedWhatEnded(of: 1)
                let runs = try store.longRuns()
                expectEqual(runs.map { $0.id }, [slow.id])
                #expect(runs[0].average < .seconds(1) && runs[0].others == 0)
                #expect(log.items.count { $0.contains("far longer") } == 1)
                let problems = try store.health().problems
                guard case .longRun(let run)? = problems.first, problems.count == 1 else {
                    Issue.record("\(problems)")
                    return
                }
                expectEqual(run.id, slow.id)
                gate.open()
                _ = try await slow.result
                expectEqual(try store.longRuns(), [])
            }
        }
    }

    @Test("a store without a problem is healthy, and each bound that is passed is named")
    func bounds() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            expectEqual(try store.health().problems, [])
            try await store.numbers("job", [1, 2])
            try await store.numbers(
                "job", [3], options: EnqueueOptions(due: .after(.seconds(9_000))))
            clock.advance(.seconds(600))
            expectEqual(
                try store.health().problems, [.noRunner(queue: "default", jobs: 2)])
            var bounds = HealthBounds()
            bounds.needsRunner = false
            bounds.maxReady = 2
            bounds.maxWaiting = 1
            bounds.maxAge = .seconds(600)
            expectEqual(try store.health(bounds).problems, [])
            bounds.maxReady = 1
            bounds.maxWaiting = 0
            bounds.maxAge = .seconds(599)
            bounds.minFreeBytes = .max
            bounds.maxUsage = 0
            let report = try store.health(bounds)
            expectEqual(
                report.problems,
                [
                    .tooMany(queue: "default", state: .ready, count: 2, limit: 1),
                    .tooMany(queue: "default", state: .waiting, count: 1, limit: 0),
                    .tooOld(queue: "default", age: .seconds(600), limit: .seconds(599)),
                    .littleRoom(freeBytes: report.freeBytes, needed: .max),
                    .nearlyFull(usedBytes: report.usedBytes, limit: report.byteLimit),
                ])
            #expect(report.lastCommit == WallTime(microseconds: clock.storeClock.now - 600_000_000))
            try await store.pause(queue: "default")
            bounds = HealthBounds()
            bounds.maxAge = .zero
            expectEqual(try store.health(bounds).problems, [])
            bounds.queues = ["other"]
            #expect(throws: StoreError.self) { try store.health(bounds) }
            try await store.purge(JobFilter())
        }
    }

    @Test("the oldest job that is ready is neither one that runs nor one that ended or waits")
    func oldest() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let begun = Gate()
            let gate = Gate()
            @Sendable func oldest() throws -> Int64? {
                try store.health().queues.first?.oldest?.components.seconds
            }
            let jobs = try await store.numbers("job", [1, 0])
            clock.advance(.seconds(100))
            let later = try await store.numbers("job", [2, 3])
            clock.advance(.seconds(10))
            expectEqual(try oldest(), 110)
            try await store.cancel(jobs[0].id)
            let runner = try makeRunner(store, [closure(begun, gate)])
            try await runner.run {
                await begun.wait()
                expectEqual(try oldest(), 10)
                try await store.edit(later[0].id, due: .after(.seconds(5)))
                expectEqual(try oldest(), 10)
                try await store.edit(later[1].id, due: .after(.seconds(5)))
                expectEqual(try oldest(), nil)
                clock.advance(.seconds(6))
                gate.open()
                try await expectEqual(later[1].result, 3)
            }
            expectEqual(try oldest(), nil)
        }
    }

    @Test("a runner that does not look around any more is called silent, and one that does is not")
    func silent() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let child = try Child(["serve", directory.store, directory.path + "/effects", "1"])
        try await expectEqual(child.line(), "serving")
        expectEqual(try store.health().problems, [])
        let queue = try #require(try store.health().queues.first)
        #expect(queue.status.ownerPID == Int(child.pid) && queue.beat != nil)
        var bounds = HealthBounds()
        bounds.silence = .nanoseconds(-1)
        guard case .silent("default", Int(child.pid), _)? = try store.health(bounds).problems.first
        else {
            Issue.record("it is not called silent")
            return
        }
        child.kill()
        try await child.end()
    }
}

/// Keeps what is logged.
private struct TracingLog: LogHandler {
    private let log: Trace<String>
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    init(_ log: Trace<String>) { self.log = log }
    func log(event: LogEvent) { log.add("\(event.message) \(event.metadata ?? [:])") }
}
