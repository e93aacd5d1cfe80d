import PetioleStorage

extension JobStore {
    /// Adds a schedule. When this returns, it is on the disk; whoever runs the queue of its job fires it from now on.
    /// - Parameter replacing: whether another of its name that was added at run time gives way to it; how far that was is kept, so
    ///   that no planned time comes twice.
    /// - Returns: the first planned time.
    /// - Throws: ``ScheduleError``; nothing was added then.
    /// - Complexity: O(log *n*) in the schedules, and one commit.
    @discardableResult
    public func add(
        schedule: Schedule, replacing: Bool = false
    ) async throws(ScheduleError) -> WallTime {
        let definition = try ScheduleDefinition(schedule, program: "", in: self)
        let name = schedule.name
        let now = open.clock.now
        // Checked before the transaction, which cannot say what is wrong.
        let plan = try definition.plan(named: name, anchor: now, own: nil)
        guard let first = plan.first(after: now) else {
            throw ScheduleChange.neverFires(schedule)
        }
        let size = 1_024 + definition.job.content.count
        let result = try await change(bringing: size) { (transaction, state) throws(StorageError) in
            try ScheduleChange.add(
                definition, name, replacing: replacing, at: now, firing: plan.firing(of: first),
                first, &transaction, &state)
        }
        if let holder = result {
            throw .exists(schedule: name, program: holder.isEmpty ? nil : holder)
        }
        return WallTime(microseconds: first)
    }

    /// Pauses a schedule, whoever added it: no time of it comes until ``resume(schedule:)``. What it has enqueued runs.
    /// - Returns: whether it was not paused before.
    /// - Throws: ``ScheduleError``; nothing has changed then.
    @discardableResult
    public func pause(schedule name: String) async throws(ScheduleError) -> Bool {
        try await change(name) { (definition, before, transaction, state) throws(StorageError) in
            guard !before.isPaused else { return false }
            var after = before
            after.isPaused = true
            let queue = try state.queue(named: definition.job.queueName, &transaction).id
            try ScheduleRows.put(
                after, name, due: nil, before: before, in: queue, &transaction, &state)
            return true
        }
    }

    /// Lets a paused schedule go on with the next planned time from now on: those between are not missed, they were not wanted.
    /// - Returns: whether it was paused before.
    /// - Throws: ``ScheduleError``; nothing has changed then.
    @discardableResult
    public func resume(schedule name: String) async throws(ScheduleError) -> Bool {
        try await change(name) {
            (definition, before, transaction, state) throws(StorageError) in
            guard before.isPaused else { return false }
            var after = before
            after.isPaused = false
            let due = after.goOn(definition, name, from: state.now)
            let queue = try state.queue(named: definition.job.queueName, &transaction).id
            try ScheduleRows.put(
                after, name, due: after.isDisabled ? nil : due, before: before, in: queue,
                &transaction, &state)
            // Stewards look too.
            state.controlMoved = true
            return true
        }
    }

    /// Removes a schedule that was added at run time, or that a program has declared and does not any more, or that is damaged.
    /// What it has enqueued stays.
    /// - Throws: ``ScheduleError``, also for one that a program declares.
    public func remove(schedule name: String) async throws(ScheduleError) {
        do throws(ScheduleError) { try await removeReadable(name) } catch {
            guard case .store(.damaged) = error else { throw error }
            try await change(bringing: 0) { (transaction, state) throws(StorageError) in
                try ScheduleRows.removeDamaged(name, &transaction, state.tables)
            }
        }
    }

    private func removeReadable(_ name: String) async throws(ScheduleError) {
        let owner = try await change(name) {
            (definition, schedule, transaction, state) throws(StorageError) -> String? in
            if !definition.program.isEmpty, !schedule.isDisabled, !schedule.isPaused {
                return definition.program
            }
            let queue = try state.queue(named: definition.job.queueName, &transaction).id
            try ScheduleRows.remove(name, definition, in: queue, &transaction, state.tables)
            return nil
        }
        if let owner { throw .declared(schedule: name, program: owner) }
    }

    /// Enqueues the job of a schedule now, beside its planned times: ``JobContext/plannedTime`` is this instant. Where jobs do not
    /// overlap, it counts as one of them: a time that comes before it has ended is left out, or waits.
    /// - Returns: the job.
    /// - Throws: ``ScheduleError``: for a schedule that does not let jobs overlap also
    ///   ``ScheduleError/unfinished(schedule:_:)``.
    @discardableResult
    public func runNow(schedule name: String) async throws(ScheduleError) -> JobID {
        let open = open
        let size: Int
        do throws(StoreError) {
            size = try open.read { (reader) throws(StorageError) in
                try ScheduleRows.definition(name, reader, open.tables)?.job.content.count ?? 0
            }
        } catch { throw .store(error) }
        let result: Result<RunNow.Answer, StorageError> = await withUnsafeContinuation {
            (continuation) in
            open.writer.submit(
                RunNow(name, bytes: 2_048 + size) { continuation.resume(returning: $0) })
        }
        let answer: RunNow.Answer
        do throws(StorageError) { answer = try result.get() } catch {
            throw .store(open.storeError(error))
        }
        switch answer {
        case .enqueued(let job): return JobID(rawValue: job)
        case .unfinished(let job): throw .unfinished(schedule: name, JobID(rawValue: job))
        case .noRoom(let error): throw .job(error)
        case .missing: throw .noSuchSchedule(name)
        }
    }

