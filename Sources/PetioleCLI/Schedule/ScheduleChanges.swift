import ArgumentParser
import Petiole

/// `petiole schedule pause`: no time of a schedule comes for a while.
struct SchedulePause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Pause schedules: nothing is enqueued for them until they are resumed.",
        discussion: """
            Holds also when a program that declares one starts again. What was enqueued already runs.

            With --json one object each: v, name, result (paused, unchanged, missing, failed).

            EXAMPLES
              petiole schedule pause nightly poll
            """)

    @OptionGroup var choice: ScheduleNames

    func run() async throws {
        try await choice.answer { store, name in
            try await store.pause(schedule: name)
                ? ("paused", "\(name) is paused") : ("unchanged", "\(name) was paused already")
        }
    }
}

/// `petiole schedule resume`: lets them go on.
struct ScheduleResume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Let paused schedules go on, with their next planned time from now on.",
        discussion: """
            Times that came while one was paused were not wanted: they are neither enqueued nor counted as missed.

            With --json one object each: v, name, result (resumed, unchanged, missing, failed).

            EXAMPLES
              petiole schedule resume nightly
            """)

    @OptionGroup var choice: ScheduleNames

    func run() async throws {
        try await choice.answer { store, name in
            guard try await store.resume(schedule: name) else {
                return ("unchanged", "\(name) was not paused")
            }
            let schedule = try store.schedule(named: name)
            let next = schedule.next.map {
                ", next \(ZoneTime.text($0, ZoneTime.zone(schedule.zone)))"
            }
            return ("resumed", "\(name) is \(ScheduleText.state(schedule))\(next ?? "")")
        }
    }
}

/// `petiole schedule remove`: takes schedules out of the store.
struct ScheduleRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove schedules. What they have enqueued stays.",
        discussion: """
            One that a program declares is removed when that program does not declare it any more: it is disabled then; or \
            when it is paused: then its program adds it again when it starts.

            With --json one object each: v, name, result (removed, declared, missing, failed).

            EXAMPLES
              petiole schedule remove nightly
            """)

    @OptionGroup var choice: ScheduleNames

    func run() async throws {
        try await choice.answer { store, name in
            try await store.remove(schedule: name)
            return ("removed", "\(name) is removed")
        }
    }
}

/// Which schedules a change is about, and what came of it for each.
struct ScheduleNames: ParsableArguments {
    @Flag(help: "Print a JSON object for each: v, name, result.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Names of schedules.", valueName: "name"))
    var names: [String]

    /// Changes each; those that cannot be changed are told behind the others.
    func answer(
        _ change: (JobStore, String) async throws -> (result: String, text: String)
    ) async throws {
        let store = try location.openExisting()
        var failures: [Failure] = []
        for name in names {
            var answer: (result: String, text: String?)
            do { answer = try await change(store, name) } catch {
                // Whatever it was, the others are tried.
                guard let failure = Failure(error) else { throw error }
                failures.append(failure)
                switch error as? ScheduleError {
                case .noSuchSchedule: answer = ("missing", nil)
                case .declared: answer = ("declared", nil)
                default: answer = ("failed", nil)
                }
            }
            if json {
                var line = JSONLine()
                line.add("name", name)
                line.add("result", answer.result)
                Standard.output.line(line.line)
            } else if let text = answer.text {
                Standard.output.line(text)
            }
        }
        guard var last = failures.popLast() else { return }
        for failure in failures { say(failure.message) }
        if let first = failures.first { last.status = first.status }
        throw last
    }
}
