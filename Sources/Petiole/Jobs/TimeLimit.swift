/// How long an attempt may take.
///
/// When the soft limit passes, the attempt is asked to stop, as by a cancel: an ``AsyncJob``'s task is cancelled, a ``Job`` sees
/// ``JobContext/isCancelled``, a command gets SIGTERM. When it does, it has failed with ``TimeLimitExceeded``, and what follows is
/// the retry policy's matter; one that succeeds all the same has succeeded. When the hard limit passes, the process of a command,
/// or of a job with ``JobType/isolation`` ``Isolation/process``, and all of its group get SIGKILL. A thread cannot be ended from
/// outside, so others have no hard limit.
public struct TimeLimit: Sendable, Hashable {
    /// After this it is asked to stop; more than zero. Nil: never.
    public var soft: Duration?
    /// After this it is ended; longer than the soft one. Nil: never, but ten seconds after a process was asked.
    public var hard: Duration?

    /// Makes a limit. Bounds are checked at registration and by the enqueue.
    public init(soft: Duration? = nil, hard: Duration? = nil) {
        self.soft = soft
        self.hard = hard
    }

    /// What is wrong with it, and what is allowed; nil: nothing.
    /// - Parameter runsInChild: whether what it limits can be ended from outside.
    func problem(runsInChild: Bool) -> String? {
        if let soft, soft <= .zero { return "its soft limit is \(soft); more than zero is allowed" }
        guard let hard else { return nil }
        if !runsInChild {
            return
                "it has a hard limit, and a thread cannot be ended from outside; a soft one is allowed, "
                + "and a hard one for commands and for job types with `isolation` `.process`"
        }
        if hard <= soft ?? .zero {
            return "its hard limit is \(hard); more than \(soft ?? .zero) is allowed"
        }
        return nil
    }
}

/// What an attempt has failed with that was asked to stop after its ``TimeLimit/soft`` limit, or ended at its
/// ``TimeLimit/hard`` one.
public struct TimeLimitExceeded: Error, Sendable, Hashable, CustomStringConvertible {
    /// The limit.
    public let limit: Duration
    /// Whether its process was ended by SIGKILL: it was the hard limit.
    public internal(set) var wasKilled = false

    /// What happened.
    public var description: String {
        wasKilled
            ? "it ran for longer than \(limit) and its process was killed (SIGKILL)"
            : "it ran for longer than \(limit) and was stopped"
    }
}
