import CPetiole
import PetioleStorage

extension Claims {
    /// Microseconds until something of our queues may start by itself: a timer or a schedule is due, or a token is there. Nil:
    /// nothing is waited for.
    func untilNext(_ clock: StoreClock) -> Int64? {
        let now = clock.reading
        let timer = state.withLock { state in
            state.nextTimers.map { $0.left(now) }.min().map { max($0, state.firesFrom.left(now)) }
        }
        let token = nextToken.map { (max(0, $0 - clock.ticks) + 999) / 1_000 }
        return [timer, untilNextSchedule(clock), token].compactMap { $0 }.min()
    }

    /// Whether something that the claims have decided is being written, and how often something was: what is due is made ready,
    /// jobs are moved to gates. Its end makes somebody look again.
    var writing: (isUnderWay: Bool, count: Int) {
        state.withLock {
            ($0.isFiring || $0.isFiringSchedules || $0.movesUnderWay > 0, $0.writings)
        }
    }

    /// A tenth of a second: so much later than it is due a job may become ready while there is always something to run.
    private static let timerInterval: Int64 = 100_000_000

    /// Whether it is time to look at the timers although there is work: else what becomes due would wait until there is none.
    func isTimeForTimers() -> Bool {
        let now = petiole_steady_time()
        return state.withLock { state in
            guard now - state.timersSeen >= Self.timerInterval else { return false }
            state.timersSeen = now
            return true
        }
    }

    /// Looks for timers and schedules; fires those that are due. Called by a worker that found nothing ready, and by others now
    /// and then.
    func lookAtTimers(
        _ reader: Reader, now: ClockReading, _ core: RunnerCore
    ) throws(StorageError) {
        try lookAtSchedules(reader, now: now, core)
        let queues = ownedQueues
        var wall: StoreTime?
        var steady: StoreTime?
        for queue in queues {
            let next = try Timers.next(queue.id, reader, store.tables)
            if let next = next.wall { wall = min(wall ?? next, next) }
            if let next = next.steady { steady = min(steady ?? next, next) }
        }
        let timers = [wall, steady].compactMap { $0 }
        let fires = state.withLock { state -> Bool in
            if !timers.contains(where: { $0.hasPassed(now) }) || !state.firesFrom.hasPassed(now) {
                state.nextTimers = timers
                return false
            }
            // While the firing is under way, its end makes somebody look again.
            state.nextTimers = []
            if state.isFiring { return false }
            state.isFiring = true
            state.writings += 1
            return true
        }
        guard fires else { return }
        let tables = store.tables
        let marked = Expiry.Marked()
        store.writer.submit(
            OperationSubmission { (transaction, state) throws(StorageError) in
                var expired: [UInt64] = []
                for queue in queues {
                    expired += try Timers.fire(queue.id, tables, &transaction, &state)
                }
                marked.jobs.withLock { $0 = expired }
            } completion: { [self] error in
                if error == nil { Expiry.settle(marked, core) }
                state.withLock { state in
                    state.isFiring = false
                    // A second: a full disk is not asked again and again.
                    state.firesFrom = error == nil ? 0 : StoreTime(now, after: 1_000_000)
                }
                switch error {
                case nil:
                    // Others may have become due; while this one was under way, nobody set a deadline for them.
                    core.pool.lookAgain()
                case .diskFull, .mapFull:
                    // The bell wakes the sentinel, who alone waits until a deadline; another one's look would set it and
                    // nobody keep it.
                    core.store.signals.work.ring()
                case let error?:
                    // What waits for its time would wait for ever.
                    core.fail(.store(core.store.storeError(error)))
                }
            })
    }
}
