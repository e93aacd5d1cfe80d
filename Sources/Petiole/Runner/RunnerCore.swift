import CPetiole
import Logging
import PetioleDispatch
import PetioleStorage
import Synchronization

/// What a runner's threads share while it runs.
final class RunnerCore: WorkSource, @unchecked Sendable {
    // What guards it: `pool`, `seat`, `hooks` and `registry` are set before the pool starts and not changed after; the rest is
    // atomic, or guards itself.
    let jobStore: JobStore
    let store: OpenStore
    private(set) var registry: JobRegistry
    let claims: Claims
    let places: AsyncPlaces
    private(set) var pool: WorkerPool!
    private(set) var seat = 0
    let logger: Logger
    let parkLimit: Duration
    /// By the queue's name.
    let queueOptions: [String: JobRunner.QueueOptions]
    /// By name. Set before the start.
    var inputMappings: [String: RegisteredMapping] = [:]
    /// The schedules that this program declares. Set before the start.
    var declared: DeclaredSchedules?
    /// Those that can be asked to stop: tasks and child processes, by job.
    let stoppables = Stoppables()
    let deadlines = AttemptDeadlines()
    let startMarks = StartMarks()
    /// Processes that run the jobs of isolated types.
    let children: WarmChildren
    /// How many jobs may wait inside jobs on threads; fewer in tests. Set before the start.
    var spareLimit = WorkerPool.defaultSpareLimit
    /// In a child process, which has neither pool nor claims: what runs its jobs. Set before the first.
    private(set) var child: ChildRunner?
    /// Jobs at once at most, when that may be changed while the runner runs; nil: it may not. Set before the start.
    var mostPlaces: Int?
    /// Passed before each ticket; nil: none. Set before the start.
    var startGate: StartGate?
    /// See ``CommandRunOptions/onPaused``.
    var onPaused: (@Sendable () -> Void)?
    /// Lets jobs begin one at a time when somebody asks for the next; nil but in tests. Set before the start.
    let stepper: Stepper?
    let unserved: UnservedJobs
    /// Jobs that wait for others of their type.
    let batches: HeldBatches
    /// What is done around attempts; set before the pool starts.
    var hooks: AttemptHooks?
    private let stopsNowFlag = Atomic<Bool>(false)
    private let failure = Mutex<RunnerError?>(nil)
    private let onFailure = Mutex<(@Sendable () -> Void)?>(nil)
    /// Attempts begun since the start, for tests and the status.
    let attemptCount = Atomic<Int>(0)

    init(
        _ store: JobStore, _ registry: JobRegistry, asyncLimit: Int, logger: Logger,
        parkLimit: Duration, queueOptions: [String: JobRunner.QueueOptions],
        stepper: Stepper? = nil
    ) {
        self.queueOptions = queueOptions
        self.stepper = stepper
        let clock = store.open.clock
        batches = HeldBatches(now: { clock.ticks })
        jobStore = store
        self.store = store.open
        self.registry = registry
        self.logger = logger
        self.parkLimit = parkLimit
        claims = Claims(store.open)
        children = WarmChildren(store.open)
        unserved = UnservedJobs(store, logger)
        places = AsyncPlaces(limit: asyncLimit)
        stepper?.attach(self)
    }

    func prepare(seat: Int, workers: Int?, numbers: [String: UInt32], installsCrashHandler: Bool) {
        self.seat = seat
        registry.number(numbers)
        // A slot for each thread, the spare ones too, and for each asynchronous job in flight.
        let most = RunningSlots.slotsPerSeat - WorkerPool.defaultSpareLimit - places.limit
        let size = min(max(workers ?? usableProcessors(), 1), most)
        if let mostPlaces { spareLimit = max(spareLimit, mostPlaces - size) }
        pool = WorkerPool(
            source: stepper ?? self, bell: store.signals.work, size: size, spareLimit: spareLimit,
            // Who waits at the gate keeps its ticket: another would wait there no less.
            steals: stepper == nil && startGate == nil)
        // All that are left: a job that waits for another keeps its slot, and must not be in the other's way.
        store.slots.use(seat: seat, upTo: pool.workers.count)
        places.useSlots(store.slots, seat: seat, from: pool.workers.count)
        marksCrashes = installsCrashHandler
        if installsCrashHandler { petiole_install_crash_handler() }
    }
    private(set) var marksCrashes = true

