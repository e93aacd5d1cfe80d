import PetioleStorage

/// Which jobs a listing gives.
public struct JobFilter: Sendable, Hashable {
    /// States as people ask for them.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// In a lane, or running.
        case ready
        /// An attempt runs.
        case running
        /// Delayed, or between two attempts.
        case waiting
        /// No runner knows the name yet.
        case parked
        /// Put aside while its job type is paused.
        case paused
        /// Held back, until others have ended or somebody lets it go.
        case held
        /// Waiting for others of its workflow, or standing for one that has not ended.
        case awaiting
        /// Ended with a result.
        case succeeded
        /// Ended by the failure of its only attempt.
        case failed
        /// Ended because somebody asked.
        case cancelled
        /// Dead letters.
        case deadLetter = "dead"
        /// Ended because their expiry passed.
        case expired
        /// Given up on purpose.
        case discarded
        /// Ended to make room for others.
        case dropped
    }
    /// Only jobs in one of these; empty: all.
    public var states: Set<State> = []
    /// Only jobs of this name.
    public var name: String?
    /// Only jobs that were accepted for this queue.
    public var queue: String?
    /// No jobs of these queues.
    package var exceptQueues: Set<String> = []
    /// Only jobs with a greater id.
    public var after: JobID?
    /// No jobs with a greater id: the log is not read behind it.
    package var upTo: JobID?
    /// Only jobs with this tag.
    public var tag: String?
    /// Only jobs that ended with a failure of this ``JobFailure/fingerprint``.
    public var fingerprint: String?
    /// Only jobs that ended with a failure whose type or message contains this text, letter by letter.
    public var error: String?
    /// Only jobs that were accepted then or later.
    public var acceptedSince: WallTime?
    /// Only jobs that were accepted earlier.
    public var acceptedBefore: WallTime?
    /// Only jobs that ended then or later.
    public var endedSince: WallTime?
    /// Only jobs that ended earlier.
    public var endedBefore: WallTime?

    /// Makes a filter that lets every job pass.
    public init() {}
}

/// A job as a listing shows it.
public struct JobSummary: Sendable, Hashable {
    /// The job's id.
    public let id: JobID
    /// The name of its type.
    public let name: String
    /// The queue that it was accepted for.
    public let queue: String
    /// 0…9, 0 first.
    public let priority: Int
    /// When it was accepted.
    public let acceptedAt: WallTime
    /// Bytes of its payload.
    public let payloadBytes: Int
    /// Its tags and headers.
    public let metadata: JobMetadata
    /// Where it is in its life.
    public let state: JobState
}

/// All that is known of a job.
public struct JobDetails: Sendable {
    /// What a listing shows.
    public let summary: JobSummary
    /// Whether what was enqueued does not match its checksum: there is neither name nor payload then.
    public let isDamaged: Bool
    /// The job that enqueued this one with its own success; nil: none did.
    public let parent: JobID?
    /// The job at the beginning of that lineage; nil: this one.
    public let root: JobID?
    /// The name of the schedule that enqueued it; nil: none did.
    public let schedule: String?
    /// The planned time for which that schedule enqueued it.
    public let plannedTime: WallTime?
    /// The id of the key that the payload is encrypted with; nil: it is not.
    public let encryptionKey: String?
    /// How the payload became bytes: 0 raw, 1 compact, 2 JSON, 3 a command; 4: it is encrypted, and was not opened with this key.
    public let payloadCodec: UInt8
    /// The payload's bytes.
    public let payload: [UInt8]
    /// What was kept beside the payload: of a command, the input that it was made for.
    public let extras: [UInt8]
    /// Attempts that failed and were followed by another, oldest first; the newest 16.
    public let failedAttempts: [FailedAttempt]
    /// How the result became bytes, nil without an outcome.
    public let resultCodec: UInt8?
    /// The result's bytes; empty when none was kept.
    public let result: [UInt8]

    /// The payload as JSON text, without what is marked as a ``Secret``; nil when its form cannot be shown so, or the text has more than `limit` bytes.
    public func payloadJSON(limit: Int = 1 << 20) -> String? {
        Self.json(payload, payloadCodec, limit)
    }

    /// The result as JSON text, likewise; nil when its form cannot be shown so, or the text has more than `limit` bytes.
    public func resultJSON(limit: Int = 1 << 20) -> String? {
        resultCodec.flatMap { Self.json(result, $0, limit) }
    }

