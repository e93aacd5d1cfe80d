import PetioleStorage

/// What a command's job came to, with what the command wrote.
package struct CommandOutcome: Sendable {
    package let kind: Outcome.Kind
    package let attempt: Int
    /// Nil when no command ended: it could not be started, or the job was cancelled before.
    package let end: CommandEnd?
    /// The error, of a failure and of a dead letter.
    package let failure: JobFailure
}

extension JobStore {
    /// What a command's job came to; nil as long as nothing is recorded.
    /// - Complexity: O(log *n*) in the outcomes kept, and a copy of what the command wrote.
    package func commandOutcome(of id: JobID) throws(StoreError) -> CommandOutcome? {
        let outcome: OutcomeBytes
        do throws(StoreError) {
            outcome = try outcomeBytes(id)
        } catch .noSuchJob {
            return nil
        }
        var end: CommandEnd?
        if outcome.codec == CommandJob.codec, !outcome.result.isEmpty {
            do throws(CompactFault) {
                end = try CommandEnd.decode(outcome.result)
            } catch {
                throw .damaged(path: path, reason: "the outcome of job \(id): \(error)")
            }
        }
        return CommandOutcome(
            kind: Outcome.Kind(outcome.state), attempt: outcome.attempt, end: end,
            failure: outcome.failure)
    }

    /// Whether a job was accepted for a queue; false for one that there is no more.
    /// - Complexity: O(log *n*).
    package func isJob(_ id: JobID, ofQueue name: String) throws(StoreError) -> Bool {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            guard let block = try Lookup.block(id.rawValue, reader, tables) else { return false }
            let row = try withBytes(RecordKey.bytes(name)) { (key) throws(StorageError) in
                try reader.value(tables.queues, key)
            }
            guard let row else { return false }
            return try formatted { () throws(FormatError) in
                try QueueRecord(row).id == block.queue
            }
        }
    }

    /// What a job keeps beside its payload: of a run's job its input. Empty: nothing, or there is no such job.
    package func extras(of id: JobID) throws(StoreError) -> [UInt8] {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            guard let block = try Lookup.block(id.rawValue, reader, tables) else { return [] }
            return try formatted { () throws(FormatError) in
                Array(try block.entry(id.rawValue).extras())
            }
        }
    }

    /// Lets jobs that have ended run once more, in one transaction; others are left alone.
    /// - Parameter ids: in ascending order, at most 1,000.
    package func requeue(ids: [UInt64]) async throws(StoreError) -> Int {
        let tables = open.tables
        var rest = ids[...]
        var count = 0
        while !rest.isEmpty {
            let some = rest.map { Requeue.Listed(id: $0) }
            let step = try await open.perform(bringing: Requeue.byteLimit) {
                (transaction, state) throws(StorageError) in
                try Requeue.requeue(some, tables, &transaction, &state)
            }
            count += step.count
            rest = rest.dropFirst(max(1, step.passed))
        }
        return count
    }

    /// Calls `body` with the ids whose outcomes this process has recorded, when they are durable, in the order of the
    /// commits, until ``stopObserving(_:)``. On the writer's thread: `body` only hands over.
    package func observeOutcomes(
        _ body: @escaping @Sendable (ClosedRange<UInt64>) -> Void
    ) -> Int {
        open.writer.observers.add { ended in
            for range in ended where range.count > 0 {
                body(range.first...(range.first + range.count - 1))
            }
        }
    }

    package func stopObserving(_ token: Int) { open.writer.observers.remove(token) }
}

/// An attempt in flight.
package struct RunningJob: Sendable {
    package let id: JobID
    package let queue: String
    package let attempt: Int
    package let since: WallTime
    /// Of its runner.
    package let pid: Int
    /// Of the process that runs it, where that is a child of the runner's.
    package let childPID: Int?
}

extension JobStore {
    /// The attempts in flight of all runners, the longest first.
    /// - Complexity: O(places for attempts), whatever the number of jobs.
    package func runningJobs() throws(StoreError) -> [RunningJob] {
        // Those that have jobs in slots alone: each run of commands leaves a queue behind.
        var names: [UInt32: String] = [:]
        var jobs: [RunningJob] = []
        for seat in 0..<RunningSlots.seatCount {
            for slot in open.slots.occupied(seat: seat) {
                if names[slot.queue] == nil { names[slot.queue] = try queueName(slot.queue) }
                let job = RunningJob(
                    id: JobID(rawValue: slot.job), queue: names[slot.queue] ?? "?",
                    attempt: Int(slot.attempt), since: WallTime(microseconds: slot.startedAt),
                    pid: Int(slot.runner), childPID: slot.child.map { Int($0.pid) })
                // Still the same job after the rest was read, and its runner has not died.
                guard job.id.rawValue == slot.job, slot.job != 0,
                    open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == slot.runner
                else { continue }
                jobs.append(job)
            }
        }
        return jobs.sorted { $0.since < $1.since }
    }

    /// The system's time, as the store's clock tells it.
    package var now: WallTime { WallTime(microseconds: open.clock.now) }
}

extension JobStore {
    /// What the store's data file takes, and may take.
    /// How long jobs that have ended are kept.
    package var retention: Duration {
        get throws(StoreError) {
            try open.refreshSettings()
            return .seconds(open.settings.retentionSeconds)
        }
    }

    package var fileSize: (bytes: Int, limit: Int) {
        get throws(StoreError) {
            try open.refreshSettings()
            return (open.environment.usage.usedBytes, Int(clamping: open.settings.byteLimit))
        }
    }
}
