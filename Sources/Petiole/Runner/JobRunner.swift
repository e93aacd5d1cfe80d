import CPetiole
import Logging
import PetioleDispatch
import PetioleStorage
import Synchronization

/// Runs the jobs of some queues of a store, on a pool of threads. One process runs a queue at a time.
///
/// `run()` has the shape of `Service` of swift-service-lifecycle: `extension JobRunner: Service {}` is all it takes.
public final class JobRunner: Sendable {
    /// What to do when another process runs a queue already.
    public enum WhenOwned: Sendable {
        /// Throw ``RunnerError/queueOwned(queue:pid:jobs:)``.
        case fail
        /// Wait in the kernel until that process lets go or dies, then take over at once.
        case standby
    }

    /// How a runner works.
    public struct Options: Sendable {
        /// Threads, 1 or more; nil: the processors that this process may use. With ``asyncLimit`` at most 960.
        public var workers: Int?
        /// Asynchronous jobs in flight, 1…128; 64 unless set. What is out of bounds is moved to the nearest bound.
        public var asyncLimit = 64
        /// What to do when a queue is owned.
        public var whenOwned = WhenOwned.fail
        /// How long running jobs have to end when the runner is told to stop; then they are asked to stop. Those that do not
        /// within another 15 seconds keep their queues until the process ends.
        public var gracePeriod: Duration = .seconds(30)
        /// How long a job whose name no runner of its queue knows is parked before it becomes a dead letter.
        public var parkLimit: Duration = .seconds(7 * 86_400)
        /// Whether a handler for SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT and SIGFPE marks the job that ended the process, before
        /// it passes the signal on. Without it all that ran are suspects.
        public var marksCrashes = true
        /// Queues besides those of the job types.
        public var queues: [String] = []
        /// How some of the queues are run, by name; they are run even if no job type names them.
        public var queueOptions: [String: QueueOptions] = [:]
        /// What is done around each attempt, the outermost first.
        public var middleware: [any RunMiddleware] = []
        /// What attempts share: one provider a type.
        public var resources: [ResourceProvider] = []
        /// How long closing all resources may take when the runner stops; zero or more. What takes longer is logged and left alone.
        public var resourceCloseLimit: Duration = .seconds(10)
        /// Who hears of each step of the store's jobs that this process makes, while the runner runs.
        public var listeners: [JobListener] = []

        /// The name of this program, of the form of job names, by which its ``schedules`` are told from those of others; nil: it
        /// declares none, and leaves those alone that it has declared before.
        public var program: String?
        /// The schedules that the program has. When the runner starts, new ones are added to the store, changed ones changed, and those
        /// that the program has declared before and does not any more are disabled; the log says which. What was added at run time,
        /// or another program has declared, is not touched.
        public var schedules: [Schedule] = []

        /// Closures that make the input of a step of the result before it: see ``InputMapping``.
        public var inputMappings: [RegisteredMapping] = []

        /// Makes the options described at each.
        public init() {}
    }

    /// The store whose jobs are run.
    public let store: JobStore
    /// How this runner works.
    public let options: Options
    let core: RunnerCore
    private let queueNames: [String]
    private let isStarted = Mutex<Bool>(false)
    private let stopSignal = StopSignal()

    /// Makes a runner; nothing runs before ``run()``.
    /// - Parameters:
    ///   - jobs: job types: `Job`, `AsyncJob` or `RawJob`.
    ///   - closures: small ones by name.
    /// - Throws: ``RunnerError`` for a wrong or doubled name.
    public convenience init(
        _ store: JobStore, jobs: [any JobType.Type], closures: [JobClosure] = [],
        options: Options = Options(), logger: Logger = Logger(label: "petiole")
    ) throws(RunnerError) {
        try self.init(
            store, registry: try JobRegistry(types: jobs, closures: closures), options: options,
            logger: logger)
    }

    init(
        _ store: JobStore, registry: JobRegistry, options: Options, logger: Logger,
        stepper: Stepper? = nil
    ) throws(RunnerError) {
        if ChildServer.isServing { throw .insideChild }
        self.store = store
        self.options = options
        let named = options.queues + options.queueOptions.keys
        for queue in named where !NameForm.isValid(queue) {
            throw .invalidName(queue, what: "queue")
        }
        for (queue, options) in options.queueOptions {
            if let problem = options.problem { throw .invalidQueueOption(queue: queue, problem) }
        }
        if let problem = options.resourceProblem { throw .invalidRunnerOption(problem) }
        try registry.route(store.setup)
        core = RunnerCore(
            store, registry, asyncLimit: min(max(options.asyncLimit, 1), 128), logger: logger,
            parkLimit: options.parkLimit, queueOptions: options.queueOptions,
            stepper: stepper)
        core.declared = try Self.declared(options, store)
        for mapping in options.inputMappings {
            guard NameForm.isValid(mapping.name) else {
                throw .invalidName(mapping.name, what: "mapping")
            }
            if core.inputMappings.updateValue(mapping, forKey: mapping.name) != nil {
                throw .registeredTwice(mapping.name)
            }
        }
        queueNames = Set(registry.entries.map { $0.queue } + named).sorted()
    }

