import PetioleStorage

/// A schedule of a store, and how far it is.
public struct ScheduleStatus: Sendable, Hashable {
    /// Its name.
    public let name: String
    /// The program that declares it; nil: it was added at run time.
    public let program: String?
    /// Its rule as it was given: `0 3 * * 1-5`; `every 15 min`; an instant.
    public let rule: String
    /// Its rule in words: "at 03:00 on Monday to Friday".
    public let description: String
    /// The zone whose clocks count.
    public let zone: String
    /// No time is before this one; nil: any.
    public let start: WallTime?
    /// No time is after this one; nil: any.
    public let end: WallTime?
    /// Days of the zone's calendar on which no time is, in their order.
    public let excludedDates: [CivilDate]
    /// Each job is enqueued up to so much later than planned.
    public let jitter: Duration
    /// What becomes of times at which nobody ran the queue.
    public let missed: MissedRuns
    /// What becomes of a time while the job of an earlier one has not ended.
    public let overlap: Schedule.Overlap
    /// The name of its jobs.
    public let job: String
    /// The queue that its jobs go to.
    public let queue: String
    /// How they are enqueued, their queue among it. An expiry is a while after each enqueue.
    public let options: EnqueueOptions
    /// Somebody paused it.
    public let isPaused: Bool
    /// The program that declared it does not any more: no time of it comes until that does again.
    public let isDisabled: Bool
    /// There is no time to come any more, and none waits. False for one that is paused or disabled: what is to come is found out
    /// when it goes on.
    public let isOver: Bool
    /// The first planned time that was not decided about: mostly one that is to come; one that has come while nobody runs the queue.
    /// Nil: there is none any more, or it does not go on, or only its program knows.
    public let next: WallTime?
    /// The planned time that waits for the last job's end.
    public let waiting: WallTime?
    /// The planned time that was enqueued last.
    public let lastPlanned: WallTime?
    /// When a job of it was enqueued last, that of a run out of plan counted.
    public let lastFired: WallTime?
    /// That job. It may have been pruned since.
    public let lastJob: JobID?
    /// Jobs that it has enqueued.
    public let firedCount: Int
    /// Planned times that were missed, and not enqueued later; up to 1,000 are counted of those that were missed together.
    public let missedCount: Int
    /// Planned times that were left out since the last job had not ended.
    public let skippedCount: Int
}

extension JobStore {
    /// The schedules, by name. Cost: O(those); 1,000 are read in one view.
    public func schedules() throws(StoreError) -> [ScheduleStatus] {
        let open = open
        var found: [ScheduleStatus] = []
        var from = ""
        while true {
            let start = from
            let part = try open.read { (reader) throws(StorageError) in
                var part: [ScheduleStatus] = []
                let names = try ScheduleRows.names(from: start, reader, open.tables)
                for name in names {
                    if let one = try ScheduleStatus(name, reader, open.tables) { part.append(one) }
                }
                return (part, last: names.count == 1_000 ? names.last : nil)
            }
            found += part.0
            guard let last = part.last else { return found }
            // The first name after it.
            from = last + "\0"
        }
    }

    /// A schedule.
    /// - Throws: ``ScheduleError/noSuchSchedule(_:)``.
    public func schedule(named name: String) throws(ScheduleError) -> ScheduleStatus {
        let open = open
        let found: ScheduleStatus?
        do throws(StoreError) {
            found = try open.read { (reader) throws(StorageError) in
                try ScheduleStatus(name, reader, open.tables)
            }
        } catch { throw .store(error) }
        guard let found else { throw .noSuchSchedule(name) }
        return found
    }

    /// The coming planned times of a schedule, paused or not.
    /// - Parameter count: how many at most.
    /// - Throws: ``ScheduleError``, also for a rule that is a program's own.
    package func plannedTimes(
        of name: String, count: Int
    ) throws(ScheduleError) -> [WallTime] {
        let open = open
        let found: (ScheduleDefinition, ScheduleState)?
        do throws(StoreError) {
            found = try open.read { (reader) throws(StorageError) in
                guard let definition = try ScheduleRows.definition(name, reader, open.tables),
                    let state = try ScheduleRows.state(name, reader, open.tables)
                else { return nil }
                return (definition, state)
            }
        } catch { throw .store(error) }
        guard let (definition, state) = found else { throw .noSuchSchedule(name) }
        let plan = try definition.plan(named: name, anchor: state.anchor, own: nil)
        return plan.times(after: max(open.clock.now, state.lastPlanned), count: count)
    }
}

extension ScheduleStatus {
    fileprivate init?(
        _ name: String, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        guard let definition = try ScheduleRows.definition(name, reader, tables),
            let state = try ScheduleRows.state(name, reader, tables)
        else { return nil }
        func time(_ microseconds: Int64) -> WallTime? {
            microseconds == 0 ? nil : WallTime(microseconds: microseconds)
        }
        self.name = name
        program = definition.program.isEmpty ? nil : definition.program
        (rule, description) = definition.timing.rule.texts
        zone = definition.timing.zone
        start = definition.timing.start.map { WallTime(microseconds: $0) }
        end = definition.timing.end.map { WallTime(microseconds: $0) }
        excludedDates = definition.timing.excluded.map { CivilDate(days: Int($0)) }
        jitter = .microseconds(definition.timing.jitter)
        missed = definition.missed
        overlap = definition.overlap
        job = definition.job.jobName
        queue = definition.job.queueName
        options = definition.job.enqueueOptions
        isPaused = state.isPaused
        isDisabled = state.isDisabled
        let goesOn = !state.isPaused && !state.isDisabled
        // Where the next time is to be found out by another program, there may be one.
        isOver = goesOn && state.next == nil && state.behind == 0 && state.plansAfter == 0
        next = goesOn ? state.next.map { WallTime(microseconds: $0) } : nil
        waiting = time(state.behind)
        lastPlanned = time(state.lastPlanned)
        lastFired = time(state.lastFired)
        lastJob = state.lastJob == 0 ? nil : JobID(rawValue: state.lastJob)
        firedCount = Int(clamping: state.fired)
        missedCount = Int(clamping: state.missed)
        skippedCount = Int(clamping: state.skipped)
    }
}

extension ScheduleTiming.Rule {
    /// As it was given, and in words.
    fileprivate var texts: (String, String) {
        switch self {
        case .cron(let text, let seconds, let days):
            // It was read before it was stored; what cannot be read any more is shown as it is.
            let rule = try? CronRule(text, hasSeconds: seconds, days: days)
            return (text, rule?.description ?? text)
        case .every(let interval, let alignment):
            let text = "every \(IntervalText.text(interval))"
            return (text, text + (alignment == .clock ? " by the clock" : ""))
        case .at(let instant):
            let text = WallTime(microseconds: instant).description
            return (text, "once, at " + text)
        case .own: return ("its program's own", "by a rule of its program's own")
        }
    }
}
