import PetioleStorage

// What a filter says of a job, in the order in which it is found out: of a block, of the job itself, of its state. So what
// does not pass is neither copied nor looked up.

/// A filter whose names have become the store's numbers.
struct ResolvedFilter {
    let filter: JobFilter
    /// Whether payloads are copied, and what lies beside them.
    var copiesBytes = true
    /// 0: no such queue.
    private let queue: UInt32?
    private let exceptQueues: Set<UInt32>
    /// Nil: any; `.max`: no job was ever named so.
    private let name: UInt32?
    private let wantsUnfinished: Bool

    init(
        _ filter: JobFilter, queues: [(name: String, record: QueueRecord)], _ open: OpenStore
    ) throws(StoreError) {
        self.filter = filter
        queue = filter.queue.map { wanted in
            queues.first { $0.name == wanted }?.record.id ?? 0
        }
        exceptQueues = Set(
            queues.filter { filter.exceptQueues.contains($0.name) }.map { $0.record.id })
        var number: UInt32?
        if let name = filter.name {
            number = try open.read { (reader) throws(StorageError) in
                let found = try withBytes(RecordKey.bytes("n" + name)) {
                    (key) throws(StorageError) in
                    try reader.value(open.tables.names, key)
                }
                return found.flatMap { $0.count >= 4 ? $0.littleEndian(at: 0) : nil } ?? .max
            }
        }
        name = number
        let asksForEnd =
            filter.fingerprint != nil || filter.error != nil || filter.endedSince != nil
            || filter.endedBefore != nil
        wantsUnfinished =
            !asksForEnd && (filter.states.isEmpty || !filter.states.isDisjoint(with: .unfinished))
    }

    /// Whether any job of a block may pass.
    func passes(_ block: JobBlockView) -> Bool {
        if let queue, block.queue != queue { return false }
        if exceptQueues.contains(block.queue) { return false }
        let accepted = WallTime(microseconds: block.acceptedAt)
        if let since = filter.acceptedSince, accepted < since { return false }
        if let before = filter.acceptedBefore, accepted >= before { return false }
        return true
    }

    /// Whether a job of the name with that number may pass.
    func passes(name number: UInt32) -> Bool { name == nil || name == number }

    func passes(_ metadata: JobMetadata?) -> Bool {
        filter.tag.map { metadata?.tags.contains($0) == true } ?? true
    }

    /// Whether a job passes as far as its outcome tells; one without may still not be in a state that is asked for.
    func passes(_ outcome: Outcome?) -> Bool {
        guard let outcome else { return wantsUnfinished }
        return filter.passes(outcome)
    }
}

extension JobFilter {
    fileprivate func passes(_ outcome: Outcome) -> Bool {
        if !states.isEmpty, !accepts(.ended(outcome)) { return false }
        if let fingerprint, outcome.failure?.fingerprint != fingerprint { return false }
        if let error {
            guard let failure = outcome.failure,
                failure.type.contains(error) || failure.message.contains(error)
            else { return false }
        }
        if let endedSince, outcome.endedAt < endedSince { return false }
        if let endedBefore, outcome.endedAt >= endedBefore { return false }
        return true
    }
}

extension Set<JobFilter.State> {
    /// States of jobs that have not ended.
    static var unfinished: Self {
        [.ready, .running, .waiting, .parked, .paused, .held, .awaiting]
    }
}

extension Outcome {
    /// When it was recorded, about: the start and the run time of the attempt that ended it.
    public var endedAt: WallTime {
        let (seconds, attoseconds) = runTime.components
        return WallTime(
            microseconds: startedAt.microseconds + seconds * 1_000_000
                + attoseconds / 1_000_000_000_000)
    }
}
