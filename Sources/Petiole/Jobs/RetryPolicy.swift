/// What follows a failed attempt: whether there is another, and the wait before it.
public struct RetryPolicy: Sendable {
    /// How the waits grow. Durations are at least 1 ms: a retry at once meets what made the attempt fail.
    public enum Backoff: Sendable {
        /// The same wait before each attempt.
        case constant(Duration)
        /// *n* times the duration after attempt *n*.
        case linear(Duration)
        /// The duration, doubled after each attempt: · 2^(*n* − 1) after attempt *n*.
        case exponential(Duration)
        /// Whatever the closure says after an attempt, counted from 1. A wait shorter than 1 ms counts as that.
        case custom(@Sendable (_ attempt: Int) -> Duration)
    }

    /// How much of a wait is left to chance, so that what failed together does not come back together.
    public enum Jitter: Sendable, Hashable {
        /// The wait as it is.
        case none
        /// Any time from 1 ms up to the wait.
        /// - Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog: it needs the least work.
        case full
        /// Half of the wait, and any time up to the other half.
        case equal
    }

    /// What an error means.
    public enum Decision: Sendable, Hashable {
        /// Another attempt, if the policy allows one.
        case retry
        /// No other attempt would do better: a dead letter at once, kept with the evidence.
        case deadLetter
        /// Not worth keeping: ``Outcome/Kind/discarded``.
        case discard
    }

    /// Attempts at most, the first one counted, 1…255.
    public var maxAttempts: Int
    /// How the waits grow.
    public var backoff: Backoff
    /// What is left to chance.
    public var jitter: Jitter
    /// No wait is longer; at least 1 ms.
    public var maxDelay: Duration
    /// No attempt begins later after the job was accepted; more than zero. Nil: none.
    public var timeLimit: Duration?
    /// What an error means; nil: every error is retried. Runs on the thread of the attempt, after it.
    public var decide: (@Sendable (any Error) -> Decision)?

    /// Makes a policy. Bounds are checked when the job type is registered.
    public init(
        maxAttempts: Int, backoff: Backoff = .exponential(.seconds(1)), jitter: Jitter = .full,
        maxDelay: Duration = .seconds(600), timeLimit: Duration? = nil,
        decide: (@Sendable (any Error) -> Decision)? = nil
    ) {
        self.maxAttempts = maxAttempts
        self.backoff = backoff
        self.jitter = jitter
        self.maxDelay = maxDelay
        self.timeLimit = timeLimit
        self.decide = decide
    }

    /// Four attempts, with waits of up to 1, 2 and 4 seconds.
    public static let standard = RetryPolicy(maxAttempts: 4)
    /// One attempt: a failure is the job's outcome.
    public static let never = RetryPolicy(maxAttempts: 1)

    /// What is wrong with the policy, and what is allowed; nil: nothing.
    var problem: String? {
        let least = Duration.milliseconds(1)
        if !(1...255).contains(maxAttempts) {
            return "maxAttempts is \(maxAttempts); 1 to 255 are allowed"
        }
        if maxDelay < least { return "maxDelay is \(maxDelay); 1 ms and more are allowed" }
        if let timeLimit, timeLimit <= .zero {
            return "timeLimit is \(timeLimit); more than zero is allowed, and nil for none"
        }
        switch backoff {
        case .constant(let wait), .linear(let wait), .exponential(let wait):
            return wait < least ? "its backoff is \(wait); 1 ms and more are allowed" : nil
        case .custom: return nil
        }
    }

    // MARK: Deciding

    /// What follows a failure.
    enum Step: Equatable {
        case retry(delayMicroseconds: Int64)
        /// The one attempt that was allowed has failed.
        case fail
        /// No further attempt: kept with the evidence, to be looked at.
        case deadLetter
        /// No further attempt, on purpose.
        case discard
    }

    /// Decides what follows a failed attempt.
    /// - Parameters:
    ///   - error: what the attempt threw; nil for a command's failure.
    ///   - elapsed: microseconds since the job was accepted.
    ///   - random: a number from 0 up to, not including, 1.
    func step(
        after error: (any Error)?, attempt: Int, elapsed: Int64, random: Double
    ) -> Step {
        var wanted: Int64?
        switch error {
        case let control as JobControl:
            switch control {
            case .deadLetter: return .deadLetter
            case .discard: return .discard
            case .retry(let wait): wanted = Self.microseconds(wait)
            // It is postponed and comes not here.
            case .snooze: break
            }
        case let error?:
            switch decide?(error) {
            case .deadLetter: return .deadLetter
            case .discard: return .discard
            case .retry, nil: break
            }
        case nil: break
        }
        guard attempt < maxAttempts else { return maxAttempts == 1 ? .fail : .deadLetter }
        let delay = wanted ?? delay(after: attempt, random: random)
        if let timeLimit,
            elapsed.addingReportingOverflow(delay).partialValue
                > Self.microseconds(timeLimit)
        {
            return .deadLetter
        }
        return .retry(delayMicroseconds: delay)
    }

    private func delay(after attempt: Int, random: Double) -> Int64 {
        let cap = Self.microseconds(maxDelay)
        let full: Int64
        switch backoff {
        case .constant(let wait): full = Self.microseconds(wait)
        case .linear(let wait):
            let (product, overflow) = Self.microseconds(wait)
                .multipliedReportingOverflow(by: Int64(attempt))
            full = overflow ? cap : product
        case .exponential(let wait):
            // Doubling stops well before it could overflow.
            let doublings = Int64(min(max(attempt - 1, 0), 40))
            let base = Self.microseconds(wait)
            full = base > cap >> doublings ? cap : base << doublings
        case .custom(let wait): full = Self.microseconds(wait(attempt))
        }
        let longest = min(full, cap)
        switch jitter {
        case .none: return longest
        case .full: return max(1_000, Int64(Double(longest) * random))
        case .equal: return max(1_000, longest / 2 + Int64(Double(longest - longest / 2) * random))
        }
    }

    /// At least a millisecond, at most half of what there is room for.
    static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        if seconds < 0 { return 1_000 }
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return .max >> 1 }
        return max(1_000, min(.max >> 1, product) + attoseconds / 1_000_000_000_000)
    }
}

/// What a job throws to say itself what is to follow, whatever its policy says of errors.
public enum JobControl: Error, Sendable, Hashable {
    /// Another attempt after a wait, at least 1 ms, if the policy allows one more. This attempt is counted and kept with the
    /// others that failed.
    case retry(after: Duration)
    /// The same attempt again after a wait, at least 1 ms: nothing is counted, nothing is kept of it. A job may do so for ever.
    case snooze(for: Duration)
    /// It is not to be done, and that is no failure: ``Outcome/Kind/discarded``, with the reason.
    case discard(String)
    /// No other attempt would do better: a dead letter, with the reason.
    case deadLetter(String)
}

extension JobControl: CustomStringConvertible {
    /// What was asked for.
    public var description: String {
        switch self {
        case .retry(let wait): "the job asked for another attempt after \(wait)"
        case .snooze(let wait): "the job asked to be run again after \(wait)"
        case .discard(let reason), .deadLetter(let reason): reason
        }
    }
}