    private static func json(_ bytes: [UInt8], _ codec: UInt8, _ limit: Int) -> String? {
        switch codec {
        case PayloadCodec.compact.id:
            // What cannot be shown is shown as nothing: the bytes are there besides.
            bytes.withUnsafeBytes { try? compactToJSON($0, maximumBytes: limit) }
        case PayloadCodec.json.id where bytes.count <= limit:
            JSONPayload.shown(bytes, limit: limit)
        default: nil
        }
    }
}

extension JobStore {
    /// Jobs in the order of their ids, for as long as `visit` returns true. One that cannot be read has the name `?` and no
    /// payload. To go on where a listing ended, let ``JobFilter/after`` be the id of its last job: nothing is passed over and
    /// nothing comes twice, whatever is accepted, ends or is pruned meanwhile.
    /// - Throws: ``StoreError``; ``StoreError/damaged(path:reason:)``, when all others were visited, if some jobs cannot be read.
    /// - Complexity: O(jobs kept from ``JobFilter/after`` on), a step for each block of the log that the filter's queue or time
    ///   excludes. The log is read 16 blocks or 1 MiB at a time, each time in a view of its own.
    public func forEachJob(
        _ filter: JobFilter = JobFilter(), _ visit: (JobSummary) -> Bool
    ) throws(StoreError) {
        try forEachRecord(filter, copiesBytes: false) { summary, _, _ in visit(summary) }
    }

    /// A page of jobs in the order of their ids: those with a greater id than ``JobFilter/after``, `limit` at most.
    /// - Throws: as ``forEachJob(_:_:)``.
    public func jobs(
        _ filter: JobFilter = JobFilter(), limit: Int = 100
    ) throws(StoreError) -> [JobSummary] {
        var page: [JobSummary] = []
        if limit <= 0 { return page }
        try forEachJob(filter) { summary in
            page.append(summary)
            return page.count < limit
        }
        return page
    }

