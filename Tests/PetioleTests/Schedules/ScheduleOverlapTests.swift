import PetioleTesting
import Testing

@testable import Petiole

@Suite("Schedules whose jobs overlap", .timeLimit(.minutes(10))) struct ScheduleOverlapTests {
    /// A store with a schedule of each ten minutes, whose jobs wait: nobody runs them until somebody asks.
    private func withSchedule(
        _ overlap: Schedule.Overlap, missed: MissedRuns = .once,
        _ body: (JobStore, TestRunner, TestClock) async throws -> Void
    ) async throws {
        // One that is unknown is parked: it has not ended, however often it is met.
        try await withScheduleStore(closures: [], runner: { $0.queues = ["default"] }) {
            store, runner, clock in
            _ = try await runner.step()
            try await store.add(
                schedule: .note("ten", .cron("*/10 * * * *")) {
                    $0.overlap = overlap
                    $0.missed = missed
                })
            try await body(store, runner, clock)
        }
    }

    private func fire(_ store: JobStore, _ runner: TestRunner) async throws -> [Int] {
        _ = try await runner.drain()
        let status = try store.schedule(named: "ten")
        return [status.firedCount, status.skippedCount, status.missedCount]
    }

    @Test("allowed, each is enqueued while others have not ended")
    func allow() async throws {
        try await withSchedule(.allow) { store, runner, clock in
            for count in 1...3 {
                clock.advance(.seconds(600))
                try await expectEqual(fire(store, runner), [count, 0, 0])
            }
        }
    }

    @Test("to be skipped, a time is left out while the job before has not ended")
    func skip() async throws {
        try await withSchedule(.skip) { store, runner, clock in
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [1, 0, 0])
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [1, 1, 0])
            let first = try #require(try store.schedule(named: "ten").lastJob)
            #expect(try await store.cancel(first) == .cancelled)
            clock.advance(.seconds(599))
            try await expectEqual(fire(store, runner), [1, 1, 0])
            clock.advance(.seconds(1))
            try await expectEqual(fire(store, runner), [2, 1, 0])
            // Requeued, the first one has not ended any more; it is the last one that counts.
            let second = try #require(try store.schedule(named: "ten").lastJob)
            #expect(try await store.cancel(second) == .cancelled)
            _ = try await store.requeue(second)
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [2, 2, 0])
            // Purged, it is no more.
            _ = try await store.cancel(second)
            _ = try await store.purge(JobFilter())
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [3, 2, 0])
        }
    }

    @Test("to be queued, one waits for the end of the job before, and the others are left out")
    func queueOne() async throws {
        try await withSchedule(.queueOne) { store, runner, clock in
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [1, 0, 0])
            let first = try #require(try store.schedule(named: "ten").lastJob)
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [1, 0, 0])
            #expect(try store.schedule(named: "ten").waiting == instant("2026-11-27 12:20:00"))
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [1, 1, 0])
            #expect(try await store.cancel(first) == .cancelled)
            // At once, and for the time that has waited.
            try await expectEqual(fire(store, runner), [2, 1, 0])
            let status = try store.schedule(named: "ten")
            #expect(status.waiting == nil && status.lastPlanned == instant("2026-11-27 12:20:00"))
            #expect(status.next == instant("2026-11-27 12:40:00"))
            // While it is paused nothing goes on; behind that, what waits does.
            clock.advance(.seconds(600))
            try await expectEqual(fire(store, runner), [2, 1, 0])
            #expect(try await store.pause(schedule: "ten"))
            #expect(try await store.cancel(#require(status.lastJob)) == .cancelled)
            try await expectEqual(fire(store, runner), [2, 1, 0])
            clock.advance(.seconds(1_200))
            #expect(try await store.resume(schedule: "ten"))
            try await expectEqual(fire(store, runner), [3, 1, 0])
            #expect(try store.schedule(named: "ten").next == instant("2026-11-27 13:10:00"))
        }
    }

    @Test("what was missed overlaps as anything else does")
    func missedTogether() async throws {
        for (overlap, counts) in [
            (.allow, [5, 0, 0]), (.skip, [1, 4, 0]), (.queueOne, [1, 3, 0]),
        ] as [(Schedule.Overlap, [Int])] {
            try await withSchedule(overlap, missed: .all(atMost: 100)) { store, runner, clock in
                clock.advance(.seconds(3_000))
                try await expectEqual(fire(store, runner), counts)
            }
        }
    }

    @Test("a job that ends on a thread lets the next one begin, with nobody looking")
    func queueOneAfterRun() async throws {
        let begun = Gate()
        let gate = Gate()
        let ran = Trace<String>()
        let slow = JobClosure("note") { (what: String, context) -> String in
            ran.add(context.plannedTime?.description ?? "-")
            begun.open()
            gate.block()
            return what
        }
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2026-11-27 12:00:00")
        try await withStore(clock: clock) { store in
            try await store.add(
                schedule: .note("ten", .cron("*/10 * * * *")) { $0.overlap = .queueOne })
            let runner = try makeRunner(store, [slow])
            try await runner.run {
                clock.advance(.seconds(600), store)
                await begun.wait()
                clock.advance(.seconds(600), store)
                while try store.schedule(named: "ten").waiting == nil { try await turn() }
                gate.open()
                while try store.schedule(named: "ten").firedCount < 2 { try await turn() }
            }
            #expect(ran.items == ["2026-11-27T12:10:00Z", "2026-11-27T12:20:00Z"])
        }
    }
}
