extension JobRunner {
    /// How a runner runs one of its queues.
    public struct QueueOptions: Sendable, Hashable {
        /// Tickets that it has in its turn before the next queue has its own, 1…1,000; 1 unless set.
        public var weight = 1
        /// Attempts of the queue at once, 1…100,000; nil: as many as there are threads and places.
        public var concurrency: Int?
        /// Attempts of the queue that start in a time.
        public var rate: RateLimit?
        /// After how long without a start a priority that has ready jobs gets the next ticket, before those above it; 1 ms to 366
        /// days. Nil: never, so that low ones wait as long as there are higher ones.
        public var ageing: Duration?

        /// Makes options; bounds are checked when the runner is made.
        public init(
            weight: Int = 1, concurrency: Int? = nil, rate: RateLimit? = nil,
            ageing: Duration? = nil
        ) {
            self.weight = weight
            self.concurrency = concurrency
            self.rate = rate
            self.ageing = ageing
        }

        /// What is wrong with them, and what is allowed; nil: nothing.
        var problem: String? {
            if !(1...1_000).contains(weight) {
                return "weight is \(weight); 1 to 1,000 are allowed"
            }
            if let ageing, ageing < .milliseconds(1) || ageing > .seconds(366 * 86_400) {
                return "ageing is \(ageing); 1 ms to 366 days are allowed"
            }
            return JobLimits(concurrency: concurrency, rate: rate).problem
        }
    }
}
