import Logging
import PetioleStorage

extension Claims {
    /// Looks for schedules of our queues; fires those whose times have come. Those of a paused queue wait until it goes on.
    ///
    /// Called with the timers, and by the steward: while all workers are inside long jobs, times come all the same.
    func lookAtSchedules(
        _ reader: Reader, now: ClockReading, _ core: RunnerCore
    ) throws(StorageError) {
        var queues: [OwnedQueue] = []
        var next: Int64?
        if try reader.count(store.tables.schedules) > 0 {
            for queue in ownedQueues {
                guard let first = try ScheduleRows.firstDue(in: queue.id, reader, store.tables),
                    // As it is now, whenever a worker has looked.
                    try !queue.isPaused(reader, store.tables)
                else { continue }
                queues.append(queue)
                next = min(next ?? first, first)
            }
        }
        let due = next.map { StoreTime(wall: $0) }
        let fires = state.withLock { state -> Bool in
            let hasCome = due?.hasPassed(now) ?? false
            if !hasCome || !state.schedulesFireFrom.hasPassed(now) {
                state.nextSchedule = due
                return false
            }
            // While the firing is under way, its end makes somebody look again.
            state.nextSchedule = nil
            if state.isFiringSchedules { return false }
            state.isFiringSchedules = true
            state.writings += 1
            return true
        }
        guard fires else { return }
        let bytes = try Self.bytesDue(queues, reader, store.tables, now: now.wall)
        store.writer.submit(
            ScheduleFiring(queues, bytes: bytes, ownRules: core.declared?.ownRules ?? [:]) {
                [self] firing, error in
                state.withLock { state in
                    state.isFiringSchedules = false
                    // A second: a full disk is not asked again and again.
                    state.schedulesFireFrom = error == nil ? 0 : StoreTime(now, after: 1_000_000)
                }
                switch error {
                case nil:
                    for report in firing.reports { report.log(core.logger) }
                    core.pool.lookAgain()
                case .diskFull, .mapFull:
                    // As for timers: the sentinel alone waits until a deadline.
                    core.store.signals.work.ring()
                case let error?: core.fail(.store(core.store.storeError(error)))
                }
            })
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

    /// Bytes of the jobs that have come, about: what a full store may refuse.
    private static func bytesDue(
        _ queues: [OwnedQueue], _ reader: Reader, _ tables: StoreTables, now: Int64
    ) throws(StorageError) -> Int {
        var names: [String] = []
        for queue in queues {
            try ScheduleRows.forEachDue(in: queue.id, reader, tables) { time, name in
                guard time <= now, names.count < ScheduleFiring.limit else { return false }
                names.append(name)
                return true
            }
        }
        var bytes = 0
        for name in names where bytes < ScheduleFiring.byteLimit {
            // What cannot be read is found out by the firing.
            guard let definition = try? ScheduleRows.definition(name, reader, tables) else {
                continue
            }
            // Its rows, beside the jobs: 1 KiB.
            let jobs = definition.missed.kind == .all ? Int(definition.missed.bound) : 1
            bytes += 1_024 + min(jobs, 16) * (definition.job.content.count + 512)
        }
        return bytes
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
        case .skipped(let planned, let job):
            logger.notice(
                "planned time left out: the last job has not ended",
                metadata: with(["planned": time(planned), "job": "\(job)"]))
        case .waits(let planned, let job):
            logger.notice(
                "planned time waits for the last job's end",
                metadata: with(["planned": time(planned), "job": "\(job)"]))
        case .noRoom(let error):
            logger.warning(
                "no room for the job of a schedule; tried again",
                metadata: with(["error": "\(error)"]))
        case .stalled(let error):
            logger.warning(
                "the times of a schedule cannot be told here; tried again",
                metadata: with(["error": "\(error)"]))
        case .damaged(let reason):
            logger.error(
                "a schedule is damaged, and comes no more; remove it and add it again",
                metadata: with(["reason": "\(reason)"]))
        case .ended: logger.notice("schedule has no times any more", metadata: metadata)
        }
    }
}