    /// The same as ``forEachJob(_:_:)`` with the bytes kept beside each payload, and the payload, lent for the call.
    /// - Parameter copiesBytes: false: both are empty.
    package func forEachRecord(
        _ filter: JobFilter, copiesBytes: Bool = true,
        _ visit: (JobSummary, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        let open = open
        let queueRows = try queueRows()
        var queueNames: [UInt32: String] = [:]
        for (name, record) in queueRows { queueNames[record.id] = name }
        var wanted = try ResolvedFilter(filter, queues: queueRows, open)
        wanted.copiesBytes = copiesBytes
        var damaged: (first: UInt64, count: Int)?
        let after = filter.after?.rawValue ?? 0
        // Behind the greatest there is none.
        guard after < .max else { return }
        var page = Page(next: after + 1)
        while !page.isLast {
            page = try open.read { (reader) throws(StorageError) in
                let next = try Self.page(from: page.next, wanted, reader, open.tables)
                // Only where pages do not hold what they should.
                if !next.isLast, next.next == page.next { throw .damaged("its log has no order") }
                return next
            }
            if let first = page.firstDamaged {
                damaged = (damaged?.first ?? first, (damaged?.count ?? 0) + page.damagedCount)
            }
            let inSlots = page.items.contains { $0.outcome == nil } ? open.slots.jobs() : []
            for item in page.items {
                let state = try state(item, inSlots: inSlots)
                guard filter.states.isEmpty || filter.accepts(state) else { continue }
                let summary = JobSummary(
                    id: JobID(rawValue: item.id), name: try jobName(item.name) ?? "?",
                    queue: queueNames[item.queue] ?? "?", priority: Int(item.priority),
                    acceptedAt: WallTime(microseconds: item.acceptedAt),
                    payloadBytes: item.payloadBytes,
                    metadata: item.options.metadata ?? JobMetadata(), state: state)
                let goesOn = item.bytes.withUnsafeBytes { bytes in
                    visit(
                        summary, UnsafeRawBufferPointer(rebasing: bytes[..<item.extras]),
                        UnsafeRawBufferPointer(rebasing: bytes[item.extras...]))
                }
                if !goesOn { return }
            }
        }
        if let damaged {
            let others = damaged.count == 1 ? "" : " and \(damaged.count - 1) more"
            throw .damaged(
                path: path, reason: "job \(damaged.first)\(others) cannot be read")
        }
    }

    /// Some jobs from an id on, in one view: what pruning kept apart comes first, since it lies before all that is in the log;
    /// and what pruning keeps apart while a listing goes on is found there by the next view.
    private static func page(
        from first: UInt64, _ wanted: ResolvedFilter, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Page {
        var page = Page(next: first)
        let last = wanted.filter.upTo?.rawValue ?? .max
        var known = try KnownInOrder(reader, tables)
        // 1,024 jobs that lie alone, or 16 blocks of which some may pass, of 1 MiB in all and the last of them; of those that
        // cannot, as many as take no time.
        var budget = 1_024
        for (table, cost) in [(tables.kept, 1), (tables.jobs, 64)] {
            let cursor = try reader.cursor(table)
            // A floor seek may give a block that ends before what is asked for.
            var entry = try cursor.floor(Key(page.next))
            if entry == nil { entry = try cursor.ceiling(Key(page.next)) }
            var passedOver = 0
            while let (key, value) = entry {
                if budget <= 0 || passedOver > 4_096 { return page }
                let blockFirst = try Lookup.id(key)
                if blockFirst > last { break }
                let block: JobBlockView
                do throws(FormatError) {
                    block = try JobBlockView(first: blockFirst, value: value)
                } catch {
                    // How many jobs it held is not known.
                    if blockFirst >= page.next { page.noteDamage(blockFirst) }
                    page.next = max(page.next, blockFirst + 1)
                    entry = try cursor.next()
                    continue
                }
                if wanted.passes(block) {
                    // A payload that lies alone may be larger than all of these are otherwise.
                    budget -= max(cost, value.count >> 10)
                    let end = last < block.end ? last + 1 : block.end
                    for id in min(max(block.first, page.next), end)..<end {
                        try page.take(id, block, wanted, &known)
                    }
                } else {
                    passedOver += 1
                }
                page.next = max(page.next, block.end)
                entry = try cursor.next()
            }
        }
        page.isLast = true
        return page
    }

    private struct Page {
        var items: [Item] = []
        var next: UInt64
        var isLast = false
        var firstDamaged: UInt64?
        var damagedCount = 0

        init(next: UInt64) { self.next = next }

        mutating func noteDamage(_ id: UInt64) {
            firstDamaged = firstDamaged ?? id
            damagedCount += 1
        }

        /// Copies a job out of the view, if it may pass.
        mutating func take(
            _ id: UInt64, _ block: JobBlockView, _ wanted: ResolvedFilter,
            _ known: inout KnownInOrder
        ) throws(StorageError) {
            if known.isStaged(id) { return }
            let active = try known.active(id)
            let outcomes = active == nil ? try known.outcomes(id) : nil
            var item = Item(id: id, block, active)
            if let outcomes { try item.read(outcomes, known.reader, known.tables) }
            if !item.isDamaged, !wanted.passes(item.outcome) { return }
            item.read(block, copiesBytes: wanted.copiesBytes) { entry, options in
                wanted.passes(name: entry.meta.name) && wanted.passes(options.metadata)
            }
            if item.isDamaged {
                noteDamage(id)
                guard wanted.passes(name: 0), wanted.passes(nil as JobMetadata?) else { return }
            }
            try item.readWorkflow(known.reader, known.tables)
            if item.isWanted, wanted.passes(item.outcome) { items.append(item) }
        }
    }

    private struct Item {
        var id: UInt64
        /// 0 for one that cannot be read: no name has that number.
        var name: UInt32 = 0
        var queue: UInt32
        var priority: UInt8
        var acceptedAt: Int64
        /// How many of the bytes lie before the payload.
        var extras = 0
        var payloadBytes = 0
        /// What was kept beside the payload, and the payload; empty when nobody asked.
        var bytes: [UInt8] = []
        var options = JobOptions()
        /// What was enqueued does not match its checksum.
        var isDamaged = false
        /// False: the name or what its options say was not asked for.
        var isWanted = true
        var active: ActiveRecord?
        var outcome: Outcome?
        /// The workflow whose other jobs it waits for.
        var workflow: UInt64?
        /// The jobs that it is held for.
        var after: [JobID] = []

        init(id: UInt64, _ block: JobBlockView, _ active: ActiveRecord?) {
            self.id = id
            queue = active?.queue ?? block.queue
            priority = active?.priority ?? block.priority
            acceptedAt = block.acceptedAt
            self.active = active
        }

        /// Finds out whether it waits for others, of its workflow or those that it is to come after.
        mutating func readWorkflow(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
            if let active { after = try HeldJobs.awaited(id, active, reader, tables) }
            guard active == nil, outcome == nil, !isDamaged, let member = options.workflow else {
                return
            }
            workflow = try UnstartedJobs.workflow(member, reader, tables)
        }

        mutating func read(
            _ outcomes: OutcomeBlockView, _ reader: Reader, _ tables: StoreTables
        ) throws(StorageError) {
            do throws(StorageError) {
                let entry = try formatted { () throws(FormatError) in try outcomes.entry(id) }
                outcome = try Outcome(entry, reader, tables)
            } catch {
                guard case .damaged = error else { throw error }
                isDamaged = true
            }
        }

        /// - Parameter isWanted: asked before anything is copied.
        mutating func read(
            _ block: JobBlockView, copiesBytes: Bool = true,
            isWanted: (JobBlockView.Entry, JobOptions) -> Bool
        ) {
            do throws(FormatError) {
                let entry = try block.entry(id)
                let extras = try entry.extras()
                options = try entry.options()
                self.isWanted = isWanted(entry, options)
                if !self.isWanted { return }
                name = entry.meta.name
                payloadBytes = entry.payload.count
                if !copiesBytes { return }
                self.extras = extras.count
                bytes = Array(extras) + Array(entry.payload)
            } catch {
                isDamaged = true
            }
        }
    }

    private static func item(
        _ id: UInt64, _ block: JobBlockView, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Item? {
        if try isStaged(id, reader, tables) { return nil }
        let active = try Lookup.active(id, reader, tables)
        var item = Item(id: id, block, active)
        if active == nil, let outcomes = try Lookup.outcomes(id, reader, tables) {
            try item.read(outcomes, reader, tables)
        }
        item.read(block) { _, _ in true }
        try item.readWorkflow(reader, tables)
        return item
    }

    /// - Parameter inSlots: the jobs in slots, looked up once for many items.
    private func state(
        _ item: Item, inSlots: Set<UInt64>
    ) throws(StoreError) -> JobState {
        if let outcome = item.outcome { return .ended(outcome) }
        if let workflow = item.workflow { return .awaiting(workflow: JobID(rawValue: workflow)) }
        if inSlots.contains(item.id), let running = runningState(JobID(rawValue: item.id)) {
            return running
        }
        switch item.active?.state {
        case .waiting:
            return .waiting(
                due: open.shown(item.active!.due), attempts: Int(item.active!.attempts))
        case .parked:
            let name = try jobName(item.active!.name) ?? "?"
            switch item.active!.parking {
            case .unknownName: return .parked(name: name)
            case .pausedType: return .paused(name: name)
            case .workflow: return .awaiting(workflow: JobID(rawValue: item.id))
            case .held: return .held(after: item.after)
            }
        case nil where !item.options.due.hasPassed(open.clock.reading):
            return .waiting(due: open.shown(item.options.due), attempts: 0)
        case .ready, nil: return .ready
        }
    }

    /// All that is known of a job. Copies its payload and its result.
    /// - Throws: ``StoreError/noSuchJob(_:)`` when it was pruned or never was.
    public func details(of id: JobID) throws(StoreError) -> JobDetails {
        let open = open
        let item = try open.read { (reader) throws(StorageError) -> Item? in
            guard let block = try Lookup.block(id.rawValue, reader, open.tables) else { return nil }
            return try Self.item(id.rawValue, block, reader, open.tables)
        }
        guard let item else { throw .noSuchJob(id) }
        let summary = JobSummary(
            id: id, name: try jobName(item.name) ?? "?", queue: try queueName(item.queue) ?? "?",
            priority: Int(item.priority), acceptedAt: WallTime(microseconds: item.acceptedAt),
            payloadBytes: item.bytes.count - item.extras,
            metadata: item.options.metadata ?? JobMetadata(),
            state: try state(item, inSlots: open.slots.jobs()))
        struct Rest {
            var codec: UInt8 = 0
            var resultCodec: UInt8?
            var result: [UInt8] = []
            /// The job whose result it is.
            var source: UInt64 = 0
            var history: [AttemptHistory.Item] = []
        }
        var rest = try open.read { (reader) throws(StorageError) -> Rest in
            var rest = Rest()
            if !item.isDamaged, let block = try Lookup.block(id.rawValue, reader, open.tables) {
                rest.codec = try formatted { () throws(FormatError) in
                    try block.entry(id.rawValue).meta.codec
                }
            }
            if let active = try Lookup.active(id.rawValue, reader, open.tables) {
                rest.history = try formatted { () throws(FormatError) in
                    try AttemptHistory.read(active.history)
                }
            } else if let outcomes = try Lookup.outcomes(id.rawValue, reader, open.tables) {
                try formatted { () throws(FormatError) in
                    let entry = try outcomes.entry(id.rawValue)
                    // What refers to a failure has no result.
                    let isReference =
                        entry.state.holdsFailure && entry.codec == FailureTable.reference
                    rest.resultCodec = isReference ? 0 : entry.codec
                    rest.result = isReference ? [] : Array(entry.result)
                    if let history = entry.history {
                        rest.history = try AttemptHistory.read(history)
                    }
                }
                rest.source = try Lookup.source(of: id.rawValue, reader, open.tables)
                if rest.source != id.rawValue,
                    let block = try Lookup.outcomes(rest.source, reader, open.tables)
                {
                    try formatted { () throws(FormatError) in
                        let entry = try block.entry(rest.source)
                        rest.resultCodec = entry.codec
                        rest.result = Array(entry.result)
                    }
                }
            }
            return rest
        }
        var payload = (codec: rest.codec, bytes: Array(item.bytes[item.extras...]))
        var key: String?
        if payload.codec == SealedBytes.codec {
            key = payload.bytes.withUnsafeBytes { SealedBytes.key(of: $0) }
            // Without the key it is given as it lies there.
            payload =
                (try? opened(
                    payload.bytes, codec: payload.codec, .payload(of: summary.name, open)))
                ?? payload
        }
        if rest.resultCodec == SealedBytes.codec,
            // As above.
            let name = rest.source == id.rawValue || rest.source == 0
                ? summary.name : try? self.name(of: JobID(rawValue: rest.source)),
            let result = try? opened(
                rest.result, codec: SealedBytes.codec, .result(of: name, rest.source, open))
        {
            (rest.resultCodec, rest.result) = (result.codec, result.bytes)
        }
        return JobDetails(
            summary: summary, isDamaged: item.isDamaged, parent: JobID(found: item.options.parent),
            root: JobID(found: item.options.root), schedule: item.options.planned?.schedule,
            plannedTime: item.options.planned.map { WallTime(microseconds: $0.time) },
            encryptionKey: key, payloadCodec: payload.codec, payload: payload.bytes,
            extras: Array(item.bytes[..<item.extras]),
            failedAttempts: rest.history.map { item in
                FailedAttempt(
                    attempt: item.attempt, startedAt: WallTime(microseconds: item.startedAt),
                    runTime: .microseconds(item.runMicroseconds),
                    failure: JobFailure(type: item.failure.type, message: item.failure.message))
            }, resultCodec: rest.resultCodec, result: rest.result)
    }
}

extension JobFilter {
    func accepts(_ state: JobState) -> Bool {
        switch state {
        case .ready: states.contains(.ready)
        case .running: states.contains(.running) || states.contains(.ready)
        case .waiting: states.contains(.waiting)
        case .parked: states.contains(.parked)
        case .paused: states.contains(.paused)
        case .awaiting: states.contains(.awaiting)
        case .held: states.contains(.held)
        case .ended(let outcome):
            switch outcome.kind {
            case .succeeded: states.contains(.succeeded)
            case .failed: states.contains(.failed)
            case .cancelled: states.contains(.cancelled)
            case .deadLetter: states.contains(.deadLetter)
            case .expired: states.contains(.expired)
            case .discarded: states.contains(.discarded)
            case .dropped: states.contains(.dropped)
            }
        }
    }
}

extension JobID {
    /// What the store holds as a number, 0 for none.
    fileprivate init?(found number: UInt64) {
        if number == 0 { return nil }
        self.init(rawValue: number)
    }
}
