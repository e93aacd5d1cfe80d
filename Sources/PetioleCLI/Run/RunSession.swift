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

    /// What earlier starts have left.
    private struct Past: Sendable {
        var inputs: KnownInputs
        /// Ids of jobs that have ended, and of the others.
        var ended: [ClosedRange<UInt64>] = []
        var unfinished: [ClosedRange<UInt64>] = []
        var endedCount = 0
        var failed = 0
        var pending = 0
        /// Jobs that the queue had accepted when this was read.
        var accepted = 0

        /// In the order in which they were accepted.
        var all: [ClosedRange<UInt64>] {
            (ended + unfinished).sorted { $0.lowerBound < $1.lowerBound }
        }

        /// What is known no more would run again.
        func expectKept() throws {
            let gone = accepted - pending - endedCount
            guard gone > 0 else { return }
            throw Failure(
                """
                of the \(counted(accepted, "job")) of this run \(grouped(gone)) \(gone == 1 ? "is" : "are") no longer kept, \
                so \(gone == 1 ? "its input" : "their inputs") would be run once more
                to run all anew: the same line with --fresh
                to keep jobs for longer, or shorter: petiole capacity --keep 365d
                """, status: 125)
        }
    }

    /// What reading the inputs came to.
    private struct Listing: Sendable {
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

    // MARK: The queue

    /// The generation of this start; a new one for `--fresh`, after what the old one still had to do is cancelled.
    private func generation(after generation: Int, _ store: JobStore) async throws -> Int {
        guard again.fresh, generation > 0 else { return max(generation, 1) }
        let old = identity.queue(generation: generation)
        if let pid = try store.queues().first(where: { $0.name == old })?.ownerPID {
            throw Failure(
                """
                this run goes on in process \(pid) and cannot be started anew
                wait until that process has ended
                """, status: 125)
        }
        var unfinished: [JobID] = []
        for queue in [old, identity.followUpQueue(generation: generation)]
        where try store.counts(queue: queue).unfinished > 0 {
            var filter = JobFilter()
            filter.queue = queue
            filter.states = [.ready, .waiting, .parked, .paused, .held]
            try store.forEachJob(filter) {
                unfinished.append($0.id)
                return true
            }
        }
        if !unfinished.isEmpty {
            say("\(counted(unfinished.count, "job")) of before had not ended and will not be run")
            try await Self.cancel(unfinished, store)
        }
        return generation + 1
    }

    /// Lets what has not succeeded run once more.
    private func retryFailed(_ queue: String, _ store: JobStore) async throws {
        var filter = JobFilter()
        filter.queue = queue
        filter.states = [.failed, .deadLetter, .cancelled, .expired, .discarded, .dropped]
        let count = try await store.requeue(matching: filter)
        say(
            count == 0
                ? "nothing has failed before"
                : "\(counted(count, "job")) that had not succeeded will run once more")
    }

    /// Many at once, so that they share commits.
    private static func cancel(_ jobs: [JobID], _ store: JobStore) async throws {
        for start in stride(from: 0, to: jobs.count, by: 256) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for job in jobs[start..<min(jobs.count, start + 256)] {
                    group.addTask { try await store.cancel(job) }
                }
                try await group.waitForAll()
            }
        }
    }

    private static func past(
        of queue: String, _ store: JobStore, keepsJobs: Bool
    ) throws -> Past {
        var past = Past(
            inputs: try KnownInputs(directory: store.path, keepsJobs: keepsJobs))
        let counts = try store.counts(queue: queue)
        past.accepted = counts.accepted
        if counts.accepted == 0 { return past }
        var filter = JobFilter()
        filter.queue = queue
        var problem: (any Error)?
        try store.forEachRecord(filter) { summary, extras, _ in
            let id = summary.id.rawValue
            do {
                try past.inputs.record(extras, hasEnded: summary.state.isEnded, job: id)
            } catch {
                problem = error
                return false
            }
            guard case .ended(let outcome) = summary.state else {
                past.pending += 1
                past.unfinished.append(id: id)
                return true
            }
            past.endedCount += 1
            if outcome.kind != .succeeded { past.failed += 1 }
            past.ended.append(id: id)
            return true
        }
        if let problem { throw problem }
        try expectSound(past, counts, queue, store)
        return past
    }

    /// What was found must be what is counted, unless somebody changes it meanwhile. Else pages of the store hold something
    /// else, and a run that trusted them would leave jobs out without a word.
    private static func expectSound(
        _ past: Past, _ counts: JobCounts, _ queue: String, _ store: JobStore
    ) throws {
        guard past.pending != counts.unfinished,
            let status = try store.queues().first(where: { $0.name == queue }),
            status.ownerPID == nil, status.counts == counts
        else { return }
        throw StoreError.damaged(
            path: store.path,
            reason: "\(counts.unfinished) jobs of this run have not ended by its counters, and "
                + "\(past.pending) by what is recorded of them")
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

    // MARK: The end

    /// What the inputs came to, when nothing stopped them.
    private struct RunEnd {
        /// Those that did not succeed.
        let notWell: Int
        let accepted: Int
        /// Whether all have ended.
        let isWhole: Bool
        let request: StopRequest
        let current: CurrentRunner
    }

    private func follow(
        _ end: RunEnd, _ store: JobStore, _ queue: String, _ followUpQueue: String
    ) async throws {
        if followUps.isEmpty {
            return try FollowUpSession.sayUnfinished(in: followUpQueue, store)
        }
        guard end.isWhole else {
            return say("not all inputs have ended, so nothing follows; the same line again goes on")
        }
        let occasion = end.notWell == 0 ? FollowUp.Occasion.then : .onFailure
        let session = FollowUpSession(
            store: store, runQueue: queue, queue: followUpQueue, inputs: end.accepted,
            retries: pace.retries, request: end.request, current: end.current,
            style: OutputStyle(isRaw: output.raw), outputLimit: output.limit,
            retryPolicy: pace.retryPolicy)
        try await session.run(followUps.first { $0.occasion == occasion })
    }

    /// - Returns: how many inputs did not succeed.
    private func report(
        _ past: Past, _ listing: Listing, _ before: JobCounts, _ after: JobCounts,
        _ tally: RunPrinter.Tally, _ haltReason: String?, _ request: StopRequest
    ) throws -> Int {
        let notWell = past.failed + Self.notWell(after) - Self.notWell(before)
        let left = after.unfinished
        if let reason = haltReason, left > 0 || !listing.isWhole {
            say(
                """
                halted, since \(reason): \(counted(after.ended, "job")) ended, \(grouped(left)) \
                \(left == 1 ? "is" : "are") left\(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """)
            return notWell
        }
        if let signal = request.signal, left > 0 || !listing.isWhole {
            say(
                """
                stopped: \(counted(after.ended, "job")) ended, \(grouped(left)) \(left == 1 ? "is" : "are") left\
                \(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """)
            throw Failure("", status: 128 + signal)
        }
        if tally.isPipeBroken {
            if left > 0 || !listing.isWhole {
                say("standard output was closed; the same line again goes on from here")
            }
            throw Failure("", status: 128 + SIGPIPE)
        }
        if left > 0 || !listing.isWhole {
            throw Failure(
                """
                \(counted(left, "job")) of this run \(left == 1 ? "has" : "have") not ended\(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """, status: 125)
        }
        let total = past.endedCount + past.pending + listing.new
        if past.pending == 0, listing.new == 0, listing.redone == 0 {
            say(
                "this run is finished: \(counted(total, "job")), "
                    + (notWell == 0 ? "all succeeded" : "\(grouped(notWell)) not well")
                    + "; --fresh starts anew")
        } else if notWell > 0 {
            let old =
                past.failed > 0
                ? " (\(grouped(past.failed)) of them before; --retry-failed runs them once more)"
                : ""
            say(
                """
                \(grouped(notWell)) of \(counted(total, "job")) failed\(old)
                see petiole jobs --state failed --state dead
                """)
        }
        return notWell
    }

    private static func notWell(_ counts: JobCounts) -> Int {
        counts.failed + counts.deadLetters + counts.cancelled + counts.expired + counts.discarded
            + counts.dropped
    }
}

extension [ClosedRange<UInt64>] {
    /// Adds an id that is behind all others.
    fileprivate mutating func append(id: UInt64) {
        if let last, last.upperBound + 1 == id {
            self[count - 1] = last.lowerBound...id
        } else {
            append(id...id)
        }
    }
}