    // MARK: In a transaction

    private func change<Value: Sendable>(
        bringing bytes: Int,
        _ body:
            @escaping @Sendable (inout WriteTransaction, inout CommitState)
            throws(StorageError) -> Value
    ) async throws(ScheduleError) -> Value {
        do throws(StoreError) {
            return try await open.perform(bringing: bytes, body)
        } catch { throw .store(error) }
    }

    private func change<Value: Sendable>(
        _ name: String,
        _ body:
            @escaping @Sendable (
                ScheduleDefinition, ScheduleState, inout WriteTransaction, inout CommitState
            ) throws(StorageError) -> Value
    ) async throws(ScheduleError) -> Value {
        let result: Value?
        do throws(StoreError) {
            result = try await open.perform { (transaction, state) throws(StorageError) in
                guard
                    let (definition, before) = try ScheduleRows.both(
                        name, transaction, state.tables)
                else { return nil }
                return try body(definition, before, &transaction, &state)
            }
        } catch { throw .store(error) }
        guard let result else { throw .noSuchSchedule(name) }
        return result
    }
}

/// What changes of schedules do in their transactions.
enum ScheduleChange {
    static func neverFires(_ schedule: Schedule) -> ScheduleError {
        let rule =
            switch schedule.rule {
            case .cron(let text, _, _): text
            case .every(let interval, _):
                "every \(IntervalText.text(interval.clampedMicroseconds))"
            case .at(let instant): instant.description
            case .own: "its own rule"
            }
        return .neverFires(
            rule, reason: "none of its times is to come, between its start and its end")
    }

    /// - Parameters:
    ///   - now: what its first planned time, which comes with it, was counted from.
    /// - Returns: the program whose schedule has the name already; empty: nobody's.
    static func add(
        _ definition: ScheduleDefinition, _ name: String, replacing: Bool, at now: Int64,
        firing: Int64, _ first: Int64, _ transaction: inout WriteTransaction,
        _ state: inout CommitState
    ) throws(StorageError) -> String? {
        let tables = state.tables
        let queue = try state.queue(named: definition.job.queueName, &transaction).id
        var after = ScheduleState(anchor: now)
        after.next = first
        var due: Int64? = firing
        if let other = try ScheduleRows.definition(name, transaction, tables) {
            guard replacing, other.program.isEmpty else { return other.program }
            if let before = try ScheduleRows.state(name, transaction, tables) {
                after = before
                let old = try state.queue(named: other.job.queueName, &transaction).id
                try ScheduleRows.removeDue(before.due, name, in: old, &transaction, tables)
                due = after.change(from: other, to: definition, name, now: now)
            }
        }
        try ScheduleRows.put(definition, name, &transaction, tables)
        try ScheduleRows.put(
            after, name, due: after.isPaused ? nil : due, before: nil, in: queue, &transaction,
            &state)
        // Stewards look too.
        state.controlMoved = true
        return nil
    }
}

extension ScheduleState {
    /// Becomes that of another definition. A time that has come and was not decided about is not lost; how far it was stays.
    /// - Returns: when it is due; nil: there is no time any more.
    mutating func change(
        from old: ScheduleDefinition, to new: ScheduleDefinition, _ name: String, now: Int64,
        own: (@Sendable (WallTime) -> WallTime?)? = nil
    ) -> Int64? {
        let wentOn = !isPaused && !isDisabled && plansAfter == 0
        let from = isDisabled || plansAfter == 0 ? now : plansAfter
        isDisabled = false
        plansAfter = 0
        if old.timing.rule != new.timing.rule { anchor = now }
        guard wentOn, let next, old.timing == new.timing || next <= now else {
            return goOn(new, name, from: from, own: own)
        }
        if behind != 0 { return now }
        return due != 0 ? due : now
    }

    /// Goes on with the first planned time after an instant, and after those that have come.
    /// - Returns: when it is due; nil: there is no time any more. A rule that cannot be told here is found out when it is due, at
    ///   once.
    mutating func goOn(
        _ definition: ScheduleDefinition, _ name: String, from now: Int64,
        own: (@Sendable (WallTime) -> WallTime?)? = nil
    ) -> Int64? {
        forgetFarFuture(now)
        let from = max(now, lastPlanned, behind)
        // What the reason is, the firing says.
        guard let plan = try? definition.plan(named: name, anchor: anchor, own: own) else {
            next = nil
            plansAfter = from
            return now
        }
        next = plan.first(after: from)
        return behind != 0 ? now : next.map { plan.firing(of: $0) }
    }

    /// A clock that was a day ahead or more, and is not any more, has left times that would hold all others up.
    private mutating func forgetFarFuture(_ now: Int64) {
        let (bound, overflow) = now.addingReportingOverflow(86_400_000_000)
        guard !overflow, max(lastPlanned, behind) > bound else { return }
        (lastPlanned, behind) = (0, 0)
    }
}
