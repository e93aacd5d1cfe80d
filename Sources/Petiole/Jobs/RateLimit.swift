/// A bound on how many attempts start in a time: a token bucket.
///
/// An attempt that starts takes a token; tokens come back evenly, `count` in each `per`, and at most `burst` of them gather
/// while nothing starts. A runner that takes a queue over starts with an empty bucket, so that takeovers do not add up to more.
public struct RateLimit: Sendable, Hashable {
    /// Attempts in each ``per``, 1…1,000,000,000.
    public var count: Int
    /// The time, 1 ms to 366 days.
    public var per: Duration
    /// The most tokens that gather, 1…1,000,000,000; ``count`` unless set.
    public var burst: Int

    /// Makes a rate. Bounds are checked where it is registered or set.
    public init(_ count: Int, per: Duration, burst: Int? = nil) {
        self.count = count
        self.per = per
        self.burst = burst ?? count
    }

    /// What is wrong with it, and what is allowed; nil: nothing.
    var problem: String? {
        let most = 1_000_000_000
        if !(1...most).contains(count) {
            return "a rate of \(count) per \(per); 1 to 1,000,000,000 are allowed"
        }
        if per < .milliseconds(1) || per > .seconds(366 * 86_400) {
            return "a rate per \(per); 1 ms to 366 days are allowed"
        }
        if !(1...most).contains(burst) {
            return "a burst of \(burst); 1 to 1,000,000,000 are allowed"
        }
        return nil
    }
}
