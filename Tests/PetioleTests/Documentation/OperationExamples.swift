import Petiole

// The examples of Operations.md: see `Examples.swift`.

enum OperationExamples {
    static func listing(_ store: JobStore, _ now: WallTime) throws -> JobID? {
        var recent = JobFilter()
        recent.states = [.failed, .deadLetter]
        recent.error = "No space left"
        recent.endedSince = WallTime(microseconds: now.microseconds - 3_600_000_000)
        for job in try store.jobs(recent, limit: 20) { print(job.id, job.name, job.state) }

        var page = JobFilter()
        while let last = try store.jobs(page, limit: 50).last { page.after = last.id }
        return page.after
    }

    static func following(_ store: JobStore) async throws {
        for await event in try await store.events() {
            print(event.position, event.kind, event.ids)
            if case .ended = event.kind { break }
        }
    }

    static func comingBack(_ store: JobStore, _ position: UInt64) async throws {
        try await store.keepEvents(true)
        let later = try await store.events(after: position)
        for await _ in later { break }
        try await store.keepEvents(false)
    }

    static func lineage(_ store: JobStore, _ job: JobHandle<Int>) throws -> Int {
        for child in try store.children(of: job.id) { print(child) }
        let family = try store.family(of: job.id, limit: 100)
        for member in family.members {
            print(String(repeating: "  ", count: member.depth), member.summary.id)
        }
        return family.members.count
    }

    static func requeueing(_ store: JobStore, _ failure: JobFailure) async throws -> Int {
        var alike = JobFilter()
        alike.fingerprint = failure.fingerprint
        let count = try await store.requeue(matching: alike)
        return count
    }

    static func pausing(_ store: JobStore) async throws {
        try await store.pause(queue: "reports")
        try await store.pause(jobType: "SendReport")

        for type in try store.pausedJobTypes() { print(type.name, type.queue ?? "everywhere") }

        try await store.resume(jobType: "SendReport")
        try await store.resume(queue: "reports")
    }

    static func purging(_ store: JobStore) async throws -> PurgeCounts {
        var stale = JobFilter()
        stale.queue = "reports"
        stale.states = [.ready, .waiting]
        let found = try await store.purge(stale, dryRun: true)
        print("\(found.deleted) jobs would go")
        let gone = try await store.purge(stale)
        return gone
    }

    static func holding(_ store: JobStore, _ job: JobHandle<Int>) async throws {
        if try await store.hold(job.id) == .held { print("it does not start") }
        print(try await store.release(job.id))
    }

    static func following(_ store: JobStore, _ job: JobHandle<Int>) async throws -> JobState {
        var behind = EnqueueOptions()
        behind.after = [.success(of: job.id)]
        let next = try await store.enqueue(SendReport(month: "2026-12"), options: behind)
        print(try next.state)
        return try next.state
    }

    static func draining(_ store: JobStore) async throws {
        switch try await store.waitUntilDrained(queue: "reports", timeout: .seconds(600)) {
        case .drained: print("nothing is left to run")
        case .setAside(let count): print("\(count) are parked or paused")
        case .timedOut(let count): print("\(count) have not ended")
        }
    }

    static func health(_ store: JobStore) throws -> HealthReport {
        var bounds = HealthBounds()
        bounds.maxReady = 10_000
        bounds.maxAge = .seconds(600)
        let report = try store.health(bounds)
        for problem in report.problems { print(problem) }
        return report
    }

    static func backup(_ store: JobStore, _ path: String) async throws {
        let copied = try await store.backup(to: path)
        print(copied.bytes, copied.jobs ?? 0)
    }

    static func compaction(_ path: String) async throws {
        let report = try await JobStore.compact(at: path)
        print(report.bytesBefore, report.bytesAfter)
    }

    static func editing(_ store: JobStore, _ job: JobHandle<Int>) async throws {
        switch try await store.edit(job.id, due: .after(.seconds(3_600)), priority: 1) {
        case .edited: print("it runs in an hour, before others")
        case .started: print("it runs already, and nothing was changed")
        case .ended: print("it had ended")
        case .expiresBefore: print("it would expire before")
        case .awaiting: print("it waits for others of its workflow")
        case .unanswered(let pid): print("process \(pid) does not say whether it runs")
        }
    }
}
