/// Whether there is room for jobs, and what is to be done when there is not: decided here, performed in `LogCommit`.
enum Admission: Equatable {
    case accept
    /// So much has to be dropped first, of the queue that they are for.
    case drop(JobLoad)
    /// They wait for room, at most for so many microseconds; 0: as long as it takes.
    case wait(UInt64, CapacityRecord.Reached)
    case refuse(CapacityRecord.Reached)

    /// - Parameters:
    ///   - added: what is to be accepted.
    ///   - held: what is there already, without what is to be dropped.
    ///   - whenFull: the enqueue's own word; nil: the capacity's.
    static func of(
        _ added: JobLoad, held: JobLoad, capacity: CapacityRecord,
        whenFull: CapacityRecord.WhenFull?
    ) -> Admission {
        let jobs = short(added.jobs, held.jobs, capacity.jobs)
        let bytes = short(added.bytes, held.bytes, capacity.bytes)
        if jobs == 0, bytes == 0 { return .accept }
        // What is too large on its own comes first: nothing helps it.
        let isJobs =
            jobs > 0 && (added.jobs > capacity.jobs || bytes == 0 || added.bytes <= capacity.bytes)
        let reached = CapacityRecord.Reached(
            isJobs: isJobs, held: isJobs ? held.jobs : held.bytes,
            added: isJobs ? added.jobs : added.bytes,
            limit: isJobs ? capacity.jobs : capacity.bytes)
        if reached.added > reached.limit { return .refuse(reached) }
        switch whenFull ?? capacity.whenFull {
        case .refuse: return .refuse(reached)
        case .wait(let limit): return .wait(limit, reached)
        case .dropOldest: return .drop(JobLoad(jobs: jobs, bytes: bytes))
        }
    }

    /// How much there would be too much; 0: there is room.
    private static func short(_ added: UInt64, _ held: UInt64, _ limit: UInt64) -> UInt64 {
        // Who adds nothing of it needs no room, however full it is.
        if limit == 0 || added == 0 { return 0 }
        let sum = held.addingReportingOverflow(added)
        if sum.overflow { return added }
        return sum.partialValue > limit ? sum.partialValue - limit : 0
    }

    /// What follows from a queue's capacity and the store's together: the sterner of the two.
    func and(_ other: Admission) -> Admission {
        switch (self, other) {
        case (.refuse, _): self
        case (_, .refuse): other
        case (.wait, _): self
        case (_, .wait): other
        case (.drop(let one), .drop(let two)):
            .drop(JobLoad(jobs: max(one.jobs, two.jobs), bytes: max(one.bytes, two.bytes)))
        case (.drop, .accept): self
        case (.accept, _): other
        }
    }
}

extension CapacityRecord {
    /// Which bound there is no room within.
    struct Reached: Equatable, Sendable {
        var isJobs: Bool
        var held: UInt64
        var added: UInt64
        var limit: UInt64
        /// Whether it is the store's capacity.
        var isOfStore = false
    }
}

/// Why an enqueue was not accepted by a commit that did everything else: the writer's answer.
enum AdmissionRefusal: Sendable, Equatable {
    case refused(CapacityRecord.Reached)
    /// It is to wait for room, at most for so many microseconds; 0: as long as it takes.
    case wait(UInt64, CapacityRecord.Reached)
    /// More is to be dropped than one transaction does: it is to be submitted again.
    case again(CapacityRecord.Reached)
}

extension CapacityReached {
    /// - Parameter queue: the queue that jobs were enqueued in.
    init(_ reached: CapacityRecord.Reached, queue: String, hasWaited: Bool = false) {
        self.queue = reached.isOfStore ? nil : queue
        measure = reached.isJobs ? .jobs : .bytes
        held = Int(clamping: reached.held)
        added = Int(clamping: reached.added)
        limit = Int(clamping: reached.limit)
        self.hasWaited = hasWaited
    }
}
