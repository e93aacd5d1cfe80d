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
    }
    /// Only jobs in one of these; empty: all.
    public var states: Set<State> = []
    /// Only jobs of this name.
    public var name: String?
    /// Only jobs that were accepted for this queue.
    public var queue: String?
    /// Only jobs with a greater id.
    public var after: JobID?
    /// Only jobs with this tag.
    public var tag: String?
    /// Only jobs that ended with a failure of this ``JobFailure/fingerprint``.
    public var fingerprint: String?

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
    /// Jobs in the order of their ids, for as long as `visit` returns true. Those that pruning kept apart come last. One that
    /// cannot be read has the name `?` and no payload.
    /// - Throws: ``StoreError``; ``StoreError/damaged(path:reason:)`` at the end, when some could not be read.
    /// - Throws: ``StoreError``; ``StoreError/damaged(path:reason:)``, when all others were visited, if some jobs cannot be read.
    /// - Complexity: O(jobs kept), less those of other queues when the filter names one; for each that has not ended also a look
    ///   at the attempts in flight. The log is read 16 blocks at a time, each time in a view of its own.
    public func forEachJob(
        _ filter: JobFilter = JobFilter(), _ visit: (JobSummary) -> Bool
    ) throws(StoreError) {
        try forEachRecord(filter) { summary, _, _ in visit(summary) }
    }

    /// The same with the bytes kept beside each payload, and the payload, lent for the call.
    package func forEachRecord(
        _ filter: JobFilter,
        _ visit: (JobSummary, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        let open = open
        let queueRows = try queueRows()
        var queueNames: [UInt32: String] = [:]
        for (name, record) in queueRows { queueNames[record.id] = name }
        let queue = filter.queue.map { wanted in
            queueRows.first { $0.name == wanted }?.record.id ?? 0
        }
        var damaged: (first: UInt64, count: Int)?
        for table in [open.tables.jobs, open.tables.kept] {
            var next = (filter.after?.rawValue ?? 0) + 1
            var isFirst = true
            while true {
                // A view for each few blocks: a listing must not keep freed pages from being reused for long.
                let page = try open.read { (reader) throws(StorageError) -> Page in
                    let cursor = try reader.cursor(table)
                    var page = Page()
                    var entry =
                        isFirst ? try cursor.floor(Key(next)) : try cursor.ceiling(Key(next))
                    if entry == nil, isFirst { entry = try cursor.ceiling(Key(next)) }
                    var blocks = 0
                    while let (key, value) = entry, blocks < 16 {
                        let first: UInt64 = key.bigEndian(at: 0)
                        let block: JobBlockView
                        do throws(FormatError) {
                            block = try JobBlockView(first: first, value: value)
                        } catch {
                            // How many jobs it held is not known.
                            damaged = (damaged?.first ?? first, (damaged?.count ?? 0) + 1)
                            page.next = first + 1
                            entry = try cursor.next()
                            continue
                        }
                        page.next = block.end
                        if queue == nil || block.queue == queue {
                            blocks += 1
                            // A floor seek may give a block that ends before what is asked for.
                            for id in min(max(block.first, next), block.end)..<block.end {
                                guard
                                    let item = try Self.item(
                                        id, block, reader, open.tables)
                                else { continue }
                                page.items.append(item)
                            }
                        }
                        entry = try cursor.next()
                    }
                    page.isLast = entry == nil
                    return page
                }
                isFirst = false
                next = page.next
                let inSlots = open.slots.jobs()
                for item in page.items {
                    if item.isDamaged {
                        damaged = (damaged?.first ?? item.id, (damaged?.count ?? 0) + 1)
                    }
                    let state = try state(item, inSlots: inSlots)
                    let summary = JobSummary(
                        id: JobID(rawValue: item.id), name: try jobName(item.name) ?? "?",
                        queue: queueNames[item.queue] ?? "?", priority: Int(item.priority),
                        acceptedAt: WallTime(microseconds: item.acceptedAt),
                        payloadBytes: item.bytes.count - item.extras,
                        metadata: item.options.metadata ?? JobMetadata(), state: state)
                    if let name = filter.name, name != summary.name { continue }
                    if let tag = filter.tag, !summary.metadata.tags.contains(tag) { continue }
                    guard filter.states.isEmpty || filter.accepts(state) else { continue }
                    if let fingerprint = filter.fingerprint {
                        guard case .ended(let outcome) = state,
                            outcome.failure?.fingerprint == fingerprint
                        else { continue }
                    }
                    let goesOn = item.bytes.withUnsafeBytes { bytes in
                        visit(
                            summary, UnsafeRawBufferPointer(rebasing: bytes[..<item.extras]),
                            UnsafeRawBufferPointer(rebasing: bytes[item.extras...]))
                    }
                    if !goesOn { return }
                }
                if page.isLast { break }
            }
        }
        if let damaged {
            let others = damaged.count == 1 ? "" : " and \(damaged.count - 1) more"
            throw .damaged(
                path: path, reason: "job \(damaged.first)\(others) cannot be read")
        }
    }

    private struct Page {
        var items: [Item] = []
        var next: UInt64 = 0
        var isLast = false
    }

    private struct Item {
        var id: UInt64
        /// 0 for one that cannot be read: no name has that number.
        var name: UInt32 = 0
        var queue: UInt32
        var priority: UInt8
        var acceptedAt: Int64
        var extras = 0
        var bytes: [UInt8] = []
        var options = JobOptions()
        /// What was enqueued does not match its checksum.
        var isDamaged = false
        var active: ActiveRecord?
        var outcome: Outcome?
    }

    private static func item(
        _ id: UInt64, _ block: JobBlockView, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Item? {
        if try isStaged(id, reader, tables) { return nil }
        let active = try Lookup.active(id, reader, tables)
        var outcome: Outcome?
        var isDamaged = false
        if active == nil, let outcomes = try Lookup.outcomes(id, reader, tables) {
            do throws(FormatError) { outcome = try Outcome(outcomes.entry(id)) } catch {
                isDamaged = true
            }
        }
        var item = Item(
            id: id, queue: active?.queue ?? block.queue,
            priority: active?.priority ?? block.priority, acceptedAt: block.acceptedAt,
            active: active, outcome: outcome)
        item.isDamaged = isDamaged
        do throws(FormatError) {
            let entry = try block.entry(id)
            let extras = try entry.extras()
            item.options = try entry.options()
            item.name = entry.meta.name
            item.extras = extras.count
            item.bytes = Array(extras) + Array(entry.payload)
        } catch {
            item.isDamaged = true
        }
        return item
    }

    /// - Parameter inSlots: the jobs in slots, looked up once for many items.
    private func state(
        _ item: Item, inSlots: Set<UInt64>
    ) throws(StoreError) -> JobState {
        if let outcome = item.outcome { return .ended(outcome) }
        if inSlots.contains(item.id), let running = runningState(JobID(rawValue: item.id)) {
            return running
        }
        switch item.active?.state {
        case .waiting:
            return .waiting(
                due: WallTime(microseconds: item.active!.due), attempts: Int(item.active!.attempts))
        case .parked: return .parked(name: try jobName(item.active!.name) ?? "?")
        case nil where item.options.due > open.clock.now:
            return .waiting(due: WallTime(microseconds: item.options.due), attempts: 0)
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
                    rest.resultCodec = entry.codec
                    rest.result = Array(entry.result)
                    if let history = entry.history {
                        rest.history = try AttemptHistory.read(history)
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
            let result = try? opened(
                rest.result, codec: SealedBytes.codec, .result(of: summary.name, id.rawValue, open))
        {
            (rest.resultCodec, rest.result) = (result.codec, result.bytes)
        }
        return JobDetails(
            summary: summary, isDamaged: item.isDamaged, parent: JobID(found: item.options.parent),
            root: JobID(found: item.options.root), encryptionKey: key, payloadCodec: payload.codec,
            payload: payload.bytes,
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
    fileprivate func accepts(_ state: JobState) -> Bool {
        switch state {
        case .ready: states.contains(.ready)
        case .running: states.contains(.running) || states.contains(.ready)
        case .waiting: states.contains(.waiting)
        case .parked: states.contains(.parked)
        case .ended(let outcome):
            switch outcome.kind {
            case .succeeded: states.contains(.succeeded)
            case .failed: states.contains(.failed)
            case .cancelled: states.contains(.cancelled)
            case .deadLetter: states.contains(.deadLetter)
            case .expired: states.contains(.expired)
            case .discarded: states.contains(.discarded)
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
