import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One start of a run, from the first look at its queue to the exit status.
struct RunSession {
    let identity: RunIdentity
    /// What places there are in its command.
    let rules: PlaceRules
    let pace: RunPaceOptions
    let output: RunOutputOptions
    let again: RunAgainOptions
    let surroundings: RunSurroundingsOptions.Surroundings
    let jobLog: JobLog?
    /// What is run when all inputs have ended.
    let followUps: [FollowUp]
    let location: StoreLocation
    let stopReading: WakePipe
    /// Whether the commands run elsewhere than in the working directory.
    let hasOwnDirectory: Bool

    /// What reading the inputs came to.
    struct Listing: Sendable {
        var new = 0
        /// That had ended, and run once more.
        var redone = 0
        var listed = 0
        var pendingUnlisted = 0
        var isWhole = false
    }

    func run(_ feed: some RunFeed) async throws {
        var feed = feed
        // Before a store is made for nothing.
        let isEmpty = try feed.isEmpty()
        if isEmpty, try again.fresh || location.path() == nil { throw Self.noInputs }
        let store = try location.openOrMake()
        // Before anything is changed.
        try pace.resources.check(in: store)
        let results = try output.results.map { try ResultFolder(Arguments.bytes(of: $0)) }
        let generation = try identity.generation(in: store)
        let used = try await self.generation(after: generation, store)
        let queue = identity.queue(generation: used)
        if again.retryFailed { try await retryFailed(queue, store) }
        let past = try Self.past(of: queue, store, keepsJobs: again.redo)
        if isEmpty, past.accepted == 0 { throw Self.noInputs }
        try past.expectKept()
        let end = try await work(store, queue, past, feed, results)
        try await follow(end, store, queue, identity.followUpQueue(generation: used))
        if end.notWell > 0 { throw Failure("", status: Int32(min(end.notWell, 101))) }
    }

    private static var noInputs: Failure {
        .usage(
            """
            there are no inputs
            give them after ::: or on standard input, one a line
            """)
    }

    /// Prints what a start would run now, and changes nothing.
    func preview(_ feed: some RunFeed) throws {
        var feed = feed
        let directory = Surroundings.variable("TMPDIR").map { String(decoding: $0, as: UTF8.self) }
        var past = Past(inputs: try KnownInputs(directory: directory ?? "/tmp"))
        if !again.fresh, !again.redo, try location.path() != nil {
            do {
                let store = try location.openExisting()
                let generation = max(try identity.generation(in: store), 1)
                past = try Self.past(
                    of: identity.queue(generation: generation), store, keepsJobs: false)
            } catch StoreError.noStore {}
        }
        var number = 0
        var new = 0
        while let chunk = try feed.next(&past.inputs) {
            number += chunk.listed
            new += chunk.requests.count
            for request in chunk.requests {
                do {
                    // Where it would run needs no word when that is here.
                    let command = surroundings.around(request.command)
                    let shown = try Command(
                        arguments: command.arguments,
                        workingDirectory: hasOwnDirectory ? command.workingDirectory : nil,
                        environment: command.environment
                    ).nicer(by: command.niceness)
                    Standard.output.line(shown.shellLine)
                } catch {
                    throw Failure("\(error)", status: 125)
                }
            }
            // Nobody reads any more, or nothing can be written.
            if let code = feed.mayWait ? Standard.output.flush() : Standard.output.flushIfLarge() {
                throw Failure.output(code) ?? Failure("", status: 128 + SIGPIPE)
            }
        }
        if number == 0, past.pending == 0 { throw Self.noInputs }
        var parts = ["\(counted(new, "command")) would be started"]
        if past.pending > 0 { parts.append("\(grouped(past.pending)) of before would go on") }
        if past.endedCount > 0 {
            parts.append(
                "\(grouped(past.endedCount)) \(past.endedCount == 1 ? "has" : "have") ended")
        }
        Standard.output.flush()
        say(parts.joined(separator: ", "))
    }

