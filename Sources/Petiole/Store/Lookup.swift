import PetioleStorage

/// How a job is found in the log, within one view.
enum Lookup {
    /// The id that a key is. A damaged page may hold anything.
    static func id(_ key: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
        guard key.count == 8 else { throw .damaged("a key of \(key.count) bytes is not an id") }
        return key.bigEndian(at: 0)
    }

    /// What the log holds of a job: a block, or what pruning kept of one.
    static func block(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> JobBlockView? {
        let cursor = try transaction.cursor(tables.jobs)
        if let (key, value) = try cursor.floor(Key(id)), key.count == 8 {
            let block = try formatted { () throws(FormatError) in
                try JobBlockView(first: key.bigEndian(at: 0), value: value)
            }
            if block.contains(id) { return block }
        }
        guard let value = try transaction.value(tables.kept, Key(id)) else { return nil }
        return try formatted { () throws(FormatError) in
            try JobBlockView(first: id, value: value)
        }
    }

    /// The outcomes among which a job's is, if it has one.
    static func outcomes(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> OutcomeBlockView? {
        if let value = try transaction.value(tables.revised, Key(id)) {
            return try formatted { () throws(FormatError) in
                try OutcomeBlockView(first: id, value: value)
            }
        }
        let cursor = try transaction.cursor(tables.outcomes)
        guard let (key, value) = try cursor.floor(Key(id)), key.count == 8 else { return nil }
        let block = try formatted { () throws(FormatError) in
            try OutcomeBlockView(first: key.bigEndian(at: 0), value: value)
        }
        return block.contains(id) ? block : nil
    }

    /// Whether a job's end is recorded, and it was not requeued since.
    static func hasEnded(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        guard try active(id, transaction, tables) == nil else { return false }
        return try outcomes(id, transaction, tables) != nil
    }

    /// The job whose result is that of a job: itself mostly, another when it stands for a workflow.
    static func source(
        of id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> UInt64 {
        var id = id
        // A workflow lies in so many others at most.
        for _ in 0...WorkflowLimits.nesting {
            guard let block = try outcomes(id, transaction, tables) else { return id }
            let entry = try formatted { () throws(FormatError) in try block.entry(id) }
            guard entry.state == .succeeded, entry.codec == OutcomeBlock.resultOfAnother,
                entry.result.count == 8
            else { return id }
            id = entry.result.littleEndian(at: 0)
        }
        return id
    }

    static func active(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> ActiveRecord? {
        guard let value = try transaction.value(tables.active, Key(id)) else { return nil }
        return try formatted { () throws(FormatError) in try ActiveRecord(value) }
    }
}

extension OpenStore {
    /// Whether a job's end is recorded, and it was not requeued since.
    func hasEnded(_ id: UInt64) -> Bool {
        // When it cannot be read, whoever runs it finds that out.
        let hasEnded = try? read { (reader) throws(StorageError) in
            try Lookup.hasEnded(id, reader, tables)
        }
        return hasEnded ?? false
    }

    /// The instant of the system's clock at which a time is, as that clock stands now.
    func shown(_ time: StoreTime) -> WallTime {
        WallTime(microseconds: time.instant(clock.reading))
    }
}

extension JobStore {
    /// Where a job is in its life.
    /// - Throws: ``StoreError/noSuchJob(_:)`` for an id that no job has, or whose job was pruned.
    /// - Complexity: O(log *n*) in the jobs kept; for one that has not ended, a look at the attempts in flight.
    public func state(of id: JobID) throws(StoreError) -> JobState {
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> FoundState in
            if let active = try Lookup.active(id.rawValue, reader, open.tables) {
                return .active(
                    active, hasName: active.name,
                    after: try HeldJobs.awaited(id.rawValue, active, reader, open.tables))
            }
            if let outcomes = try Lookup.outcomes(id.rawValue, reader, open.tables) {
                let entry = try formatted { () throws(FormatError) in
                    try outcomes.entry(id.rawValue)
                }
                return .ended(try Outcome(entry, reader, open.tables))
            }
            guard let block = try Lookup.block(id.rawValue, reader, open.tables),
                try !Self.isStaged(id.rawValue, reader, open.tables)
            else { return .missing }
            if let workflow = try UnstartedJobs.workflow(id.rawValue, block, reader, open.tables) {
                return .awaiting(workflow)
            }
            // What cannot be read is ready: whoever runs it finds the damage.
            return .ready(due: (try? block.entry(id.rawValue).options().due) ?? 0)
        }
        switch found {
        case .missing: throw .noSuchJob(id)
        case .awaiting(let workflow): return .awaiting(workflow: JobID(rawValue: workflow))
        case .ended(let outcome): return .ended(outcome)
        case .active(let active, let name, let after):
            switch active.state {
            case .ready:
                // A worker leaves its slot after it has handed over what the attempt came to: the slot may still name the
                // attempt that is recorded already. For the same reason the other states do not ask the slots.
                if case .running(let attempt, let since, let pid)? = runningState(id),
                    attempt > Int(active.attempts)
                {
                    return .running(attempt: attempt, since: since, pid: pid)
                }
                return .ready
            case .waiting:
                return .waiting(
                    due: open.shown(active.due), attempts: Int(active.attempts))
            case .parked:
                let name = try jobName(name) ?? "?"
                switch active.parking {
                case .unknownName: return .parked(name: name)
                case .pausedType: return .paused(name: name)
                case .workflow: return .awaiting(workflow: id)
                case .held: return .held(after: after)
                }
            }
        case .ready(let due):
            if !due.hasPassed(open.clock.reading) {
                return .waiting(due: open.shown(due), attempts: 0)
            }
            return runningState(id) ?? .ready
        }
    }

    private enum FoundState {
        case missing
        /// It waits for others of that workflow.
        case awaiting(UInt64)
        case ready(due: StoreTime)
        case ended(Outcome)
        case active(ActiveRecord, hasName: UInt32, after: [JobID])
    }

    func runningState(_ id: JobID) -> JobState? {
        guard let slot = open.slots.slot(of: id.rawValue) else { return nil }
        let since = WallTime(microseconds: slot.startedAt)
        let attempt = Int(slot.attempt)
        let pid = slot.runner
        // Still the same job after the rest was read, and its runner has not died.
        guard slot.job == id.rawValue,
            open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == pid
        else { return nil }
        return .running(attempt: attempt, since: since, pid: Int(pid))
    }

    static func isStaged(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        let cursor = try transaction.cursor(tables.stages)
        var entry = try cursor.first()
        while let (_, value) = entry {
            let stage = try formatted { () throws(FormatError) in try StageRecord(value) }
            if stage.ranges.contains(where: { id >= $0.first && id - $0.first < $0.count }) {
                return true
            }
            entry = try cursor.next()
        }
        return false
    }

    /// The text of a job name's number.
    func jobName(_ number: UInt32) throws(StoreError) -> String? {
        let open = open
        var failure: StoreError?
        let name = open.names.name(number) {
            do throws(StoreError) {
                return try open.read { (reader) throws(StorageError) in
                    try reader.value(open.tables.names, RecordKey.name(number)).map {
                        String(decoding: $0, as: UTF8.self)
                    }
                }
            } catch {
                failure = error
                return nil
            }
        }
        if let failure { throw failure }
        return name
    }

    /// The name of a queue's number.
    func queueName(_ number: UInt32) throws(StoreError) -> String? {
        let open = open
        var failure: StoreError?
        let name = open.names.queue(number) {
            do throws(StoreError) {
                return try self.queueRows().first { $0.record.id == number }?.name
            } catch {
                failure = error
                return nil
            }
        }
        if let failure { throw failure }
        return name
    }

    func queueRows() throws(StoreError) -> [(name: String, record: QueueRecord)] {
        let open = open
        return try open.read { (reader) throws(StorageError) in
            try Self.queueRows(reader, open.tables)
        }
    }

    static func queueRows(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> [(name: String, record: QueueRecord)] {
        var rows: [(String, QueueRecord)] = []
        let cursor = try reader.cursor(tables.queues)
        var entry = try cursor.first()
        while let (key, value) = entry {
            let record = try formatted { () throws(FormatError) in try QueueRecord(value) }
            rows.append((String(decoding: key, as: UTF8.self), record))
            entry = try cursor.next()
        }
        return rows
    }
}

extension Outcome {
    init(
        _ entry: OutcomeBlockView.Entry, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) {
        let failure = try FailureTable.failure(entry, transaction, tables)
            .map { JobFailure(type: $0.type, message: $0.message) }
        self.init(
            kind: Kind(entry.state), attempt: entry.attempt,
            startedAt: WallTime(microseconds: entry.startedAt),
            runTime: .microseconds(entry.runMicroseconds), failure: failure)
    }
}

extension Outcome.Kind {
    init(_ state: OutcomeBlock.State) {
        switch state {
        case .succeeded: self = .succeeded
        case .failed: self = .failed
        case .cancelled: self = .cancelled
        case .deadLetter: self = .deadLetter
        case .expired: self = .expired
        case .discarded: self = .discarded
        case .dropped: self = .dropped
        }
    }
}