    /// This process is a child: its jobs are run by this.
    func serves(_ child: ChildRunner) { self.child = child }

    /// Runs a closure in which a job waits for another one: its place in the pool goes to a spare thread meanwhile.
    /// - Returns: nil, without having run it, when too many jobs wait like this already.
    func withoutPlace<Value>(
        _ job: UInt64, _ slot: AttemptSlot, _ body: () -> Value
    ) -> Value? {
        guard let child else {
            return pool.blocking {
                beginsToWait(job, slot)
                defer { goesOn(job, slot) }
                return body()
            }
        }
        guard child.leavePlace(job) else { return nil }
        defer { child.comeBack(job) }
        return body()
    }

    /// A job waits for another one from now on. One that was to run alone is that no more: what it waits for has to run.
    func beginsToWait(_ job: UInt64, _ slot: AttemptSlot) {
        // A task that outlived its attempt has no slot.
        guard slot.job == job else { return }
        slot.isWaiting = true
        letOthersBegin(beside: job)
    }

    func letOthersBegin(beside job: UInt64) {
        guard claims.isAlone(job) else { return }
        claims.goesOnBesideOthers(job)
        pool.lookAgain()
    }

    func goesOn(_ job: UInt64, _ slot: AttemptSlot) {
        if slot.job == job { slot.isWaiting = false }
    }

    // MARK: Stopping

    /// Until the pool has started, what is asked of it is kept.
    private struct Claiming {
        var pool: WorkerPool?
        var isOver = false
        var places: Int?
    }
    private let claiming = Mutex(Claiming())

    /// From now on ``stopClaiming()`` stops the pool itself.
    func poolHasStarted() {
        let (isOver, places) = claiming.withLock { claiming in
            claiming.pool = pool
            return (claiming.isOver, claiming.places)
        }
        store.slots.setPlaces(seat: seat, places.map { pool.setPlaces($0) } ?? pool.placeCount)
        if isOver { stopPool() }
    }

    /// No job begins after this returns.
    func stopClaiming() {
        let pool = claiming.withLock { claiming in
            claiming.isOver = true
            return claiming.pool
        }
        if pool != nil { stopPool() }
    }

    func stopPool() {
        pool.stop()
        startGate?.stop()
    }

    // MARK: Places

    /// How many jobs run at once; nil: the pool has not started, and nobody has said.
    var placeCount: Int? {
        let (pool, places) = claiming.withLock { ($0.pool, $0.places) }
        return pool?.placeCount ?? places
    }

    /// Lets so many run at once from now on, within what is allowed.
    /// - Returns: how many it is now; nil: this runner's number is fixed.
    func setPlaces(_ count: Int) -> Int? {
        guard let mostPlaces else { return nil }
        let count = min(max(count, 1), mostPlaces)
        let pool = claiming.withLock { claiming in
            claiming.places = count
            return claiming.pool
        }
        guard let pool else { return count }
        let now = pool.setPlaces(count)
        store.slots.setPlaces(seat: seat, now)
        return now
    }

    /// Does what another process has asked for; for the steward.
    func answerWantedPlaces() {
        while let wanted = store.slots.wantedPlaces(seat: seat) {
            let now = setPlaces(wanted) ?? pool.placeCount
            store.slots.answer(seat: seat, wanted: wanted, now)
        }
    }

    /// Set when the time for ending by themselves is over: attempts are asked to stop.
    var stopsNow: Bool {
        // Relaxed: a request that is asked for again and again.
        stopsNowFlag.load(ordering: .relaxed)
    }

    func stopNow() {
        // Relaxed: as above.
        stopsNowFlag.store(true, ordering: .relaxed)
        stoppables.stopAll()
    }

