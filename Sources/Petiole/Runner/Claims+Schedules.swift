import Logging
import PetioleStorage

extension Claims {
    /// Looks for schedules of our queues; fires those whose times have come. Those of a paused queue wait until it goes on.
    ///
    /// Called with the timers, and by the steward: while all workers are inside long jobs, times come all the same.
    func lookAtSchedules(
        _ reader: Reader, now: ClockReading, _ core: RunnerCore
    ) throws(StorageError) {
        log(core.logger)
        var queues: [OwnedQueue] = []
        var next: StoreTime?
        if try reader.count(store.tables.schedules) > 0 {
            let full = state.withLock { $0.fullQueues }
            for queue in ownedQueues {
                guard let first = try ScheduleRows.firstDue(in: queue.id, reader, store.tables),
                    // As it is now, whenever a worker has looked.
                    try !queue.isPaused(reader, store.tables)
                else { continue }
                if let until = full[queue.id], !until.hasPassed(now) {
                    next = Self.earlier(next, until, now)
                    continue
                }
                let due = StoreTime(wall: first)
                if due.hasPassed(now) { queues.append(queue) }
                next = Self.earlier(next, due, now)
            }
        }
        let (fires, refusals) = state.withLock { state -> (Bool, Int) in
            if queues.isEmpty || !state.schedulesFireFrom.hasPassed(now) {
                state.nextSchedule = next
                return (false, 0)
            }
            // While the firing is under way, its end makes somebody look again.
            state.nextSchedule = nil
            if state.isFiringSchedules { return (false, 0) }
            state.isFiringSchedules = true
            state.writings += 1
            return (true, state.firingsRefused)
        }
        guard fires else { return }
        let scope = try Self.scope(
            queues, afterRefusals: refusals, reader, store.tables, now: now.wall)
        store.writer.submit(
            ScheduleFiring(queues, scope, ownRules: core.declared?.ownRules ?? [:]) {
                [self] firing, error in
                settle(firing, error, now, core)
            })
    }

    private static func earlier(
        _ one: StoreTime?, _ other: StoreTime, _ now: ClockReading
    ) -> StoreTime {
        guard let one else { return other }
        return one.left(now) <= other.left(now) ? one : other
    }

    /// 5 s: a queue that had no room is left alone so long.
    private static let fullWait: Int64 = 5_000_000

    /// On the writer's thread.
    private func settle(
        _ firing: ScheduleFiring, _ error: StorageError?, _ now: ClockReading, _ core: RunnerCore
    ) {
        state.withLock { state in
            state.isFiringSchedules = false
            // A second: a full disk is not asked again and again.
            state.schedulesFireFrom = error == nil ? 0 : StoreTime(now, after: 1_000_000)
            if error == nil {
                state.firingsRefused = 0
                state.firingReports += firing.reports
                for (queue, problem) in firing.full {
                    if state.fullQueues[queue] == nil {
                        state.firingProblems.append(problem.description)
                    }
                    state.fullQueues[queue] = StoreTime(now, after: Self.fullWait)
                }
                for (queue, until) in state.fullQueues where until.hasPassed(now) {
                    state.fullQueues[queue] = nil
                }
            }
        }
        switch error {
        case nil:
            core.pool.lookAgain()
            // The workers may all be busy.
            if firing.hasMore { core.store.signals.control.ring() }
        case .diskFull?, .mapFull?:
            let text = core.store.storeError(error!).description
            state.withLock { state in
                state.firingsRefused += 1
                if state.firingsRefused == 1 { state.firingProblems.append(text) }
            }
            // As for timers: the sentinel alone waits until a deadline.
            core.store.signals.work.ring()
        case let error?: core.fail(.store(core.store.storeError(error)))
        }
    }

    private func log(_ logger: Logger) {
        let (reports, problems) = state.withLock { state in
            defer { (state.firingReports, state.firingProblems) = ([], []) }
            return (state.firingReports, state.firingProblems)
        }
        for problem in problems {
            logger.warning(
                "no room for the jobs of schedules; tried again", metadata: ["error": "\(problem)"])
        }
        for report in reports { report.log(logger) }
    }

