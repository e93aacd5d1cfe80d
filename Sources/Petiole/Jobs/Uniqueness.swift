/// Lets at most one job of a name hold a key.
///
/// Whether a job is accepted is decided in the transaction that would accept it: of two processes that enqueue the same key at
/// the same time, one is told of the other's job. The key is held by the job itself, not by its record: pruning does not free it
/// early, and a job that was requeued after its end does not take it again.
public struct Uniqueness: Sendable, Hashable {
    /// For how long a job holds its key.
    public enum Hold: Sendable, Hashable {
        /// Until its first attempt begins: at most one waits, and another may follow while that one runs.
        case untilStarted
        /// Until it has ended, however it ends.
        case untilFinished
        /// Until so long after its end, more than zero.
        case afterFinish(Duration)
    }

    /// What becomes of an enqueue whose key is held.
    public enum Conflict: Sendable, Hashable {
        /// It gives back the handle of the job that holds the key.
        case giveBack
        /// The job that holds the key is cancelled, and the new one is accepted in its place: with a delay, this waits for the
        /// last of many. One that has started is not replaced: then it throws ``EnqueueError/notUnique(job:existing:)``. Should
        /// it start at this very moment, it is asked to stop.
        case replace
        /// It throws ``EnqueueError/notUnique(job:existing:)``.
        case refuse
    }

    /// The key, 1 to 256 bytes of UTF-8. Jobs of other names have keys of their own.
    public var key: String
    /// How long the key is held; ``Hold/untilFinished`` unless set.
    public var hold: Hold
    /// What becomes of another job with the key; ``Conflict/giveBack`` unless set.
    public var onConflict: Conflict

    /// Makes a rule. Bounds are checked by the enqueue.
    public init(
        key: String, hold: Hold = .untilFinished, onConflict: Conflict = .giveBack
    ) {
        self.key = key
        self.hold = hold
        self.onConflict = onConflict
    }

    static let keyLimit = 256

    /// What is wrong with it, and what is allowed; nil: nothing.
    var problem: String? {
        if !(1...Self.keyLimit).contains(key.utf8.count) {
            return "its unique key has \(key.utf8.count) bytes; 1 to \(Self.keyLimit) are allowed"
        }
        if case .afterFinish(let duration) = hold, duration <= .zero {
            return "its unique key is held for \(duration) after its end; more than zero is allowed"
        }
        return nil
    }
}
