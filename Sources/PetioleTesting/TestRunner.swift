import Petiole
import Synchronization

/// Runs a test's jobs when the test says so, one after the other, in the order in which a runner of one thread would.
///
/// It is a ``JobRunner``: jobs are claimed, decoded, run, recorded and tried again as by any other. Only when the next may begin
/// is decided by the test. Made by ``withTestStore(at:clock:faults:jobs:closures:options:runner:_:)``; for one task at a time.
public final class TestRunner: Sendable {
    /// The store whose jobs it runs.
    public let store: JobStore
    /// The store's clock.
    public let clock: TestClock
    /// What is to go wrong.
    public let faults: FaultPlan
    private let options: JobRunner.Options

    private struct Running {
        let stepper: Stepper
        let runner: JobRunner
        let task: Task<Void, any Error>
    }
    private struct State {
        var jobs: [any JobType.Type]
        var closures: [JobClosure]
        var running: Running?
    }
    private let state: Mutex<State>

    init(
        _ store: JobStore, _ clock: TestClock, _ faults: FaultPlan, jobs: [any JobType.Type],
        closures: [JobClosure], options: JobRunner.Options
    ) {
        self.store = store
        self.clock = clock
        self.faults = faults
        self.options = options
        state = Mutex(State(jobs: jobs, closures: closures))
    }

    // MARK: Running jobs

    /// Makes what is due ready, lets the next job make an attempt, and waits until what that came to is durable. Jobs that it
    /// waits for run within the same step, and the step lasts as long as it waits.
    ///
    /// A result that was recorded is read back by its type's codec.
    /// - Returns: the job as it is then: ended, waiting for another attempt, parked since nobody knows its name. Nil when nothing
    ///   is ready; what is due later waits for the clock.
    /// - Throws: `RunnerError` when the runner could not start or go on, as any other; ``TestFailure`` when a result cannot be
    ///   read.
    @discardableResult
    public func step() async throws -> JobSummary? {
        let running = try started()
        let id: JobID?
        do {
            id = try await running.stepper.step()
        } catch {
            if running.stepper.hasEnded { forget(running) }
            throw error
        }
        guard let id else { return nil }
        try await running.stepper.settle()
        let job = try store.details(of: id).summary
        try await checkResult(job)
        return job
    }

    /// Reads the result that a job has recorded, if this runner knows its type.
    private func checkResult(_ job: JobSummary) async throws {
        guard case .ended(let outcome) = job.state, outcome.kind == .succeeded else { return }
        func check<J: CodableJob>(_ type: J.Type) async throws {
            do {
                _ = try await store.handle(of: job.id, as: type).result
            } catch JobError.undecodable(_, let reason) {
                throw TestFailure(
                    "the result of job \(job.id) \"\(job.name)\" cannot be read: \(reason)")
            } catch JobError.keepsNoResult {}
        }
        for type in state.withLock({ $0.jobs }) where type.jobName == job.name {
            if let type = type as? any CodableJob.Type { try await check(type) }
        }
    }

    /// Makes steps until nothing is ready.
    /// - Parameters:
    ///   - advancing: whether the clock is moved to the next time at which a job may start, again and again, until no job of the
    ///     runner's queues waits for one.
    ///   - limit: steps at most: a job may retry or snooze for ever.
    /// - Returns: what was run, and what is left.
    /// - Throws: what ``step()`` throws; ``TestFailure`` at the limit.
    @discardableResult
    public func drain(advancing: Bool = false, limit: Int = 10_000) async throws -> Drained {
        var steps: [JobSummary] = []
        while true {
            while let job = try await step() {
                steps.append(job)
                if steps.count >= limit {
                    throw TestFailure(
                        """
                        \(limit) attempts were made and there are more; the last was of job \(job.id) \
                        "\(job.name)", which is \(job.state.words)
                        """)
                }
            }
            guard advancing, let wait = try untilNext() else { break }
            clock.advance(wait)
        }
        var left: [JobSummary] = []
        var filter = JobFilter()
        filter.states = [.ready, .waiting, .parked]
        try store.forEachJob(filter) { job in
            left.append(job)
            return true
        }
        return Drained(steps: steps, left: left.sorted { $0.id < $1.id }, at: clock.now)
    }

    /// How long until something may start by itself, when a job of the runner's queues waits for that: for its due time, or for a
    /// rate.
    private func untilNext() throws -> Duration? {
        guard let stepper = state.withLock({ $0.running?.stepper }) else { return nil }
        let own = stepper.queues
        let isWaiting = try store.queues().contains { queue in
            own.contains(queue.name) && !queue.isPaused
                && queue.counts.waiting + queue.counts.ready > 0
        }
        return isWaiting ? stepper.untilNext.map { .microseconds($0) } : nil
    }

    /// Lets the next job make an attempt, and dies before what it came to is recorded: as a process does that is killed at this
    /// moment. The next step begins with a new runner, as the next process does, and the job runs again.
    /// - Returns: the job, which is ready as before; nil when nothing was.
    @discardableResult
    public func stepAndDie() async throws -> JobSummary? {
        let running = try started()
        try await running.stepper.start()
        await running.runner.fireSchedules()
        try await running.runner.loseQueues()
        let id: JobID?
        do {
            id = try await running.stepper.step()
        } catch RunnerError.fenced {
            id = running.stepper.lastJob
        }
        try await end(running)
        return try id.map { try store.details(of: $0).summary }
    }

    // MARK: Beginning and ending

    /// Ends the runner and goes on with other job types, as another version of the program does that is started next.
    /// - Parameters:
    ///   - jobs: the job types that it knows from then on.
    ///   - closures: those by name.
    public func restart(jobs: [any JobType.Type], closures: [JobClosure] = []) async throws {
        try await stop()
        state.withLock { state in
            state.jobs = jobs
            state.closures = closures
        }
    }

    /// Ends the runner: somebody else may run its queues. The next step begins anew.
    /// - Throws: what the runner has ended with.
    public func stop() async throws {
        guard let running = state.withLock({ $0.running }) else { return }
        try await end(running)
    }

    private func end(_ running: Running) async throws {
        running.runner.stop()
        // At once: an attempt that is still under way was given up by the test.
        running.runner.stop()
        let result = await running.task.result
        forget(running)
        do { try result.get() } catch RunnerError.fenced {}
    }

    private func forget(_ running: Running) {
        state.withLock { state in
            if state.running?.stepper === running.stepper { state.running = nil }
        }
    }

    private func started() throws -> Running {
        try state.withLock { state in
            if let running = state.running { return running }
            let stepper = Stepper()
            let runner = try JobRunner(
                stepping: store, by: stepper, jobs: state.jobs, closures: state.closures,
                options: options
            ) { [faults] job, _ in try faults.beforeAttempt(of: job) }
            let task = Task {
                do {
                    try await runner.run()
                    stepper.end(.success(()))
                } catch {
                    stepper.end(.failure(error))
                    throw error
                }
            }
            let running = Running(stepper: stepper, runner: runner, task: task)
            state.running = running
            return running
        }
    }
}
