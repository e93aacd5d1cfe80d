/// How many attempts of a job type run at once and start in a time, and in which order: within one queue, whose owner keeps
/// count of them in memory.
///
/// Those per key are about jobs of the type that have the same ``CodableJob/limitKey``; a job without a key is bound by the
/// others alone. Jobs that may not start wait on the disk, out of the way of those behind them.
public struct JobLimits: Sendable, Hashable {
    /// Attempts of the type at once, 1…100,000; nil: as many as there are threads and places.
    public var concurrency: Int?
    /// Attempts of the type that start in a time.
    public var rate: RateLimit?
    /// Attempts at once for each key, 1…100,000.
    public var concurrencyPerKey: Int?
    /// Attempts that start in a time for each key. The owner of the queue remembers each key whose bucket is not full, with
    /// some 200 bytes.
    public var ratePerKey: RateLimit?
    /// Whether jobs of one key and one priority run strictly one after another, in the order in which they became ready; jobs
    /// of different keys run side by side. A job that waits for its next attempt keeps those behind it waiting.
    public var isOrderedPerKey: Bool
    /// Whether the keys of one lane take turns: a thousand jobs of one do not keep ten of another waiting. Each job is written
    /// to its key's own list first; the owner remembers keys that wait, with some 200 bytes each.
    public var isFairPerKey: Bool

    /// Makes limits; what is not given is none. Bounds are checked where they are registered or set.
    public init(
        concurrency: Int? = nil, rate: RateLimit? = nil, concurrencyPerKey: Int? = nil,
        ratePerKey: RateLimit? = nil, isOrderedPerKey: Bool = false, isFairPerKey: Bool = false
    ) {
        self.concurrency = concurrency
        self.rate = rate
        self.concurrencyPerKey = concurrencyPerKey
        self.ratePerKey = ratePerKey
        self.isOrderedPerKey = isOrderedPerKey
        self.isFairPerKey = isFairPerKey
    }

    static let most = 100_000

    /// What is wrong with them, and what is allowed; nil: nothing.
    package var problem: String? {
        for (name, bound) in [
            ("concurrency", concurrency), ("concurrencyPerKey", concurrencyPerKey),
        ] {
            if let bound, !(1...Self.most).contains(bound) {
                return "\(name) is \(bound); 1 to 100,000 are allowed"
            }
        }
        if let problem = rate?.problem ?? ratePerKey?.problem { return problem }
        if let concurrency, let concurrencyPerKey, concurrencyPerKey > concurrency {
            return
                "concurrencyPerKey is \(concurrencyPerKey), more than concurrency, \(concurrency); at most as much is allowed"
        }
        if isOrderedPerKey, let concurrencyPerKey, concurrencyPerKey > 1 {
            return
                "isOrderedPerKey runs one at a time, and concurrencyPerKey is \(concurrencyPerKey); leave it out"
        }
        return nil
    }

    /// The rules for all jobs of the type, and those for each key.
    var rules: (type: GateRules, key: GateRules) {
        (
            GateRules(concurrency: concurrency, rate: rate),
            GateRules(
                concurrency: isOrderedPerKey ? 1 : concurrencyPerKey, rate: ratePerKey,
                isOrdered: isOrderedPerKey, isFair: isFairPerKey)
        )
    }

    static let keyLimit = 256

    /// What is wrong with a key, and what is allowed; nil: nothing.
    static func problem(ofKey key: String) -> String? {
        if (1...keyLimit).contains(key.utf8.count) { return nil }
        return "its limit key has \(key.utf8.count) bytes; 1 to \(keyLimit) are allowed"
    }
}
