import Foundation
import Testing

@testable import Petiole

@Suite("Schedules of processes that die", .serialized, .timeLimit(.minutes(10)))
struct ScheduleKillTests {
    /// 20 ms: some times come while each process lives.
    private static let interval: Int64 = 20_000

    /// A store with a schedule that comes 50 times a second, by the clock, and misses none: what nobody could fire is fired later.
    private func prepare() async throws -> TestDirectory {
        let directory = try TestDirectory()
        let store = try directory.open()
        let schedule = Schedule(
            job: "tick", json: "1", .every(.microseconds(Self.interval), alignedTo: .clock),
            in: "UTC")
        try await store.add(schedule: schedule.missing(.all(atMost: 1_000)))
        store.close()
        return directory
    }

    /// Each planned time from the first to the last is there once.
    private func check(_ directory: TestDirectory, atLeast: Int) throws {
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        let times = try store.plannedRuns().map { $0.time }
        #expect(times.count >= atLeast)
        let steps = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(steps.allSatisfy { $0 == Self.interval }, "\(Set(steps))")
        let status = try store.schedule(named: "tick")
        #expect(status.firedCount == times.count && status.missedCount == 0)
        #expect(status.lastPlanned?.microseconds == times.last)
        #expect(status.next?.microseconds == times.last.map { $0 + Self.interval })
    }

    @Test(
        "each planned time is enqueued once, though the runner dies 50 times, before, in and behind the commit that fires"
    )
    func killed() async throws {
        var random = SeededRandom(50)
        let directory = try await prepare()
        defer { directory.remove() }
        let points = ["beforeCommit", "afterCommit", "beforeBell", "afterBell"]
        for round in 0..<50 {
            if round % 2 == 0 {
                let point = points[round / 2 % points.count]
                let child = try Child(
                    ["tick", directory.store],
                    crashAt: "\(point):\(Int.random(in: 1...12, using: &random))")
                #expect(try await child.end() == .exit(9))
            } else {
                let child = try Child(["tick", directory.store])
                #expect(try await child.line() == "serving")
                try await child.kill(
                    after: .microseconds(Int.random(in: 0...40_000, using: &random)))
                #expect(try await child.end() == .signal(SIGKILL))
            }
        }
        try check(directory, atLeast: 50)
    }

    @Test(
        "of runners that race for the queue one fires each planned time, whoever dies or is suspended"
    )
    func racing() async throws {
        var random = SeededRandom(7)
        let directory = try await prepare()
        defer { directory.remove() }
        var owner = try Child(["tick", directory.store])
        #expect(try await owner.line() == "serving")
        for round in 0..<12 {
            // It waits in the kernel until the other one lets go.
            let next = try Child(["tick", directory.store])
            if round % 3 == 0 {
                kill(owner.pid, SIGSTOP)
                try await owner.kill(after: .milliseconds(100))
            } else if round % 3 == 1 {
                kill(owner.pid, SIGSTOP)
                let pid = owner.pid
                // Suspended for a tenth of a second, in which five times come.
                try await onThread("test-continue") {
                    usleep(100_000)
                    kill(pid, SIGCONT)
                }
                try await owner.kill(
                    after: .microseconds(Int.random(in: 0...50_000, using: &random)))
            } else {
                try await owner.kill(
                    after: .microseconds(Int.random(in: 0...50_000, using: &random)))
            }
            #expect(try await owner.end() == .signal(SIGKILL))
            #expect(try await next.line() == "serving")
            owner = next
        }
        owner.kill()
        _ = try await owner.end()
        try check(directory, atLeast: 12)
    }

    @Test("a program that is killed while it declares its schedules has all of a change, or none")
    func declaring() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        try directory.open().close()
        var rules: [String] = []
        for round in 0..<12 {
            let rule = "\(round) 0 0 1 1 *"
            rules.append(rule)
            let points = ["beforeCommit", "afterCommit", "beforeBell"]
            let child = try Child(
                ["declare", directory.store, rule],
                crashAt: "\(points[round % 3]):\(1 + round / 3)")
            _ = try await child.line()
            child.kill()
            _ = try await child.end()
            let store = try directory.open()
            defer { store.close() }
            expectSound(store)
            if let status = try store.schedules().first {
                #expect(rules.contains(status.rule))
                let second = try #require(status.rule.split(separator: " ").first)
                #expect(
                    status.next?.description.hasSuffix(
                        "-01-01T00:00:\(second.count == 1 ? "0" : "")\(second)Z") ?? false)
            }
        }
        let store = try directory.open()
        defer { store.close() }
        #expect(try store.schedules().count == 1)
    }
}

extension Schedule {
    fileprivate func missing(_ missed: MissedRuns) -> Schedule {
        var schedule = self
        schedule.missed = missed
        return schedule
    }
}
