import Petiole

// What earlier starts of a run have left.
extension RunSession {
    /// What earlier starts have left.
    struct Past: Sendable {
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

    /// The generation of this start; a new one for `--fresh`, after what the old one still had to do is cancelled.
    func generation(after generation: Int, _ store: JobStore) async throws -> Int {
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
    func retryFailed(_ queue: String, _ store: JobStore) async throws {
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
    static func cancel(_ jobs: [JobID], _ store: JobStore) async throws {
        for start in stride(from: 0, to: jobs.count, by: 256) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for job in jobs[start..<min(jobs.count, start + 256)] {
                    group.addTask { try await store.cancel(job) }
                }
                try await group.waitForAll()
            }
        }
    }

    static func past(
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
    static func expectSound(
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