    private static func declared(
        _ options: Options, _ store: JobStore
    ) throws(RunnerError) -> DeclaredSchedules? {
        guard let program = options.program else {
            if options.schedules.isEmpty { return nil }
            throw .invalidRunnerOption(
                "it declares schedules, and has no name by which these are told from others'; set program"
            )
        }
        guard NameForm.isValid(program) else { throw .invalidName(program, what: "program") }
        do throws(ScheduleError) {
            return try DeclaredSchedules(options.schedules, program: program, in: store)
        } catch { throw .schedule(error) }
    }

    // MARK: Running

    /// Runs until ``stop()``, or until the task is cancelled; then lets running jobs end within the grace period, records
    /// what they came to, and gives the queues up.
    /// - Throws: ``RunnerError``: a queue is owned, or the store failed. What was running then runs again with the next owner.
    public func run() async throws {
        try await run(while: { [stopSignal] in await stopSignal.wait() })
    }

    /// Runs as ``run()`` does.
    /// - Parameter tell: called once the queues are this runner's.
    package func runUntilStopped(whenOwned tell: @escaping @Sendable () -> Void) async throws {
        try await run(while: { [stopSignal] in
            tell()
            await stopSignal.wait()
        })
    }

    /// Runs while a closure does, then until all jobs of its queues have ended, those that wait for another attempt and those
    /// that are held behind jobs which some runner runs too, parked ones not, and stops. A closure that throws ends the run as ``stop()`` does.
    /// - Returns: what the closure returns.
    /// - Throws: what the closure throws, or ``RunnerError``.
    public func run<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        let holder = ResultHolder<Value>()
        try await withoutActuallyEscaping(body) { body in
            try await run(while: { [self] in
                do {
                    let value = try await body()
                    holder.box.withLock { $0 = .success(value) }
                    await waitUntilIdle()
                } catch {
                    holder.box.withLock { $0 = .failure(error) }
                }
            })
        }
        guard let result = holder.box.withLock({ $0 }) else { throw CancellationError() }
        return try result.get()
    }

    private final class ResultHolder<Value: Sendable>: Sendable {
        let box = Mutex<Result<Value, any Error>?>(nil)
    }

    /// Tells the runner to stop gracefully: when this returns, no further job begins. A second call makes it stop now: attempts are asked to stop at once. Returns
    /// immediately, from any thread; not from a signal handler.
    public func stop() {
        if stopSignal.signal() { return core.stopClaiming() }
        core.stopNow()
    }

    /// How many jobs run at once, or will when it has started.
    package var places: Int { core.placeCount ?? options.workers ?? usableProcessors() }

    /// Lets so many jobs run at once from now on; those that run go on. Returns at once, from any thread.
    /// - Returns: how many it is now; nil: the number of this runner is fixed.
    @discardableResult
    package func setPlaces(_ count: Int) -> Int? { core.setPlaces(count) }

    private func run(while body: @escaping @Sendable () async -> Void) async throws {
        guard
            isStarted.withLock({ started in
                defer { started = true }
                return !started
            })
        else { throw RunnerError.startedTwice }
        let events = store.open.events
        let listeners = events.add(options.listeners, core.logger, store.open)
        core.hooks = AttemptHooks(options, core)
        let result: Result<Void, any Error>
        do { result = .success(try await runHeard(while: body)) } catch { result = .failure(error) }
        if !listeners.isEmpty {
            // It waits for them: on a thread of its own.
            try await onThread("petiole-unlisten") { events.remove(listeners) }
        }
        try result.get()
    }

    private func runHeard(while body: @escaping @Sendable () async -> Void) async throws {
        core.whenFailed { [stopSignal] in _ = stopSignal.signal() }
        let ownership = try await Ownership.take(
            queueNames, core, whenOwned: options.whenOwned, workers: options.workers,
            marksCrashes: options.marksCrashes)
        let steward = Steward(core)
        await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await body() }
                group.addTask { [stopSignal] in await stopSignal.wait() }
                await group.next()
                group.cancelAll()
                _ = stopSignal.signal()
            }
        } onCancel: { [stopSignal] in
            _ = stopSignal.signal()
        }
        await shutDown(steward, ownership)
        if let failure = core.firstFailure { throw failure }
    }

    /// Waits until nothing that this runner could run is ready, running, due later, or held behind jobs that some runner runs.
    private func waitUntilIdle() async {
        let isOver = SharedFlag()
        let core = core
        let waiting = TaskWaiter()
        OSThread.start(named: "petiole-drain") {
            var isTold = false
            while true {
                // Read before looking, at the flags too: what comes in between makes the wait return at once.
                let seen = core.store.signals.recorded.value
                if isOver.isSet || core.firstFailure != nil || core.pool.isStopping { break }
                let left = Self.left(core)
                if left.open == 0 {
                    guard let onPaused = core.onPaused, left.setAside > 0 else { break }
                    if !isTold { onPaused() }
                }
                isTold = left.open == 0
                core.flushAll()
                core.store.writer.hurry()
                // A second: a process that cancels may die between its commit and its ring.
                core.store.signals.recorded.wait(whileAt: seen, for: 1_000_000_000)
            }
            waiting.wake()
        }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { waiting.wait($0) }
        } onCancel: {
            isOver.set()
            core.store.signals.recorded.ring()
        }
    }

    /// How many jobs of its queues have not ended: those that come to be run, and those that do not until somebody lets them.
    private static func left(_ core: RunnerCore) -> (open: UInt64, setAside: UInt64) {
        let open = core.store
        let queues = core.claims.ownedQueues
        do throws(StoreError) {
            let (left, areLeft) = try open.read { (reader) throws(StorageError) in
                var left: (open: UInt64, setAside: UInt64) = (0, 0)
                var withParked: [UInt32] = []
                for queue in queues {
                    // Nothing more comes of a paused one; what runs of it ends with the runner.
                    let isPaused = try queue.isPaused(reader, open.tables)
                    guard
                        let bytes = try reader.value(
                            open.tables.meta, RecordKey.counters(queue.id))
                    else { continue }
                    let counters = try formatted { () throws(FormatError) in
                        try QueueCounters(bytes)
                    }
                    let setAside = isPaused ? counters.unfinished : counters.parked
                    left.open += counters.unfinished &- setAside
                    left.setAside += setAside
                    if !isPaused, counters.parked > 0 { withParked.append(queue.id) }
                }
                if left.open == 0, !withParked.isEmpty {
                    let rows = try JobStore.queueRows(reader, open.tables)
                    var outlook = HeldOutlook(rows.map { $0.record }, open.tables) { queue in
                        open.locks.holder(of: StoreFormat.queueLock(queue)) != nil
                    }
                    for queue in withParked {
                        let held = UInt64(try outlook.count(in: queue, reader))
                        left.open += held
                        left.setAside -= held
                    }
                }
                let areLeft = try HeldJobs.areLeft(reader, open.tables)
                if areLeft { left.open = max(1, left.open) }
                return (left, areLeft)
            }
            // Nobody else need be there who commits.
            if areLeft { open.letLeftFollowersGo() }
            return left
        } catch {
            core.fail(.store(error))
            return (0, 0)
        }
    }

    // MARK: Stopping

    private func shutDown(_ steward: Steward, _ ownership: Ownership) async {
        let core = core
        let grace = options.gracePeriod
        let isOver: Bool = await withUnsafeContinuation { continuation in
            OSThread.start(named: "petiole-stop") {
                let isOver = Self.endAttempts(core, grace)
                core.children.end()
                continuation.resume(returning: isOver)
            }
        }
        steward.stop()
        core.deadlines.stop()
        core.flushAll()
        do throws(StoreError) {
            // Behind everything that was submitted: when this is durable, so is what the attempts came to.
            try await store.open.perform { (_, _) throws(StorageError) in }
            if isOver { try core.startMarks.withdraw(store.open) }
        } catch {
            core.fail(.store(error))
        }
        // Before the next owner comes: a resource may be one that there is one of in the world.
        await core.hooks?.resources?.closeAll(limit: options.resourceCloseLimit)
        // Jobs on threads that did not heed the request still run: their queues stay ours until the process ends, so
        // that no other attempt of theirs begins.
        if isOver { ownership.giveUp() }
    }

    /// Blocks until no attempt is left. Returns whether that is so.
    private static func endAttempts(_ core: RunnerCore, _ grace: Duration) -> Bool {
        let joined = SharedWord()
        let deadline = petiole_steady_time() + nanoseconds(grace)
        core.stopPool()
        OSThread.start(named: "petiole-join") {
            core.pool.join()
            joined.publish(1)
            joined.wakeAll()
        }
        var isJoined = wait(joined, deadline)
        var isIdle = core.places.waitUntilIdle(deadline: deadline)
        if isJoined, isIdle { return true }
        core.stopNow()
        // Commands get SIGTERM, and SIGKILL after their own grace; jobs that look at their context end soon.
        let last = petiole_steady_time() + 15_000_000_000
        isJoined = wait(joined, last)
        isIdle = core.places.waitUntilIdle(deadline: last)
        return isJoined && isIdle
    }

    private static func wait(_ word: SharedWord, _ deadline: Int64) -> Bool {
        while word.value == 0 {
            if !word.wait(while: 0, for: deadline - petiole_steady_time()) {
                return word.value != 0
            }
        }
        return true
    }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return min(seconds, 1_000_000_000) * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}

/// Waited for by the one who runs, given by whoever stops.
final class StopSignal: Sendable {
    private struct State {
        var isGiven = false
        var waiters: [UInt64: UnsafeContinuation<Void, Never>] = [:]
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    /// Returns whether this was the first.
    func signal() -> Bool {
        let (isFirst, waiters) = state.withLock { state in
            defer {
                state.isGiven = true
                state.waiters = [:]
            }
            return (!state.isGiven, Array(state.waiters.values))
        }
        for waiter in waiters { waiter.resume() }
        return isFirst
    }

    func wait() async {
        let token = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isGiven || Task.isCancelled { return true }
                    state.waiters[token] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: token) }?.resume()
        }
    }
}