    private func greet(_ past: Past) {
        guard past.pending + past.endedCount > 0, past.pending > 0 else { return }
        say(
            "goes on: \(grouped(past.endedCount)) of \(counted(past.endedCount + past.pending, "job"))"
                + " had ended"
                + (past.failed > 0 ? ", \(grouped(past.failed)) of them not well" : ""))
    }

    // MARK: The work

    private func work(
        _ store: JobStore, _ queue: String, _ past: Past, _ feed: some RunFeed,
        _ results: ResultFolder?
    ) async throws -> RunEnd {
        let request = StopRequest()
        var options = JobRunner.Options()
        options.workers = pace.jobsAtOnce?.count()
        options.asyncLimit = 1
        let style = output.style(rules)
        let live = output.lineBuffer ? LivePrinter(store, style: style) : nil
        let haltWatch = pace.haltRule.map { HaltWatch($0) }
        let runner = try JobRunner(
            commandsOf: queue, in: store, retryPolicy: pace.retryPolicy, options: options,
            running: running(queue, live, haltWatch), onEnd: live.map { Self.lastLine(of: $0) })
        let stopReading = stopReading
        let stopper = RunStopper(runner, stopReading)
        let printer = try RunPrinter(
            store, showsBar: output.bar, keepsOrder: output.keepOrder, log: jobLog,
            manner: RunPrinter.Manner(style: style, live: live, results: results)
        ) { stopper.stop(isNow: $0) }
        haltWatch?.onHalt { stopper.stop(isNow: $0) }
        let before = try store.counts(queue: queue)
        let current = CurrentRunner(stopper)
        StopSignals.start(store) { change in
            let runner = current.stopper.runner
            let count = runner.setPlaces(runner.places + change) ?? runner.places
            say("\(counted(count, "command")) at once now")
        } stop: { signal in
            stopReading.ring()
            request.answer(signal) { current.stopper.stop(isNow: $0) }
        }
        var begun = feed
        try begun.begin(store, queue: queue) { runner.places }
        let feed = begun
        let isOutputRepeated = !Standard.output.isTerminal
        let observer = store.observeOutcomes { printer.add($0) }
        var listing = Listing()
        var problem: (any Error)?
        do {
            listing = try await runner.run {
                // The queue is ours from here on. Nobody may have added to it since it was looked at.
                guard try store.counts(queue: queue).accepted == past.accepted else {
                    throw Failure(
                        "the same run has just been going on elsewhere\nstart this line again",
                        status: 125)
                }
                greet(past)
                let isRepeated = isOutputRepeated && !again.redo
                printer.expect(isRepeated ? past.all : past.unfinished)
                printer.start(
                    history: isRepeated ? past.ended : [],
                    before: again.redo ? 0 : past.endedCount,
                    ended: again.redo ? [] : past.ended)
                let listing = try await enqueue(store, queue, past, feed, printer)
                haltWatch?.setTotal(past.pending + listing.new + listing.redone)
                return listing
            }
        } catch RunnerError.queueOwned(_, let pid, _) {
            problem = Self.isOwned(by: pid)
        } catch is CancellationError {
            // Stopped before all inputs were read: the request says by whom.
        } catch {
            problem = error
        }
        let tally = await printer.finish(isStopped: request.signal != nil)
        await feed.end()
        store.stopObserving(observer)
        if let problem { throw problem }
        if let problem = tally.problem { throw problem }
        let after = try store.counts(queue: queue)
        let notWell = try report(
            past, listing, before, after, tally, haltWatch?.reason, request)
        return RunEnd(
            notWell: notWell, accepted: after.accepted,
            isWhole: listing.isWhole && after.unfinished == 0,
            request: request, current: current)
    }

    /// The other one may stand in the same pipeline: no advice to kill it.
    static func isOwned(by pid: Int) -> Failure {
        Failure(
            """
            this same line is running already, in process \(pid)
            wait until that process has ended; then the same line does what is left
            """, status: 125)
    }

