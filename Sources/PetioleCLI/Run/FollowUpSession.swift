import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What is done when the inputs of a run have ended: its follow-up is run, unless it has been for these inputs.
struct FollowUpSession {
    let store: JobStore
    /// The run's queue, and that of its follow-ups.
    let runQueue, queue: String
    /// Inputs that the run had accepted.
    let inputs: Int
    let retries: Int
    let request: StopRequest
    let current: CurrentRunner
    /// How its output is printed, how much of it is kept, and for how long a retry waits.
    let style: OutputStyle
    let outputLimit: UInt64?
    let retryPolicy: RetryPolicy

    /// The exit status when the follow-up did not succeed; 1 to 101 count inputs.
    static let failedStatus: Int32 = 102

    /// Runs it, or finds that it has been run.
    /// - Parameter followUp: nil: none of those that were given is due.
    func run(_ followUp: FollowUp?) async throws {
        try await cancelOthers(than: followUp)
        guard let followUp else { return }
        if let signal = request.signal, try known(followUp)?.state.isEnded != true {
            throw stopped(followUp, by: signal)
        }
        let runner = try makeRunner()
        let stopper = RunStopper(runner)
        current.stopper = stopper
        // Who asked before hears of no runner any more.
        if request.signal != nil { stopper.stop(isNow: false) }
        let printer = try RunPrinter(
            store, showsBar: false, manner: RunPrinter.Manner(style: style)
        ) { stopper.stop(isNow: $0) }
        let observer = store.observeOutcomes { printer.add($0) }
        var job: (id: JobID, isOld: Bool)?
        var problem: (any Error)?
        do {
            job = try await runner.run {
                try expectUnchanged()
                let known = try known(followUp)
                var history: [ClosedRange<UInt64>] = []
                if let known, known.state.isEnded, !Standard.output.isTerminal {
                    history = [known.id.rawValue...known.id.rawValue]
                }
                printer.start(history: history, before: 0)
                if let known { return (known.id, known.state.isEnded) }
                return (
                    try await followUp.enqueue(
                        after: inputs, queue: queue, retries: retries, store), false
                )
            }
        } catch RunnerError.queueOwned(_, let pid, _) {
            problem = RunSession.isOwned(by: pid)
        } catch is CancellationError {
            // Stopped before it was enqueued: the request says by whom.
        } catch {
            problem = error
        }
        let tally = await printer.finish()
        store.stopObserving(observer)
        if let problem = problem ?? tally.problem { throw problem }
        if tally.isPipeBroken { throw Failure("", status: 128 + SIGPIPE) }
        try report(followUp, job)
    }

    /// Says what was accepted with an earlier line and will not be run by this one, which names none.
    static func sayUnfinished(in queue: String, _ store: JobStore) throws {
        guard try store.counts(queue: queue).unfinished > 0 else { return }
        say(
            """
            a command of --then or --on-failure of before had not ended
            the line with that option goes on with it
            """)
    }

    // MARK: Steps

    /// The job of a follow-up for these inputs; nil: it was never accepted.
    private func known(_ followUp: FollowUp) throws -> FollowUp.Known? {
        try FollowUp.known(in: queue, store).last { $0.isOf(followUp, after: inputs) }
    }

    private func makeRunner() throws -> JobRunner {
        var options = JobRunner.Options()
        options.workers = 1
        options.asyncLimit = 1
        // The run's own queue too, so that the same line is not started meanwhile.
        options.queues = [runQueue]
        var running = CommandRunOptions()
        running.outputLimit = outputLimit
        return try JobRunner(
            commandsOf: queue, in: store, retryPolicy: retryPolicy, options: options,
            running: running)
    }

    /// One that had not ended when other inputs came, or another command, is not due any more. Before the queue is taken over,
    /// since it would be run then.
    private func cancelOthers(than followUp: FollowUp?) async throws {
        if try store.counts(queue: queue).unfinished == 0 { return }
        if let pid = try store.queues().first(where: { $0.name == queue })?.ownerPID {
            throw RunSession.isOwned(by: pid)
        }
        for known in try FollowUp.known(in: queue, store) where !known.state.isEnded {
            if let followUp, known.isOf(followUp, after: inputs) { continue }
            try await store.cancel(known.id)
            say("job \(known.id), which was to follow the run of before, is cancelled")
        }
    }

    /// Between two owners of the queues somebody else may have been one.
    private func expectUnchanged() throws {
        let counts = try store.counts(queue: runQueue)
        guard counts.accepted == inputs, counts.unfinished == 0 else {
            throw Failure(
                "the same run has just been going on elsewhere\nstart this line again",
                status: 125)
        }
    }

    // MARK: The end

    private func report(_ followUp: FollowUp, _ job: (id: JobID, isOld: Bool)?) throws {
        guard let job, case .ended(let outcome) = try store.state(of: job.id) else {
            if let signal = request.signal { throw stopped(followUp, by: signal) }
            throw Failure(
                """
                the command of --\(followUp.occasion.rawValue) has not ended\(job.map { ": see petiole show \($0.id)" } ?? "")
                the same line again goes on with it
                """, status: 125)
        }
        if outcome.kind == .succeeded { return }
        let reason = outcome.failure.map { ": \(visible($0.message))" } ?? ""
        say(
            """
            the command of --\(followUp.occasion.rawValue) \(job.isOld ? "had " : "")failed\(reason)
            it runs again with the same line after: petiole requeue \(job.id)
            """)
        throw Failure("", status: Self.failedStatus)
    }

    private func stopped(_ followUp: FollowUp, by signal: Int32) -> Failure {
        Failure(
            """
            stopped: all inputs ended, the command of --\(followUp.occasion.rawValue) did not
            the same line again goes on with it
            """, status: 128 + signal)
    }
}
