/// A job type that takes several payloads at once: one insert of a hundred rows costs less than a hundred of one.
///
/// Jobs are enqueued one by one, and each has its own attempts, outcome, result, cancel and effects. A runner holds those that are ready
/// until there are ``batchLimit`` of them, or until the first has been held for ``batchWait``; while they are held they have not begun.
/// Then it runs them together on one thread. In a queue whose concurrency or rate is limited, or whose keys take turns, they run one
/// by one; a batch type with ``JobType/limits`` of its own, or one that is acknowledged before it runs, is refused. A crash of the process during a batch makes suspects of all of it: each then runs alone.
public protocol BatchJob: CodableJob {
    associatedtype Output
    /// How many are run together at most, 1…256; 64 unless given. Fewer when the runner's 1,024 slots are all taken.
    static var batchLimit: Int { get }
    /// How long the first is held for more of them, zero to an hour; 100 ms unless given. With zero it takes what is there.
    static var batchWait: Duration { get }
    /// Runs one attempt of each job of a batch.
    /// - Returns: for each item, in their order, what it came to. An error is the failure of that item's attempt alone.
    /// - Throws: then the attempt of every item has failed with that error; a ``JobControl`` decides for each what follows.
    static func run(_ batch: [BatchItem<Self>]) throws -> [Result<Output, any Error>]
}

extension BatchJob {
    /// 64.
    public static var batchLimit: Int { 64 }
    /// 100 ms.
    public static var batchWait: Duration { .milliseconds(100) }
}

/// One job of a batch.
public struct BatchItem<J: BatchJob>: Sendable {
    /// The job.
    public let job: J
    /// What its attempt knows of itself: effects are those of this item, a cancel asks this item to stop.
    public let context: JobContext
}

/// A batch has given another number of results than it has items: the attempt of each has failed.
public struct BatchResultCount: Error, Sendable, Hashable, CustomStringConvertible {
    /// How many there were.
    public let found: Int
    /// How many there should have been.
    public let expected: Int

    /// What happened.
    public var description: String {
        "the batch gave \(found) results for \(expected) items; one for each is expected"
    }
}