    /// Nothing more can be recorded: the runner ends with this.
    func fail(_ error: RunnerError) {
        let isFirst = failure.withLock { failure -> Bool in
            defer { failure = failure ?? error }
            return failure == nil
        }
        guard isFirst else { return }
        logger.error("runner stops", metadata: ["reason": "\(error)"])
        stopPool()
        onFailure.withLock { $0 }?()
    }

    var firstFailure: RunnerError? { failure.withLock { $0 } }

    func whenFailed(_ body: @escaping @Sendable () -> Void) { onFailure.withLock { $0 = body } }

    // MARK: The source of the pool's work

    func didStart(_ worker: Worker) {
        do throws(StorageError) {
            let reader = try store.environment.makeReader()
            reader.end()
            worker.context = AttemptLoop(
                core: self, worker: worker, reader: reader,
                slot: store.slots.slot(seat: seat, worker.index))
        } catch {
            fail(.store(store.storeError(error)))
        }
        if marksCrashes { petiole_make_signal_stack() }
    }

    func willEnd(_ worker: Worker) {
        (worker.context as? AttemptLoop)?.end()
        petiole_set_crash_word(nil)
    }

    func claim(for worker: Worker) -> Ticket? {
        guard let loop = worker.context as? AttemptLoop else { return nil }
        let reader = loop.reader
        do throws(StorageError) {
            // A new view each time: what was committed since the last look is what is looked for.
            reader.end()
            let control = store.signals.control.value
            try reader.begin()
            if claims.isTimeForTimers() {
                try claims.lookAtTimers(reader, now: store.clock.reading, self)
            }
            if let ticket = batches.ticketOfDue() { return ticket }
            repeat {
                if let ticket = try claims.claim(
                    reader, control: control, self, offer: { pool.offer($0) })
                {
                    return ticket
                }
            } while claims.isUnfinished()
            // The sentinel alone waits until a deadline: it is to look when the next one is.
            if claims.hasEarlierSleeper() { store.signals.work.ring() }
            try claims.lookAtTimers(reader, now: store.clock.reading, self)
        } catch {
            fail(.store(store.storeError(error)))
        }
        return nil
    }

    func run(on worker: Worker) {
        guard let loop = worker.context as? AttemptLoop else { return }
        if worker.rest.tag == HeldBatches.tag { return loop.runBatchTicket() }
        guard let startGate else { return loop.runTicket() }
        // With nothing open and nothing kept back while it waits: the ticket stays in the rest.
        willPark(worker)
        guard let held = startGate.pass() else { return }
        defer { startGate.ended(held) }
        loop.runTicket()
    }

    func willPark(_ worker: Worker) {
        guard let loop = worker.context as? AttemptLoop else { return }
        loop.gatherer.flush()
        loop.reader.end()
        loop.clearSlot()
        // Whoever has nothing to do sees to it that what a slow neighbour has finished is recorded.
        for other in pool.workers where other !== worker {
            loops.withLock { $0[other.index] }?.gatherer.flush()
        }
    }

    func nextDeadline() -> Int64? {
        // By the system's clock, whatever is waited for: when the clock is set meanwhile, the steward makes us ask again.
        let waits = [claims.untilNext(store.clock), batches.untilDue.map { $0 / 1_000 + 1 }]
        return waits.compactMap { $0 }.min().map { wait in
            let (nanoseconds, overflow) = wait.multipliedReportingOverflow(by: 1_000)
            let (deadline, isBeyond) = nanoseconds.addingReportingOverflow(petiole_real_time())
            return overflow || isBeyond ? .max : deadline
        }
    }

    private let loops = Mutex<[Int: AttemptLoop]>([:])
    func add(_ loop: AttemptLoop, index: Int) { loops.withLock { $0[index] = loop } }
    func removeLoop(index: Int) { loops.withLock { $0[index] = nil } }

    /// Hands over what attempts on a thread have come to, before that thread waits.
    func flushOutcomes(of worker: Worker?) {
        guard let loop = worker?.context as? AttemptLoop else { return }
        loop.gatherer.flush()
        loop.endViewUnlessLent()
    }

    func flushAll() {
        for loop in loops.withLock({ Array($0.values) }) { loop.gatherer.flush() }
    }
}
