/// A step in a job's life, as listeners hear of it: after it is durable, but for ``Kind/started``, which is written nowhere.
public struct JobStep: Sendable, Hashable {
    /// What happened.
    public enum Kind: Sendable, Hashable {
        /// It was accepted; not to start before `due`, if there is one.
        case queued(due: WallTime?)
        /// Its due time has come, or a runner that knows its name.
        case ready
        /// An attempt begins.
        case started
        /// An attempt has failed, and another follows, not before `due`.
        case willRetry(JobFailure, due: WallTime)
        /// The same attempt is made again, not before `due`, and nothing was counted.
        case postponed(due: WallTime)
        /// No runner of its queue knows its name.
        case parked
        /// Its process died during an attempt; it runs again.
        case interrupted(JobFailure)
        /// It ended.
        case ended(Outcome)
        /// It had ended, and is to run once more.
        case requeued
    }

    /// The job.
    public let job: JobID
    /// The name of its type; `?` when it was pruned before the listener came to it.
    public let name: String
    /// The queue that it was accepted for.
    public let queue: String
    /// Its tags and headers.
    public let metadata: JobMetadata
    /// What happened.
    public let kind: Kind
    /// Which attempt it was, from 1; where none is meant, how many have ended.
    public let attempt: Int
    /// When it happened.
    public let at: WallTime
    /// Events before this one that were left out, since this listener was too far behind; mostly 0.
    public let missedBefore: Int
}

/// Hears of each step of the jobs of a store that this process makes: accepting them, running them, ending them.
///
/// Given to a store when it is opened (``StoreOptions/listeners``) or to a runner (``JobRunner/Options/listeners``); called one event
/// after the other, in the order in which they happened to a job, on a thread of their own. What one throws is logged, and
/// stops neither the jobs nor the other listeners. Up to 1,048,576 events wait for listeners that are slow; what comes then is left
/// out, counted in ``JobStep/missedBefore`` and logged. Where nobody listens nothing is gathered.
public struct JobListener: Sendable {
    let hear: @Sendable (JobStep) throws -> Void

    /// Listens with a closure. It may enqueue and look; it must neither close the store nor stop and await its runner.
    public init(_ hear: @escaping @Sendable (JobStep) throws -> Void) { self.hear = hear }
}
