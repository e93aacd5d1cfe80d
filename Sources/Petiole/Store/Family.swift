import PetioleStorage

/// A job among those that it comes from and that come from it.
public struct FamilyMember: Sendable, Hashable {
    /// What a listing shows of it.
    public let summary: JobSummary
    /// The job that enqueued it with its own success; nil for the first.
    public let parent: JobID?
    /// How many generations after the first.
    public let depth: Int
}

/// Who spawned whom.
public struct Family: Sendable, Hashable {
    /// Each job behind the one that spawned it.
    public let members: [FamilyMember]
    /// Whether there are more than were asked for.
    public let hasMore: Bool
}

extension JobStore {
    /// The jobs that a job has enqueued with its success, in the order of their ids: those that were neither pruned nor purged.
    /// - Parameters:
    ///   - after: only those with a greater id, to go on behind a page.
    ///   - limit: so many at most.
    /// - Throws: ``StoreError/noSuchJob(_:)`` when the job itself is not there any more.
    /// - Complexity: O(log *n*) for the job, and for each child up to the limit.
    public func children(
        of id: JobID, after: JobID? = nil, limit: Int = 1_000
    ) throws(StoreError) -> [JobID] {
        let open = open
        let children = try open.read { (reader) throws(StorageError) -> [JobID]? in
            guard try Lookup.block(id.rawValue, reader, open.tables) != nil,
                try !Self.isStaged(id.rawValue, reader, open.tables)
            else { return nil }
            var children: [JobID] = []
            let after = after?.rawValue ?? 0
            // Behind the greatest there is none.
            guard after < .max else { return children }
            let lineage = try Lineage.read(id.rawValue, reader, open.tables)
            for range in lineage.ranges.sorted(by: { $0.first < $1.first }) {
                var next = max(range.first, after + 1)
                while next < range.first + range.count, children.count < limit {
                    if try Lookup.block(next, reader, open.tables) != nil {
                        children.append(JobID(rawValue: next))
                    }
                    next += 1
                }
            }
            return children
        }
        guard let children else { throw .noSuchJob(id) }
        return children
    }

    /// The whole family of a job, from the first that is still there on: its parents and whatever these have spawned. A chain of
    /// more generations than the limit begins so many before the job.
    /// - Parameter limit: so many jobs at most, 1 or more.
    /// - Throws: ``StoreError/noSuchJob(_:)``.
    /// - Complexity: O(jobs shown), O(log *n*) each.
    public func family(of id: JobID, limit: Int = 1_000) throws(StoreError) -> Family {
        let first = try eldest(id, generations: limit)
        var members: [FamilyMember] = []
        // What is still to be shown, the next one last.
        var rest: [(id: JobID, parent: JobID?, depth: Int)] = [(first, nil, 0)]
        var hasMore = false
        while let next = rest.popLast() {
            if members.count >= max(1, limit) {
                hasMore = true
                break
            }
            let summary: JobSummary
            do throws(StoreError) { summary = try details(of: next.id).summary } catch {
                // Purged a moment ago.
                guard case .noSuchJob = error, next.id != first else { throw error }
                continue
            }
            members.append(
                FamilyMember(summary: summary, parent: next.parent, depth: next.depth))
            // One more than can be shown tells that there are more.
            let children = try children(of: next.id, limit: max(1, limit) - members.count + 1)
            rest += children.reversed().map { ($0, next.id, next.depth + 1) }
        }
        return Family(members: members, hasMore: hasMore)
    }

    /// The first of a lineage that is still there, at most so many generations before a job.
    private func eldest(_ id: JobID, generations: Int) throws(StoreError) -> JobID {
        var eldest = id
        var parent = try details(of: id).parent
        for _ in 0..<generations {
            guard let next = parent else { break }
            do throws(StoreError) { parent = try details(of: next).parent } catch {
                guard case .noSuchJob = error else { throw error }
                break
            }
            eldest = next
        }
        return eldest
    }
}
