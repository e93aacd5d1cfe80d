/// A rule of planned times, and the job that is enqueued for each of them.
///
/// A schedule is a row in the store: ``JobStore/add(schedule:replacing:)`` puts it there, or a runner that declares it
/// (``JobRunner/Options/schedules``). Whoever runs the queue of its job fires it: the job is enqueued and the schedule moves on in
/// one transaction, so each planned time is enqueued once, whatever dies in between.
public struct Schedule: Sendable {
    /// When its times are.
    public enum Rule: Sendable {
        /// The times of a rule of cron: minute, hour, day of the month, month, day of the week.
        /// - Parameters:
        ///   - text: the rule, or `@hourly` and its like.
        ///   - seconds: whether a sixth field, in front of the others, is for seconds.
        ///   - days: what holds of a day when day of the month and day of the week are both restricted.
        case cron(_ text: String, seconds: Bool = false, days: CronDays = .either)
        /// Each so long, a millisecond or more. The clocks being set changes nothing.
        case every(Duration, alignedTo: Alignment = .start)
        /// One instant.
        case at(WallTime)
        /// A rule of the program's own: the first planned time after an instant, nil when there is none any more. It is asked with
        /// whatever instant, often, and on the thread that commits: it is to be fast, and the same instant is to give the same
        /// time. Only a runner may declare such a schedule.
        case own(@Sendable (_ after: WallTime) -> WallTime?)
    }

    /// Where the times of an interval are counted from.
    public enum Alignment: Sendable, Hashable {
        /// ``Schedule/start``, which is the first time; without one when the schedule was added, and the first time is one interval
        /// later.
        case start
        /// The clock: a midnight of the zone's time as it is when its clocks are not put forward. So a quarter of an hour comes on
        /// the quarter.
        case clock
    }

    /// What becomes of a planned time while the job of an earlier one has not ended.
    public enum Overlap: Sendable, Hashable {
        /// Its job is enqueued all the same.
        case allow
        /// It is left out.
        case skip
        /// Its job is enqueued when the other one has ended. One waits like this; what comes while it does is left out.
        case queueOne
    }

    /// The name by which it is found, of the form of job names; one schedule of a store has it.
    public var name: String
    /// When its times are.
    public var rule: Rule
    /// The zone whose clocks count, by its IANA name: `Europe/Berlin`, `UTC`.
    public var zone: String
    /// No time before this one; nil: any.
    public var start: WallTime?
    /// No time after this one; nil: any.
    public var end: WallTime?
    /// Days of the zone's calendar on which no time is; 1,000 at most.
    public var excludedDates: Set<CivilDate> = []
    /// Each job is enqueued up to so much later than planned, by a while that is drawn once for each time and always comes before
    /// the next one; zero unless set, 366 days at most.
    public var jitter: Duration = .zero
    /// What becomes of times at which nobody ran the queue; ``MissedRuns/once`` unless set.
    public var missed = MissedRuns.once
    /// What becomes of a time while the job of an earlier one has not ended; ``Overlap/allow`` unless set.
    public var overlap = Overlap.allow
    /// The job, as it is put into a store.
    let job: @Sendable (JobStore) throws(EnqueueError) -> ScheduledJob

    init(
        name: String, rule: Rule, zone: String,
        job: @escaping @Sendable (JobStore) throws(EnqueueError) -> ScheduledJob
    ) {
        self.name = name
        self.rule = rule
        self.zone = zone
        self.job = job
    }

    /// Makes a schedule of a job. What is wrong with it is said by who adds or declares it.
    /// - Parameters:
    ///   - job: what each time enqueues: the same payload each time, which finds in ``JobContext/plannedTime`` for when it is.
    ///   - name: nil: that of the job type.
    ///   - zone: the zone whose clocks count.
    ///   - options: as for an enqueue; a due time, a unique key and what becomes of it when the queue is full cannot be among them.
    ///     An expiry is a while that begins when the job is enqueued. The store's routing and enqueue middleware are asked once,
    ///     when the schedule is added or declared. A ``CodableJob/uniqueness`` of the job's type does not count: what becomes of two
    ///     jobs at once is said by ``overlap``.
    public init<J: CodableJob>(
        _ job: J, _ rule: Rule, in zone: String, name: String? = nil,
        options: EnqueueOptions = EnqueueOptions()
    ) {
        self.init(name: name ?? J.jobName, rule: rule, zone: zone) {
            (store) throws(EnqueueError) in
            var options = options
            if options.limitKey == nil, let key = job.limitKey { options.limitKey = key }
            return try ScheduledJob(
                job: J.jobName, options,
                request: { (options) throws(EnqueueError) in
                    try store.request(J.self, options, codec: J.codec)
                }, { (writer) throws(CodecError) in try J.codec.encode(job, into: &writer) })
        }
    }

    /// Makes a schedule of a job by its name, without its type's code. All as for ``init(_:_:in:name:options:)``.
    /// - Parameter json: the payload, as JSON text.
    public init(
        job: String, json: String, _ rule: Rule, in zone: String, name: String? = nil,
        options: EnqueueOptions = EnqueueOptions()
    ) {
        self.init(name: name ?? job, rule: rule, zone: zone) { (store) throws(EnqueueError) in
            try ScheduledJob(
                job: job, options,
                request: { (options) throws(EnqueueError) in
                    try store.request(name: job, options, codec: .compact)
                }, json: json)
        }
    }

    /// Makes a schedule of a raw job. All as for ``init(_:_:in:name:options:)``.
    public init<J: RawJob>(
        _ type: J.Type, payload: [UInt8], _ rule: Rule, in zone: String, name: String? = nil,
        options: EnqueueOptions = EnqueueOptions()
    ) {
        self.init(name: name ?? J.jobName, rule: rule, zone: zone) {
            (store) throws(EnqueueError) in
            try ScheduledJob(
                job: J.jobName, options,
                request: { (options) throws(EnqueueError) in
                    try store.request(J.self, options, codec: .raw)
                },
                { (writer) throws(CodecError) in
                    payload.withUnsafeBytes { writer.append(contentsOf: $0) }
                })
        }
    }
}

// MARK: In lists

extension Schedule {
    /// A job at the times of a rule of cron: `.cron("0 3 * * *", in: "Europe/Berlin", job: Cleanup())`. All as for
    /// ``init(_:_:in:name:options:)``.
    public static func cron<J: CodableJob>(
        _ rule: String, seconds: Bool = false, days: CronDays = .either, in zone: String, job: J,
        name: String? = nil, options: EnqueueOptions = EnqueueOptions()
    ) -> Schedule {
        Schedule(
            job, .cron(rule, seconds: seconds, days: days), in: zone, name: name, options: options)
    }

    /// A job each so long: `.every(.seconds(90), job: Poll())`. All as for ``init(_:_:in:name:options:)``.
    public static func every<J: CodableJob>(
        _ interval: Duration, alignedTo alignment: Alignment = .start, in zone: String = "UTC",
        job: J, name: String? = nil, options: EnqueueOptions = EnqueueOptions()
    ) -> Schedule {
        Schedule(
            job, .every(interval, alignedTo: alignment), in: zone, name: name, options: options)
    }

    /// A job at one instant. All as for ``init(_:_:in:name:options:)``.
    public static func at<J: CodableJob>(
        _ instant: WallTime, job: J, name: String? = nil,
        options: EnqueueOptions = EnqueueOptions()
    ) -> Schedule {
        Schedule(job, .at(instant), in: "UTC", name: name, options: options)
    }
}
