import Petiole

/// A workflow with those that its jobs gave way to, read as far as is to be shown.
struct WorkflowTree {
    let summary: WorkflowSummary
    /// What steps gave way to, by the step's place.
    private(set) var inner: [Int: [WorkflowTree]] = [:]
    /// How long groups have run, by the step's place; of small ones alone.
    private(set) var times: [Int: GroupTime] = [:]
    /// What ended it, if something did before its time; the innermost that is known.
    let cause: Cause?

    struct Cause {
        let id: JobID
        let name: String
        let state: JobState
    }

    /// When the jobs of a group began, and how long that is ago, or was until the last one's end.
    struct GroupTime {
        var running = 0
        var first: WallTime?
        var last: WallTime?

        func length(_ now: WallTime) -> Duration? {
            guard let first else { return nil }
            return (running > 0 ? now : last ?? now).since(first)
        }
    }

    /// How much may still be read.
    struct Room {
        var steps: Int
        /// Whether a workflow within another was left out.
        private(set) var isUsedUp = false

        init(steps: Int) { self.steps = steps }

        mutating func hasSome() -> Bool {
            if steps <= 0 { isUsedUp = true }
            return steps > 0
        }
    }

    /// Reads a workflow by its id or by that of one of its jobs; those within it as long as there is room.
    init(_ id: JobID, _ store: JobStore, _ room: inout Room) throws {
        do { summary = try store.workflow(id) } catch StoreError.noSuchJob {
            // It says first if there is not even such a job.
            _ = try store.state(of: id)
            throw Failure(
                "job \(id) is part of no workflow\nsee what is known of it: petiole show \(id)",
                status: 66)
        }
        room.steps -= summary.steps.count
        cause = try Self.cause(summary.cause, store)
        for (place, step) in summary.steps.enumerated() {
            if step.jobs > 1, step.jobs <= GroupTime.limit {
                times[place] = try GroupTime(of: step, store)
            }
            try addInner(of: step, at: place, store, &room)
        }
    }

    private mutating func addInner(
        of step: WorkflowStep, at place: Int, _ store: JobStore, _ room: inout Room
    ) throws {
        for range in step.ids {
            var next = range.lowerBound
            while true {
                let found = try store.workflows(from: JobID(rawValue: next), limit: 1).first
                guard let id = found?.id, id.rawValue <= range.upperBound else { break }
                guard room.hasSome() else { return }
                inner[place, default: []].append(try WorkflowTree(id, store, &room))
                next = id.rawValue + 1
            }
        }
    }

    /// Follows causes inward: that of a workflow is a job, which may stand for one itself.
    private static func cause(_ id: JobID?, _ store: JobStore) throws -> Cause? {
        guard var id else { return nil }
        do {
            for _ in 0..<WorkflowLimits.nesting {
                guard try store.workflows(from: id, limit: 1).first?.id == id,
                    let next = try store.workflow(id).cause
                else { break }
                id = next
            }
            let summary = try store.details(of: id).summary
            return Cause(id: id, name: summary.name, state: summary.state)
        } catch StoreError.noSuchJob {
            // Purged since.
            return nil
        }
    }

    // MARK: Names

    /// A step as others name it: by its name, and its id where two have the name.
    func names() -> [String] {
        var counts: [String: Int] = [:]
        for step in summary.steps { counts[step.name, default: 0] += 1 }
        return summary.steps.map { step in
            guard counts[step.name]! > 1, let first = step.ids.first else { return step.name }
            return "\(step.name) (\(first.lowerBound))"
        }
    }
}

extension WorkflowTree.GroupTime {
    /// Larger groups are not read: each of their jobs is looked up.
    static let limit = 1_000

    init(of step: WorkflowStep, _ store: JobStore) throws {
        for range in step.ids {
            for id in range {
                do { add(try store.state(of: JobID(rawValue: id))) } catch StoreError.noSuchJob {
                    // Purged: the others tell what is left to tell.
                    continue
                }
            }
        }
    }

    private mutating func add(_ state: JobState) {
        switch state {
        case .running(_, let since, _):
            running += 1
            first = min(first ?? since, since)
        case .ended(let outcome) where outcome.attempt > 0:
            first = min(first ?? outcome.startedAt, outcome.startedAt)
            let end = WallTime(
                microseconds: outcome.startedAt.microseconds
                    + Int64(outcome.runTime.wholeMicroseconds))
            last = max(last ?? end, end)
        case .ended, .ready, .waiting, .parked, .paused, .held, .awaiting: break
        }
    }
}
