import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

/// Notes for when it was planned.
let noting = JobClosure("note") { (what: String, context) -> String in
    "\(what) \(context.schedule ?? "-") \(context.plannedTime?.description ?? "-")"
}

/// An instant of UTC, as a schedule prints it.
func instant(_ text: String) -> WallTime {
    let numbers = text.split { !$0.isNumber }.map { Int($0)! } + [0, 0, 0]
    let date = CivilDate(year: numbers[0], month: numbers[1], day: numbers[2])
    let time = CivilTime(date, numbers[3], numbers[4], numbers[5])
    return WallTime(microseconds: time.seconds * 1_000_000)
}

extension TestClock {
    /// Moves the system's clock there.
    func set(to time: String) {
        set(by: .microseconds(instant(time).microseconds - now.microseconds))
    }

    /// Lets time go by until then.
    func advance(to time: String) {
        advance(.microseconds(instant(time).microseconds - now.microseconds))
    }
}

extension Schedule {
    /// A schedule of the closure above.
    static func note(
        _ name: String, _ rule: Rule, in zone: String = "UTC",
        _ configure: (inout Schedule) -> Void = { _ in }
    ) -> Schedule {
        var schedule = Schedule(
            job: "note", json: "\"\(name)\"", rule, in: zone, name: name)
        configure(&schedule)
        return schedule
    }
}

/// A store whose clock stands still at an instant, and a runner that knows ``noting``.
func withScheduleStore<Value>(
    at time: String = "2026-11-27 12:00:00", closures: [JobClosure] = [noting],
    options: (inout StoreOptions) -> Void = { _ in },
    runner: (inout JobRunner.Options) -> Void = { _ in },
    _ body: (JobStore, TestRunner, TestClock) async throws -> Value
) async throws -> Value {
    let clock = TestClock(isFrozen: true)
    clock.set(to: time)
    return try await withTestStore(
        clock: clock, closures: closures, options: options, runner: runner
    ) { store, runner in
        let value = try await body(store, runner, clock)
        expectSound(store)
        return value
    }
}

extension TestRunner {
    /// Runs what is there, and gives the planned times of the jobs that have run, as hours and minutes.
    func planned() async throws -> [String] {
        try await drain().steps.compactMap { job in
            try store.plannedRun(of: job.id).map { run in
                let text = WallTime(microseconds: run.time).description
                return String(text.dropFirst(11).prefix(5))
            }
        }
    }
}

extension JobStore {
    /// The planned time for which a job was enqueued.
    func plannedRun(of id: JobID) throws -> PlannedRun? {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            guard let block = try Lookup.block(id.rawValue, reader, tables) else { return nil }
            return try formatted { () throws(FormatError) in
                try block.entry(id.rawValue).options().planned
            }
        }
    }
}

extension JobStore {
    /// What all jobs were planned for, in the order in which they were enqueued.
    func plannedRuns() throws -> [PlannedRun] {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            var runs: [PlannedRun] = []
            let cursor = try reader.cursor(tables.jobs)
            var entry = try cursor.first()
            while let (key, value) = entry {
                try formatted { () throws(FormatError) in
                    let block = try JobBlockView(first: key.bigEndian(at: 0), value: value)
                    for id in key.bigEndian(at: 0, as: UInt64.self)..<block.end {
                        if let run = try block.entry(id).options().planned { runs.append(run) }
                    }
                }
                entry = try cursor.next()
            }
            return runs
        }
    }
}
