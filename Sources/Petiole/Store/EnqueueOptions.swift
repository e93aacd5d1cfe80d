/// What one enqueue says otherwise than its job type.
public struct EnqueueOptions: Sendable, Hashable {
    /// The queue; nil: the job type's.
    public var queue: String?
    /// 0…9, 0 first; 4 unless set.
    public var priority: Int
    /// Attempts at most, 1…255; nil: the job type's.
    public var maxAttempts: Int?
    /// Whether the result is recorded; nil: the job type's.
    public var keepsResult: Bool?
    /// For how long the result is kept after the end, more than zero; nil: what the job type says: see
    /// ``JobType/resultRetention``.
    public var resultRetention: Duration?
    /// Bytes that the result may have, 0 or more; nil: what the job type says: see ``JobType/resultLimit``.
    public var resultLimit: Int?
    /// The due time: it does not start before. Nil, and any time that has passed: at once.
    public var due: JobTime?
    /// The expiry, later than the due time: after it the job does not start any more, and ends as ``Outcome/Kind/expired``. An
    /// attempt that runs by then goes on; no other follows it.
    public var expiry: JobTime?
    /// A key that one job of the name may hold; nil: ``CodableJob/uniqueness``. Not for many at once, nor for what is staged.
    public var unique: Uniqueness?
    /// Tags and headers.
    public var metadata: JobMetadata?
    /// How long an attempt may take, in place of the job type's; a hard one where its type allows it.
    public var timeLimit: TimeLimit?
    /// The key that the type's ``JobLimits`` per key are about, 1 to 256 bytes of UTF-8; nil: ``CodableJob/limitKey``.
    public var limitKey: String?
    /// What becomes of the enqueue when queue or store are full; nil: what their ``Capacity`` says.
    public var whenFull: Capacity.WhenFull?
    /// Jobs of the store, in any of its queues, that have to end first, ``Predecessor/limit`` at most. It is ``JobState/held(after:)``
    /// until then. One that has ended as awaited counts at once; when one ends otherwise, or had, this job is cancelled, and its
    /// outcome says because of which. A predecessor that is requeued later changes nothing. Not for workflows, schedules and
    /// enqueues through a job's context, which have workflows.
    public var after: [Predecessor]
    /// Whether a job that another enqueues through its context has that one's priority in place of ``priority``. False unless set.
    public var inheritsPriority: Bool

    /// Makes options that leave everything to the job type. Bounds are checked by the enqueue.
    public init(
        queue: String? = nil, priority: Int = 4, maxAttempts: Int? = nil, keepsResult: Bool? = nil,
        due: JobTime? = nil, expiry: JobTime? = nil, unique: Uniqueness? = nil,
        metadata: JobMetadata? = nil, timeLimit: TimeLimit? = nil, limitKey: String? = nil,
        whenFull: Capacity.WhenFull? = nil, inheritsPriority: Bool = false,
        resultRetention: Duration? = nil, resultLimit: Int? = nil, after: [Predecessor] = []
    ) {
        self.after = after
        self.inheritsPriority = inheritsPriority
        self.queue = queue
        self.priority = priority
        self.maxAttempts = maxAttempts
        self.keepsResult = keepsResult
        self.due = due
        self.expiry = expiry
        self.unique = unique
        self.metadata = metadata
        self.timeLimit = timeLimit
        self.limitKey = limitKey
        self.whenFull = whenFull
        self.resultRetention = resultRetention
        self.resultLimit = resultLimit
    }
}

/// A point in a job's life: an instant of the system's clock, or a while after the enqueue. A while goes on by itself: it is
/// neither shorter nor longer when that clock is set.
public enum JobTime: Sendable, Hashable {
    /// An instant.
    case at(WallTime)
    /// So long after the enqueue, zero or more.
    case after(Duration)
}

extension EnqueueOptions {
    var isDefault: Bool {
        queue == nil && priority == 4 && maxAttempts == nil && keepsResult == nil && due == nil
            && expiry == nil && unique == nil && metadata == nil && timeLimit == nil
            && limitKey == nil && whenFull == nil && !inheritsPriority
            && resultRetention == nil && resultLimit == nil && after.isEmpty
    }

    /// What is wrong with them, and what is allowed; nil: nothing.
    package var problem: String? {
        if !(0...9).contains(priority) { return "priority is \(priority); 0 to 9 are allowed" }
        if let maxAttempts, !(1...255).contains(maxAttempts) {
            return "maxAttempts is \(maxAttempts); 1 to 255 are allowed"
        }
        for (name, time) in [("due", due), ("expiry", expiry)] {
            if case .after(let wait)? = time, wait < .zero {
                return "\(name) is \(wait) after the enqueue; zero and more are allowed"
            }
            if case .at(let instant)? = time, instant.microseconds <= 0 {
                return "\(name) is an instant before 1970; later ones are allowed"
            }
        }
        if let resultRetention, resultRetention <= .zero {
            return "resultRetention is \(resultRetention); more than zero is allowed"
        }
        if let resultLimit, resultLimit < 0 {
            return "resultLimit is \(resultLimit); 0 and more are allowed"
        }
        return after.problem ?? unique?.problem ?? metadata?.problem
            ?? limitKey.flatMap { JobLimits.problem(ofKey: $0) } ?? whenFull?.problem
    }

    /// What is kept of them. A due time that has passed is none.
    func resolved(job: String, now: ClockReading) throws(EnqueueError) -> JobOptions {
        func kept(_ time: JobTime) -> StoreTime {
            switch time {
            case .at(let instant): StoreTime(wall: instant.microseconds)
            case .after(let wait):
                StoreTime(now, after: wait == .zero ? 0 : RetryPolicy.microseconds(wait))
            }
        }
        var options = JobOptions()
        if let due {
            let due = kept(due)
            if !due.hasPassed(now) { options.due = due }
        }
        if let expiry { options.expiry = kept(expiry) }
        options.unique = unique.map { UniqueHold($0) }
        options.metadata = metadata
        options.timeLimit = timeLimit
        options.resultLimit = resultLimit
        if let resultRetention {
            options.resultRetention = RetryPolicy.microseconds(resultRetention)
        }
        options.limitKey = limitKey
        if !options.due.isNone, !options.expiry.isNone,
            options.expiry.left(now) <= options.due.left(now)
        {
            throw .invalidOption(job: job, "expiry is not later than due; it would never start")
        }
        return options
    }
}

/// Chooses the enqueue that does not wait for the disk.
public struct BufferedDurability: Sendable {
    /// What to do while the buffer is full.
    public enum WhenFull: Sendable {
        /// Block the calling thread until a commit has made room.
        case wait
        /// Throw ``EnqueueError/bufferFull``.
        case fail
    }
    let whenFull: WhenFull

    /// Hands the job over and comes back at once; durable some time later, which ``PendingJob/accepted`` or
    /// ``JobStore/flush()`` awaits. A process that dies loses what it has handed over and was not committed. At most 64 MiB
    /// and 16,384 enqueues wait; beyond, the caller's thread does.
    public static let buffered = BufferedDurability(whenFull: .wait)
    /// The same, but throws when the buffer is full.
    public static let bufferedOrFail = BufferedDurability(whenFull: .fail)
}