    /// The same for the steward, who has no view of its own.
    /// - Returns: microseconds until it is to look again; nil: no schedule is waited for.
    func lookAtSchedules(_ core: RunnerCore) throws(StoreError) -> Int64? {
        // One who steps is to find the same each time.
        if core.stepper != nil { return nil }
        let now = store.clock.reading
        try store.read { (reader) throws(StorageError) in
            try lookAtSchedules(reader, now: now, core)
        }
        let isFiring = state.withLock { $0.isFiringSchedules }
        // A second: its end wakes the workers, who may all be busy.
        return isFiring ? 1_000_000 : untilNextSchedule(store.clock)
    }

    /// Microseconds until the first schedule is due, as far as it was looked for; nil: none is waited for, or some are being fired.
    func untilNextSchedule(_ clock: StoreClock) -> Int64? {
        let now = clock.reading
        return state.withLock { state in
            state.nextSchedule.map { max($0.left(now), state.schedulesFireFrom.left(now)) }
        }
    }

    /// What of all that is due is to be fired: mostly all. When the store had no room for it, one after the other is tried: what is
    /// large keeps nothing else waiting.
    private static func scope(
        _ queues: [OwnedQueue], afterRefusals refusals: Int, _ reader: Reader,
        _ tables: StoreTables, now: Int64
    ) throws(StorageError) -> ScheduleFiring.Scope {
        var scope = ScheduleFiring.Scope()
        var names: [String] = []
        for queue in queues {
            try ScheduleRows.forEachDue(in: queue.id, reader, tables) { time, name in
                guard time <= now, names.count < scope.count else { return false }
                names.append(name)
                return true
            }
        }
        if refusals > 0 {
            scope.count = 1
            scope.skipping = names.isEmpty ? 0 : (refusals - 1) % names.count
            names = Array(names.dropFirst(scope.skipping).prefix(1))
        }
        for name in names where scope.bytes < ScheduleFiring.byteLimit {
            // What cannot be read is found out by the firing.
            guard let definition = try? ScheduleRows.definition(name, reader, tables) else {
                continue
            }
            // One job, mostly; and its rows beside it: 1 KiB.
            scope.bytes += 1_536 + definition.job.content.count
        }
        return scope
    }
}

extension FiringReport {
    /// Says it in the log: what runs as it is to at the level debug, what a person may want to know at notice, what needs one at
    /// warning.
    func log(_ logger: Logger) {
        func time(_ planned: Int64) -> Logger.MetadataValue {
            "\(WallTime(microseconds: planned))"
        }
        let metadata: Logger.Metadata = ["schedule": "\(schedule)"]
        func with(_ more: Logger.Metadata) -> Logger.Metadata {
            metadata.merging(more) { $1 }
        }
        switch event {
        case .fired(let planned, let job):
            logger.debug(
                "schedule fired", metadata: with(["planned": time(planned), "job": "\(job)"]))
        case .missed(let count):
            logger.notice("planned times were missed", metadata: with(["count": "\(count)"]))
        case .skipped(let count, let job):
            logger.notice(
                "planned times left out: the last job has not ended",
                metadata: with(["count": "\(count)", "job": "\(job)"]))
        case .waits(let planned, let job):
            logger.notice(
                "planned time waits for the last job's end",
                metadata: with(["planned": time(planned), "job": "\(job)"]))
        case .stalled(let error):
            logger.warning(
                "the times of a schedule cannot be told here; tried again",
                metadata: with(["error": "\(error)"]))
        case .damaged(let reason):
            logger.error(
                "a schedule is damaged, and comes no more; remove it and add it again",
                metadata: with(["reason": "\(reason)"]))
        case .ended: logger.debug("schedule has no times any more", metadata: metadata)
        }
    }
}
