import ArgumentParser
import Petiole

/// Schedules in words and in JSON.
enum ScheduleText {
    // MARK: What is typed

    /// `@every` and a while; nil: it is no such rule.
    static func every(_ rule: String) throws(ScheduleError) -> Duration? {
        let word = "@every"
        guard rule.lowercased().hasPrefix(word) else { return nil }
        let rest = rule.dropFirst(word.count)
        let text = rest.drop { $0 == " " }
        guard rest.isEmpty || rest.first == " ", let interval = TimeText.age(String(text)),
            interval > .zero
        else {
            throw .unreadableRule(
                rule, at: rule.utf8.count - text.utf8.count,
                expected: "a number of 1 or more and s, m, h, d or w are expected: @every 15m")
        }
        return interval
    }

    /// Reads an instant of an option, by the clocks of a zone.
    static func instant(
        _ text: String, of option: String, in zone: ScheduleZone, _ now: WallTime
    ) throws -> WallTime {
        do { return try Moment.future(text, in: zone).instant(now) } catch let error
            as ValidationError
        { throw Failure.usage("\(option) \(visible(text)): \(error.message)") }
    }

    // MARK: For people

    /// Whether times of it come, in a word.
    static func state(_ schedule: ScheduleStatus) -> String {
        if schedule.isDisabled { return "disabled" }
        if schedule.isPaused { return "paused" }
        return schedule.isOver ? "over" : "on"
    }

    static func word(_ overlap: Schedule.Overlap) -> String {
        switch overlap {
        case .allow: "allow"
        case .skip: "skip"
        case .queueOne: "queue"
        }
    }

    static func word(_ missed: MissedRuns) -> String {
        switch missed.kind {
        case .skip: "skip"
        case .once: "once"
        case .all: "all"
        }
    }

    /// What becomes of missed times, in a line.
    static func line(_ missed: MissedRuns) -> String {
        switch missed.kind {
        case .skip:
            "skip: what would be more than \(IntervalText.text(missed.bound)) late is left out"
        case .once: "once: the newest of them is enqueued"
        case .all: "all: each is enqueued, the newest \(grouped(Int(missed.bound))) at most"
        }
    }

    static func line(_ overlap: Schedule.Overlap) -> String {
        switch overlap {
        case .allow: "allow: a job is enqueued whether the last one has ended or not"
        case .skip: "skip: a time is left out while the last job has not ended"
        case .queueOne: "queue: one waits for the end of the last job, others are left out"
        }
    }

    // MARK: For programs

    /// What is known of a schedule, as `add`, `list` and `show` print it.
    static func add(_ schedule: ScheduleStatus, _ store: JobStore, to line: inout JSONLine) throws {
        line.add("name", schedule.name)
        line.add("state", state(schedule))
        line.add("program", schedule.program)
        line.add("rule", schedule.rule)
        line.add("description", schedule.description)
        line.add("zone", schedule.zone)
        line.add("queue", schedule.queue)
        line.add("priority", schedule.options.priority)
        line.add("job", schedule.job)
        if let command = try store.command(of: schedule) { JobText.add(command, to: &line) }
        line.add("tags", (schedule.options.metadata?.tags ?? []).map { Array($0.utf8) })
        line.add("next", schedule.next.map { TimeText.iso($0) })
        line.add("waiting", schedule.waiting.map { TimeText.iso($0) })
        line.add("lastPlanned", schedule.lastPlanned.map { TimeText.iso($0) })
        line.add("lastFired", schedule.lastFired.map { TimeText.iso($0) })
        line.add("lastJob", schedule.lastJob.map { Int(clamping: $0.rawValue) })
        line.add("lastState", try store.lastState(of: schedule).map { JobText.word($0) })
        line.add("fired", schedule.firedCount)
        line.add("missed", schedule.missedCount)
        line.add("skipped", schedule.skippedCount)
        line.add("paused", schedule.isPaused)
        line.add("disabled", schedule.isDisabled)
        line.add("over", schedule.isOver)
        line.add("start", schedule.start.map { TimeText.iso($0) })
        line.add("end", schedule.end.map { TimeText.iso($0) })
        line.add("excluded", schedule.excludedDates.map { Array(ZoneTime.date($0).utf8) })
        line.add("jitterMicroseconds", schedule.jitter.wholeMicroseconds)
        line.add("whenMissed", word(schedule.missed))
        let bound = Int(schedule.missed.bound)
        line.add("missedMost", schedule.missed.kind == .all ? bound : nil)
        line.add("missedLaterThanMicroseconds", schedule.missed.kind == .skip ? bound : nil)
        line.add("overlap", word(schedule.overlap))
    }

    /// A planned time in UTC, and as the clocks of a zone show it.
    static func add(_ planned: WallTime, _ zone: ScheduleZone, to line: inout JSONLine) {
        line.add("planned", TimeText.iso(planned))
        line.add("local", ZoneTime.iso(planned, zone))
    }
}

extension JobStore {
    /// Where the last job of a schedule is; nil: there is none, or it was pruned.
    func lastState(of schedule: ScheduleStatus) throws -> JobState? {
        guard let job = schedule.lastJob else { return nil }
        do { return try state(of: job) } catch StoreError.noSuchJob { return nil }
    }

    /// The command of a schedule; nil: its job is none, or it was removed meanwhile.
    func command(of schedule: ScheduleStatus) throws -> Command? {
        do { return try command(ofSchedule: schedule.name) } catch ScheduleError.noSuchSchedule {
            return nil
        }
    }
}
