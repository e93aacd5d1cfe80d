import PetioleStorage

// Requeueing
//
// A job that has ended runs once more: its outcome is taken out of the log of outcomes, and a row of `active` says that it is
// ready again, at the end of its lane, one generation later. From then on it is like any job that has a row; its next outcome
// is the one that is recorded. What it came to before lies in its history. One transaction does all of it, with the counters,
// so a requeue and a prune, or two requeues, meet in one order: the second finds no outcome, or another one than it has seen.
//
// The range in which the job was accepted may still be in its lane, because others of it have not ended. A job whose row names
// another position is passed over there.

/// What a requeue came to.
public enum RequeueResult: Sendable, Hashable {
    /// The job is ready again.
    case requeued
    /// The job has not ended: there is nothing to do.
    case notEnded
}

extension JobStore {
    /// Lets a job that has ended run once more, however it ended: at the end of its lane, with all its attempts, whatever its
    /// expiry was. What it came to before stays in its history.
    ///
    /// A job of a workflow that has not succeeded, or the one that stands for it, carries the workflow on: all of its jobs that
    /// did not succeed run once more, those that depend on others when these have ended; what has succeeded stays as it is.
    /// - Throws: ``StoreError/noSuchJob(_:)``; ``StoreError/damaged(path:reason:)`` when its outcome cannot be read, or one that
    /// was recorded together with it; other errors when it could not be recorded. Then nothing has changed.
    /// - Complexity: O(log *n*), and a copy of the outcomes that were recorded together with its own.
    @discardableResult
    public func requeue(_ id: JobID) async throws(StoreError) -> RequeueResult {
        let tables = open.tables
        let result = try await open.perform {
            (transaction, state) throws(StorageError) -> Found? in
            let one = Requeue.Listed(id: id.rawValue)
            let step = try Requeue.requeue([one], tables, &transaction, &state)
            if step.count == 1 { return .ready }
            if let token = step.workflows.first { return .workflow(token) }
            guard try Lookup.block(id.rawValue, transaction, tables) != nil,
                try !Self.isStaged(id.rawValue, transaction, tables)
            else { return nil }
            try Requeue.readOutcomes(id.rawValue, transaction, tables)
            return .notEnded
        }
        switch result {
        case nil: throw .noSuchJob(id)
        case .notEnded: return .notEnded
        case .ready: return .requeued
        case .workflow(let token):
            try await resume([token])
            return .requeued
        }
    }

    private enum Found: Sendable {
        case ready, notEnded
        /// It goes on with its workflow.
        case workflow(UInt64)
    }

    /// Lets all jobs that a filter lets pass, and that have ended, run once more.
    /// - Parameter filter: without states: those that failed and dead letters.
    /// - Returns: how many are ready again.
    /// - Throws: ``StoreError``; those before stay requeued.
    /// - Complexity: that of the listing, and a transaction for each 1,000 jobs. Their ids are kept in memory.
    @discardableResult
    public func requeue(matching filter: JobFilter) async throws(StoreError) -> Int {
        var filter = filter
        if filter.states.isEmpty { filter.states = [.failed, .deadLetter] }
        var found: [Requeue.Listed] = []
        var damage: StoreError?
        do throws(StoreError) {
            try forEachJob(filter) { summary in
                if case .ended(let outcome) = summary.state {
                    found.append(
                        Requeue.Listed(
                            id: summary.id.rawValue, startedAt: outcome.startedAt.microseconds))
                }
                return true
            }
        } catch {
            // Those that can be read are requeued before this is said.
            guard case .damaged = error else { throw error }
            damage = error
        }
        let tables = open.tables
        var count = 0
        var next = 0
        var workflows: [UInt64] = []
        while next < found.count {
            let some = Array(found[next..<min(found.count, next + Requeue.limit)])
            let step = try await open.perform(bringing: Requeue.byteLimit) {
                (transaction, state) throws(StorageError) in
                try Requeue.requeue(some, tables, &transaction, &state)
            }
            count += step.count
            next += step.passed
            for token in step.workflows where !workflows.contains(token) {
                workflows.append(token)
            }
        }
        count += try await resume(workflows)
        if let damage { throw damage }
        return count
    }
}

/// In the writer's transaction.
enum Requeue {
    /// 1,000 jobs a transaction.
    static let limit = 1_000
    /// 8 MiB of outcomes that are written anew, for each transaction.
    static let byteLimit = 8 << 20

    /// A job as it was found.
    struct Listed: Sendable {
        var id: UInt64
        /// When the attempt began that ended it, so that another end than the one that was found is left alone; nil: any.
        var startedAt: Int64?
    }

    struct Step: Sendable {
        /// How many are ready now.
        var count = 0
        /// How many were looked at; fewer than all when the outcomes to be written anew are too many.
        var passed = 0
        /// Workflows that are to be resumed in place of some of them, by their tokens.
        var workflows: [UInt64] = []
    }

