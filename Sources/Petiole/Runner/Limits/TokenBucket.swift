/// The tokens of a rate: how many attempts may start now, and when the next may. Time is the steady clock's, in nanoseconds.
struct TokenBucket: Equatable, Sendable {
    private(set) var rate: RateLimit
    /// What is in it, in parts of a token of which `per` nanoseconds make one: each nanosecond adds `count` of them, so nothing
    /// is ever rounded away.
    private var parts: Int128
    private var filledAt: Int64

    private var partsPerToken: Int128 { Int128(Self.nanoseconds(rate.per)) }
    private var brim: Int128 { Int128(rate.burst) * partsPerToken }

    /// - Parameter since: when it was empty.
    init(_ rate: RateLimit, emptyAt since: Int64) {
        self.rate = rate
        parts = 0
        filledAt = since
    }

    /// How many tokens are there.
    mutating func tokens(at now: Int64) -> Int {
        fill(now)
        return Int(clamping: parts / partsPerToken)
    }

    /// Takes tokens that are there.
    mutating func take(_ count: Int, at now: Int64) {
        fill(now)
        parts -= Int128(count) * partsPerToken
        precondition(parts >= 0, "no more tokens are taken than there are")
    }

    /// When one token is there, if none is taken before.
    mutating func nextToken(at now: Int64) -> Int64 {
        fill(now)
        let missing = partsPerToken - parts
        if missing <= 0 { return now }
        let wait = (missing + Int128(rate.count) - 1) / Int128(rate.count)
        return now + Int64(clamping: wait)
    }

    /// Whether it is as a bucket that nobody has used for long: then it need not be remembered.
    mutating func isFull(at now: Int64) -> Bool {
        fill(now)
        return parts == brim
    }

    /// Changes the rate; what has gathered stays, up to the new brim.
    mutating func change(to rate: RateLimit, at now: Int64) {
        fill(now)
        let tokens = parts * Int128(Self.nanoseconds(rate.per)) / partsPerToken
        self.rate = rate
        parts = min(tokens, brim)
    }

    private mutating func fill(_ now: Int64) {
        guard now > filledAt else { return }
        parts = min(brim, parts + Int128(now - filledAt) * Int128(rate.count))
        filledAt = now
    }

    static func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
