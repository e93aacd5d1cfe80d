/// What follows a failed attempt: how many there may be, and the wait before the next.
public struct RetryPolicy: Sendable, Hashable {
    /// Attempts at most, the first one counted, 1…255.
    public var maxAttempts: Int
    /// The longest wait before the second attempt, at least 1 ms; 1 s unless set.
    public var baseDelay: Duration
    /// No wait is longer; at least 1 ms, 10 minutes unless set.
    public var maxDelay: Duration

    /// Makes a policy of exponential backoff with full jitter: before attempt *n* + 1 it waits a random time from 1 ms up to
    /// `baseDelay` · 2^(*n* − 1), at most `maxDelay`. What is out of bounds is moved to the nearest bound.
    /// - Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog: full jitter needs the least work.
    public init(
        maxAttempts: Int, baseDelay: Duration = .seconds(1), maxDelay: Duration = .seconds(600)
    ) {
        self.maxAttempts = min(max(maxAttempts, 1), 255)
        self.baseDelay = max(baseDelay, .milliseconds(1))
        self.maxDelay = max(maxDelay, .milliseconds(1))
    }

    /// Four attempts, with waits of up to 1, 2 and 4 seconds.
    public static let standard = RetryPolicy(maxAttempts: 4)
    /// One attempt: a failure is the job's outcome.
    public static let never = RetryPolicy(maxAttempts: 1)

    /// What follows a failure.
    enum Step: Equatable {
        case retry(delayMicroseconds: Int64)
        /// The one attempt that was allowed has failed.
        case fail
        /// All of several attempts have failed: kept with the evidence, to be looked at.
        case deadLetter
    }

    /// Decides what follows a failed attempt.
    /// - Parameter random: a number from 0 up to, not including, 1.
    func step(afterFailureOf attempt: Int, random: Double) -> Step {
        guard attempt < maxAttempts else { return maxAttempts == 1 ? .fail : .deadLetter }
        return .retry(delayMicroseconds: delay(after: attempt, random: random))
    }

    private func delay(after attempt: Int, random: Double) -> Int64 {
        let base = Self.microseconds(baseDelay)
        let cap = Self.microseconds(maxDelay)
        // Doubling stops well before it could overflow.
        let doublings = Int64(min(max(attempt - 1, 0), 40))
        let longest = base > cap >> doublings ? cap : min(cap, base << doublings)
        // Never zero: a retry at once meets what made the attempt fail.
        return max(1_000, Int64(Double(longest) * random))
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .max >> 1 : product + attoseconds / 1_000_000_000_000
    }
}
