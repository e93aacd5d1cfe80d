/// A job that another one is to come after, in any queue of the store: see ``EnqueueOptions/after``.
public struct Predecessor: Sendable, Hashable {
    /// What has to become of it.
    public enum Condition: Sendable, Hashable {
        /// It has succeeded. When it ends otherwise, the one that follows it is cancelled and does not run.
        case succeeded
        /// It has ended, however.
        case ended
    }
    /// The job.
    public let job: JobID
    /// What is awaited of it.
    public let condition: Condition

    /// The success of a job.
    public static func success(of job: JobID) -> Predecessor {
        Predecessor(job: job, condition: .succeeded)
    }

    /// The end of a job, however it ends.
    public static func end(of job: JobID) -> Predecessor {
        Predecessor(job: job, condition: .ended)
    }

    /// So many one job may come after: 1,000.
    public static let limit = 1_000
    /// So many rows one enqueue may bring for them, jobs times predecessors: 100,000.
    static let rowLimit = 100_000
}

extension [Predecessor] {
    /// Each job once, and of two conditions the one that asks for more.
    var sterner: [Predecessor] {
        guard count > 1 else { return self }
        let successes = Set(filter { $0.condition == .succeeded }.map { $0.job })
        var seen: Set<JobID> = []
        return compactMap { predecessor in
            guard seen.insert(predecessor.job).inserted else { return nil }
            return successes.contains(predecessor.job)
                ? .success(of: predecessor.job) : predecessor
        }
    }

    /// What is wrong with them; nil: nothing.
    var problem: String? {
        if count > Predecessor.limit {
            return "after names \(count) jobs; \(Predecessor.limit) are allowed"
        }
        return contains { $0.job.rawValue == 0 } ? "after names job 0, which there never is" : nil
    }
}
