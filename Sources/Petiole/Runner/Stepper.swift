import Logging
import PetioleDispatch
import PetioleStorage
import Synchronization

// Stepping
//
// For tests: a runner whose jobs begin one at a time, each when somebody asks for the next. Nothing of it is an imitation:
// its pool asks the stepper for work, and the stepper asks the claims, when it is time.
//
// | a step is | when a worker asks for work |
// |---|---|
// | not asked for | it gets nothing |
// | asked for | it gets the next ticket, of one job; without one, and when nothing is being fired or moved, the step is over |
// | under way | it gets nothing, but for what those that run wait for |
// | under way, and nothing of it runs or waits any more | it gets nothing, and the step is over |
//
// What those that run wait for. A job may wait for another one, and that one has to begin within the step. So while all
// attempts of the step wait, the next ticket is handed out, unless one of the jobs that are waited for has ended: who waits for
// it is about to come back.
//
// Who parks looks once more after each `lookAgain`, so each change here that lets somebody have work calls it afterwards.

/// Lets a runner's jobs begin one at a time, each when somebody asks for the next.
package final class Stepper: WorkSource, @unchecked Sendable {
    // What guards it: `core` is set once, before the runner starts; the rest is in the mutex.
    private var core: RunnerCore!

    private struct Step {
        var continuation: UnsafeContinuation<Result<UInt64?, any Error>, Never>?
        /// The job that it has let begin.
        var job: UInt64?
    }

    private struct State {
        var step: Step?
        /// Whether the pool runs, so that it can be told to look.
        var hasPool = false
        /// Whether a thread asks the claims now, and whether another one was sent away because of that.
        var isClaiming = false
        var sentAway = false
        /// Tickets that threads run now, and how many of those threads wait for other jobs.
        var running = 0
        var waiting = 0
        /// Jobs that attempts of the step wait for, and how many do.
        var awaited: [UInt64: Int] = [:]
        var lastJob: UInt64?
        /// Who waits for the start.
        var starting: UnsafeContinuation<Result<Void, any Error>, Never>?
        var end: Result<Void, any Error>?
    }

    private let state = Mutex(State())

    package init() {}

    func attach(_ core: RunnerCore) { self.core = core }

    // MARK: Steps

    /// Waits until the runner has taken its queues.
    /// - Throws: what the runner has ended with instead; `CancellationError` when it was stopped.
    package func start() async throws {
        let result: Result<Void, any Error> = await withUnsafeContinuation { continuation in
            let result = state.withLock { state -> Result<Void, any Error>? in
                if let end = state.end { return end.flatMap { .failure(CancellationError()) } }
                if state.hasPool { return .success(()) }
                state.starting = continuation
                return nil
            }
            if let result { continuation.resume(returning: result) }
        }
        try result.get()
    }

    /// Lets the next job begin, fires what is due before, and waits until the job's attempt has ended and been handed to the
    /// writer. One step at a time.
    /// - Returns: the job; nil when nothing is ready.
    /// - Throws: what the runner has ended with; `CancellationError` when it has ended otherwise, or the task is cancelled.
    package func step() async throws -> JobID? {
        let result: Result<UInt64?, any Error> = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let (end, hasPool) = state.withLock { state -> (Result<Void, any Error>?, Bool) in
                    precondition(state.step == nil, "a runner makes one step at a time")
                    if state.end == nil { state.step = Step(continuation: continuation) }
                    return (state.end, state.hasPool)
                }
                if let end {
                    continuation.resume(returning: end.flatMap { .failure(CancellationError()) })
                } else if Task.isCancelled {
                    giveUp()
                } else if hasPool {
                    core.pool.lookAgain()
                }
            }
        } onCancel: {
            giveUp()
        }
        return try result.get().map { JobID(rawValue: $0) }
    }

    /// The job that was let begin last.
    package var lastJob: JobID? { state.withLock { $0.lastJob.map { JobID(rawValue: $0) } } }

    /// Waits until all that attempts have come to is durable.
    package func settle() async throws {
        // A commit that fails is tried again in parts, and what is asked first may be answered before what came with it.
        try await core.store.perform { (_, _) throws(StorageError) in }
        repeat {
            try await core.store.perform { (_, _) throws(StorageError) in }
        } while await core
            .store.refusals.wait()
    }

    /// The queues that the runner owns.
    package var queues: [String] { core.claims.ownedQueues.map { $0.name } }

    /// Microseconds until something may start by itself in the runner's queues; nil: nothing is waited for.
    package var untilNext: Int64? {
        core.claims.untilNext(core.store.clock)
    }

    /// The runner has ended.
    package func end(_ result: Result<Void, any Error>) {
        let (step, starting) = state.withLock { state in
            state.end = result
            state.hasPool = false
            defer {
                state.step = nil
                state.starting = nil
            }
            return (state.step, state.starting)
        }
        step?.continuation?.resume(returning: result.flatMap { .failure(CancellationError()) })
        starting?.resume(returning: result.flatMap { .failure(CancellationError()) })
    }

    package var hasEnded: Bool { state.withLock { $0.end != nil } }

    /// Whoever asked for the step does not wait for its end any more.
    private func giveUp() {
        let continuation = state.withLock { state in
            defer { state.step?.continuation = nil }
            return state.step?.continuation
        }
        continuation?.resume(returning: .failure(CancellationError()))
    }

    // MARK: Jobs that wait for jobs

    /// - Parameter blockingThread: whether a thread waits; else a task does, whose place in flight was given up before.
    func waits(for id: JobID, blockingThread: Bool = false) {
        state.withLock { state in
            state.awaited[id.rawValue, default: 0] += 1
            if blockingThread { state.waiting += 1 }
        }
        core.pool.lookAgain()
    }

    func comesBack(from id: JobID, blockingThread: Bool = false) {
        state.withLock { state in
            let count = state.awaited[id.rawValue] ?? 1
            state.awaited[id.rawValue] = count > 1 ? count - 1 : nil
            if blockingThread { state.waiting -= 1 }
        }
        // Other tasks of the same attempt may still wait.
        core.pool.lookAgain()
    }

    // MARK: The source of the pool's work

    private enum Look {
        case nothing
        /// What the step is to begin with.
        case first
        /// What those that run may wait for.
        case within(awaited: [UInt64])
        case isOver(Step)
    }

    package func claim(for worker: Worker) -> Ticket? {
        let look = state.withLock { state -> Look in
            guard let step = state.step else { return .nothing }
            if state.isClaiming {
                state.sentAway = true
                return .nothing
            }
            if state.running == 0, core.places.begun == 0 {
                if step.job != nil {
                    state.step = nil
                    return .isOver(step)
                }
                state.isClaiming = true
                return .first
            }
            guard state.running == state.waiting, core.places.inFlight == 0 else { return .nothing }
            state.isClaiming = true
            return .within(awaited: Array(state.awaited.keys))
        }
        switch look {
        case .nothing: return nil
        case .isOver(let step):
            step.continuation?.resume(returning: .success(step.job))
            return nil
        case .first: return first(worker)
        case .within(let awaited):
            return finishClaim(hasEnded(oneOf: awaited) ? nil : core.claim(for: worker))
        }
    }

    private func first(_ worker: Worker) -> Ticket? {
        let before = core.claims.writing
        // Else its end makes somebody look again.
        if before.isUnderWay { return finishClaim(nil) }
        if let ticket = core.claim(for: worker) {
            // One that is passed over is no step.
            return finishClaim(ticket, asStep: !core.store.hasEnded(ticket.first))
        }
        // As above, also when it has ended meanwhile.
        if core.claims.writing != before { return finishClaim(nil) }
        let step = state.withLock { state -> Step? in
            state.isClaiming = false
            state.sentAway = false
            defer { state.step = nil }
            return state.step
        }
        step?.continuation?.resume(returning: .success(nil))
        return nil
    }

    private func finishClaim(_ ticket: Ticket?, asStep: Bool = false) -> Ticket? {
        let looksAgain = state.withLock { state in
            state.isClaiming = false
            defer { state.sentAway = false }
            guard let ticket else { return state.sentAway }
            state.running += 1
            if asStep {
                state.step?.job = ticket.first
                state.lastJob = ticket.first
            }
            return false
        }
        // What it was woken for may have come after our look.
        if looksAgain { core.pool.lookAgain() }
        return ticket
    }

    /// Whether one of the jobs that are waited for has ended, those counted whose outcome is on its way.
    private func hasEnded(oneOf awaited: [UInt64]) -> Bool {
        // When the store has failed the claim will find that too.
        try? core.store.performBlocking { (_, _) throws(StorageError) in }
        return awaited.contains { core.store.hasEnded($0) }
    }

    package func run(on worker: Worker) {
        core.run(on: worker)
        guard worker.rest.isEmpty else { return }
        state.withLock { $0.running -= 1 }
        // This thread may be one too many now, and retire without asking for work.
        core.pool.lookAgain()
    }

    package func didStart(_ worker: Worker) {
        core.didStart(worker)
        let starting = state.withLock { state in
            state.hasPool = state.end == nil
            defer { state.starting = nil }
            return state.starting
        }
        starting?.resume(returning: .success(()))
    }

    package func willPark(_ worker: Worker) { core.willPark(worker) }
    package func willEnd(_ worker: Worker) { core.willEnd(worker) }
    package func nextDeadline() -> Int64? { core.nextDeadline() }
}