    /// - Parameter listed: in the order of their ids.
    static func requeue(
        _ listed: [Listed], _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> Step {
        var step = Step()
        var bytes = 0
        while step.passed < listed.count, bytes < byteLimit {
            var taken = try takeOut(listed[step.passed...], tables, &transaction, state)
            for outcome in taken.outcomes {
                let waits = try WorkflowResumption.uncount(
                    outcome.id, outcome.entry.state, &transaction, &state)
                if waits {
                    try WorkflowResumption.awaitOthers(outcome, &transaction, &state)
                } else {
                    try makeReady(outcome, tables, &transaction, &state)
                }
                step.count += 1
            }
            taken.workflows.removeAll { step.workflows.contains($0) }
            step.workflows += taken.workflows
            step.passed += taken.passed
            bytes += taken.bytes
        }
        return step
    }

    /// What a job came to, copied out of the store.
    struct Ended {
        var id: UInt64
        var queue: UInt32
        var entry: OutcomeEntry
        var failure: FailureRecord?
        var history: [UInt8]
    }

    /// Takes the outcomes of the first of the ids, and of those that were recorded together with it, out of the store.
    /// - Returns: them, how many of those listed they answer, and the bytes that were written anew.
    private static func takeOut(
        _ listed: ArraySlice<Listed>, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: CommitState
    ) throws(StorageError) -> (
        outcomes: [Ended], passed: Int, bytes: Int, workflows: [UInt64]
    ) {
        let first = listed[listed.startIndex].id
        // One whose resumption was cut short has no outcome, and is begun anew.
        if case .resumes(let token) = try WorkflowResumption.of(first, transaction, tables) {
            return ([], 1, 0, [token])
        }
        // Not ended, or requeued already: what it came to before is not there any more.
        guard try Lookup.active(first, transaction, tables) == nil,
            let block = try Lookup.outcomes(first, transaction, tables)
        else { return ([], 1, 0, []) }
        let some = listed.prefix { $0.id < block.end }
        var workflows: [UInt64] = []
        var plain: [Listed] = []
        for one in some {
            switch try WorkflowResumption.of(one.id, transaction, tables) {
            case .runsAlone: plain.append(one)
            case .resumes(let token): workflows.append(token)
            case .nothing: break
            }
        }
        if plain.isEmpty { return ([], some.count, 0, workflows) }
        let (ended, bytes) = try takeOut(plain, of: block, tables, &transaction)
        return (ended, some.count, bytes, workflows)
    }

    /// Takes outcomes of one block out.
    static func takeOut(
        _ some: [Listed], of block: OutcomeBlockView, _ tables: StoreTables,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) -> (outcomes: [Ended], bytes: Int) {
        let wanted = Dictionary(some.map { ($0.id, $0.startedAt) }) { one, _ in one }
        let queue = block.queue
        var ended: [Ended] = []
        let taken = try OutcomeRemoval.takeOut(of: block, tables, &transaction) {
            (id, entry, transaction) throws(StorageError) in
            guard let startedAt = wanted[id], startedAt ?? entry.startedAt == entry.startedAt else {
                return false
            }
            let failure = try FailureTable.failure(entry, transaction, tables)
            ended.append(
                Ended(
                    id: id, queue: queue, entry: OutcomeEntry(entry), failure: failure,
                    history: entry.history.map { Array($0) } ?? []))
            return true
        }
        guard let taken else { return ([], 0) }
        return (ended, taken.bytes)
    }

    /// Reads the outcomes among which a job's is, which nothing was taken out of.
    /// - Throws: `damaged` when one of them cannot be read: the job has ended then, but cannot be requeued.
    static func readOutcomes(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) {
        guard try Lookup.active(id, transaction, tables) == nil,
            let block = try Lookup.outcomes(id, transaction, tables)
        else { return }
        for id in block.first..<block.end {
            _ = try formatted { () throws(FormatError) in try block.entry(id) }
        }
    }

    static func makeReady(
        _ ended: Ended, _ tables: StoreTables, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) {
        // Its outcome was taken out already: thrown, that is undone.
        guard let block = try Lookup.block(ended.id, transaction, tables) else {
            throw .damaged("job \(ended.id) has ended, but the log does not hold it")
        }
        let bytes = UInt64(block.contentSize(ended.id))
        var active = ActiveRecord(state: .ready, queue: block.queue, priority: block.priority)
        active.generation = 1
        active.history = ended.history
        if let failure = ended.failure {
            let item = AttemptHistory.Item(
                attempt: Int(ended.entry.attempt), startedAt: ended.entry.startedAt,
                runMicroseconds: ended.entry.runMicroseconds, failure: failure)
            active.history = AttemptHistory.appending(item, to: active.history)
        }
        active.position = try state.makeReady(
            &transaction, queue: active.queue, priority: active.priority, first: ended.id, count: 1)
        try active.put(&transaction, tables.active, ended.id)
        state.note(.requeued, ended.id, attempts: ended.entry.attempt)
        try state.count(transaction, ended.queue) {
            $0.uncount(ended.entry.state)
            $0.bytes += bytes
        }
        state.note(EventCode.requeued, ended.id)
    }
}