    /// Makes jobs of the inputs that have none, in chunks: what is read and not yet accepted is bounded.
    private func enqueue(
        _ store: JobStore, _ queue: String, _ past: Past, _ feed: some RunFeed,
        _ printer: RunPrinter
    ) async throws -> Listing {
        var feed = feed
        var known = past.inputs
        var listing = Listing()
        var options = EnqueueOptions(queue: queue)
        options.maxAttempts = pace.retries + 1
        options.timeLimit = pace.timeLimit
        if let total = feed.total {
            // Those of before that are no longer listed are added when that is known.
            printer.setTotal(max(total, past.pending + past.endedCount))
        }
        // What runs once more stands among what is new: the order is known when both are.
        let merging = again.redo
        var ahead = EnqueueAhead(store, options) { if !merging { printer.expect($0) } }
        do {
            while let chunk = try feed.next(&known) {
                listing.listed += chunk.listed
                let requests = chunk.requests.map { surroundings.around($0) }
                if again.redo {
                    let accepted =
                        try await requests.isEmpty
                        ? [] : store.enqueue(commands: requests, options: options)
                    listing.redone += try await redo(chunk.order, store)
                    printer.expect(Self.merged(chunk.order, accepted))
                } else {
                    try await ahead.add(requests)
                }
                if listing.new == 0, past.pending == 0, !chunk.requests.isEmpty {
                    // Else it was said that the run goes on, or will be that it is finished.
                    printer.sayRepeated()
                }
                listing.new += chunk.requests.count
                if feed.mayWait { try await ahead.settle() }
                if Task.isCancelled { throw CancellationError() }
            }
        } catch {
            // What was handed over before counts.
            try await ahead.settle()
            throw error
        }
        try await ahead.settle()
        if Task.isCancelled { throw CancellationError() }
        listing.pendingUnlisted = known.pendingUnlisted
        listing.isWhole = true
        printer.setTotal(
            past.pending + listing.new + (again.redo ? listing.redone : past.endedCount))
        if again.redo { say("\(counted(listing.redone, "job")) that had ended run once more") }
        if listing.pendingUnlisted > 0 {
            say(
                "\(counted(listing.pendingUnlisted, "input")) of before had not ended and "
                    + (listing.pendingUnlisted == 1 ? "is" : "are")
                    + " no longer listed; \(listing.pendingUnlisted == 1 ? "it goes" : "they go") on"
            )
        }
        return listing
    }

    /// Lets those jobs of a chunk of inputs run once more that had ended.
    private func redo(_ order: [UInt64?], _ store: JobStore) async throws -> Int {
        let jobs = order.compactMap { $0 }
        var count = 0
        for start in stride(from: 0, to: jobs.count, by: 1_000) {
            let some = jobs[start..<min(jobs.count, start + 1_000)]
            count += try await store.requeue(ids: some.sorted())
        }
        return count
    }

    /// The jobs of a chunk of inputs in their order: those that had ended, and those just accepted.
    private static func merged(
        _ order: [UInt64?], _ accepted: [ClosedRange<UInt64>]
    ) -> [ClosedRange<UInt64>] {
        var new = accepted.joined().makeIterator()
        return order.compactMap { job in (job ?? new.next()).map { $0...$0 } }
    }

    private static func lastLine(
        of live: LivePrinter
    ) -> @Sendable (JobID, CommandEnd) -> Void {
        { id, _ in live.end(id) }
    }

    /// How its commands are run.
    private func running(
        _ queue: String, _ live: LivePrinter?, _ haltWatch: HaltWatch?
    ) -> CommandRunOptions {
        var running = CommandRunOptions()
        running.onPaused = {
            say(
                """
                what is left of this run is paused, and the run waits
                let it go on: petiole resume \(queue), or the id of a job that is held
                """)
        }
        running.mostPlaces = JobsAtOnce.most
        running.outputLimit = output.limit
        running.medianPercent = pace.medianPercent
        running.start = pace.start
        if let haltWatch { running.onLastEnd = { haltWatch.hasEnded($0) } }
        if let live { running.onOutput = { live.take($0, $1, $2) } }
        running.onFullDisk = { id, isOver in
            say(
                isOver
                    ? "job \(id) goes on: there is room for its output"
                    : """
                    job \(id) waits: the disk has no room for its output
                    make some, or end it: petiole cancel \(id)
                    """)
        }
        return running
    }
}