extension JobRunner {
    /// A runner whose jobs begin one at a time.
    /// - Parameter beforeAttempts: called on the thread or task of each attempt before its job is; what it throws the attempt
    ///   has failed with.
    package convenience init(
        stepping store: JobStore, by stepper: Stepper, jobs: [any JobType.Type],
        closures: [JobClosure], options: Options,
        beforeAttempts: @escaping @Sendable (_ job: String, JobContext) throws -> Void
    ) throws(RunnerError) {
        var registry = try JobRegistry(types: jobs, closures: closures)
        registry.interpose(beforeAttempts)
        var options = options
        options.workers = 1
        options.marksCrashes = false
        try self.init(
            store, registry: registry, options: options,
            logger: Logger(label: "petiole") { _ in SwiftLogNoOpLogHandler() }, stepper: stepper)
    }

    /// Fires what is due of the schedules: who has lost his queues does not any more.
    package func fireSchedules() async {
        let core = core
        var hasMore = true
        while hasMore {
            hasMore = await withUnsafeContinuation { continuation in
                core.store.writer.submit(
                    ScheduleFiring(
                        core.claims.ownedQueues, ScheduleFiring.Scope(),
                        ownRules: core.declared?.ownRules ?? [:]
                    ) { firing, error in
                        continuation.resume(returning: error == nil && firing.hasMore)
                    })
            }
        }
    }

    /// Does to this runner's queues what a takeover by another process does: what its attempts come to is not recorded any more.
    package func loseQueues() async throws(StoreError) {
        let names = core.claims.ownedQueues.map { $0.name }
        try await core.store.perform { (transaction, state) throws(StorageError) in
            for name in names {
                var record = try state.queue(named: name, &transaction)
                record.epoch += 1
                try state.put(record, named: name, &transaction)
            }
        }
    }
}
