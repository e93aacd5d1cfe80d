import PetioleStorage

/// What a hold of a job came to.
public enum HoldResult: Sendable, Hashable {
    /// It does not start until it is let go: ``JobState/held(after:)``.
    case held
    /// It runs, or started before it could be held: nothing was changed.
    case started
    /// It had ended, or was to be cancelled: nothing was changed.
    case ended
    /// It waits for others of its workflow: nothing was changed.
    case awaiting
    /// It may run: the process that runs its queue did not answer, since it is suspended perhaps. Nothing was changed.
    case unanswered(pid: Int)
}

/// What letting a held job go came to.
public enum ReleaseResult: Sendable, Hashable {
    /// It is ready, or waits for its due time.
    case released
    /// Nobody had held it by hand, or it has ended.
    case notHeld
    /// It is not held by hand any more, and waits for others still: ``EnqueueOptions/after``.
    case awaiting
}

extension JobStore {
    /// Holds a job that has not started: it does not start until ``release(_:)``, whoever runs its queue, also after a restart.
    ///
    /// Its expiry goes on. One that waits for its next attempt is due, once it is let go, when it was before. It loses its place: let go,
    /// it joins the end of its lane.
    /// - Throws: ``StoreError/noSuchJob(_:)``; other errors when it could not be recorded, and then nothing has changed.
    /// - Complexity: O(log *n*) and a commit; for a ready job two, and an answer of its queue's owner.
    @discardableResult
    public func hold(_ id: JobID) async throws(StoreError) -> HoldResult {
        enum Beginning {
            case decided(HoldResult)
            case marked(MarkedJob)
        }
        let tables = open.tables
        let number = id.rawValue
        let beginning = try await open.perform {
            (transaction, state) throws(StorageError) -> Beginning? in
            let found = try Lookup.active(number, transaction, tables)
            if found == nil, try Lookup.outcomes(number, transaction, tables) != nil {
                return .decided(.ended)
            }
            guard let block = try Lookup.block(number, transaction, tables),
                try !Self.isStaged(number, transaction, tables)
            else { return nil }
            let active = try UnstartedJobs.standing(found, number, block, transaction, tables)
            if active.state == .parked, active.parking == .workflow { return .decided(.awaiting) }
            if active.isCancelRequested || active.isExpired || active.isDropped
                || active.pending == .purge
            {
                return .decided(.ended)
            }
            // One that runs at most once: its start is on the disk.
            if active.startEpoch != 0 { return .decided(.started) }
            guard active.state == .ready else {
                try HeldJobs.hold(
                    number, active, priority: active.priority,
                    due: active.state == .waiting ? active.due : 0, tables, &transaction, &state)
                return .decided(.held)
            }
            // Of an edit that is not carried out yet stays what it says.
            var change = PendingChange.hold(priority: active.priority, due: 0)
            if case .edit(let priority, let due)? = active.pending {
                change = .hold(priority: priority, due: due)
            }
            return .marked(
                try PendingChanges.mark(number, change, active, tables, &transaction, &state))
        }
        switch beginning {
        case nil: throw .noSuchJob(id)
        case .decided(let result): return result
        case .marked(let job):
            return switch try await open.settle([job]).first {
            case .done: .held
            case .started: .started
            case .unanswered: .unanswered(pid: open.owner(of: job))
            case .ended, nil: .ended
            }
        }
    }

    /// Lets a job go on that ``hold(_:)`` holds.
    /// - Throws: ``StoreError/noSuchJob(_:)``; other errors when it could not be recorded, and then nothing has changed.
    /// - Complexity: O(log *n*) and a commit.
    @discardableResult
    public func release(_ id: JobID) async throws(StoreError) -> ReleaseResult {
        let tables = open.tables
        let number = id.rawValue
        let result = try await open.perform {
            (transaction, state) throws(StorageError) -> ReleaseResult? in
            guard try Lookup.block(number, transaction, tables) != nil else { return nil }
            guard var active = try Lookup.active(number, transaction, tables) else {
                return .notHeld
            }
            if case .hold(let priority, let due)? = active.pending {
                // Not carried out yet: it stays an edit, which changes nothing where none was asked for.
                active.pending = .edit(priority: priority, due: due)
                try active.put(&transaction, tables.active, number)
                return .released
            }
            guard active.state == .parked, active.parking == .held else { return .notHeld }
            return switch try HeldJobs.letGoByHand(number, active, tables, &transaction, &state) {
            case true?: .released
            case false?: .awaiting
            case nil: .notHeld
            }
        }
        guard let result else { throw .noSuchJob(id) }
        return result
    }

    /// The jobs that a job still waits for, and what is awaited of each; empty when it waits for none.
    /// - Throws: ``StoreError``.
    /// - Complexity: O(log *n*) and a step each.
    public func predecessors(of id: JobID) throws(StoreError) -> [Predecessor] {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            try HeldJobs.predecessors(of: id.rawValue, reader, open.tables)
        }
    }
}
