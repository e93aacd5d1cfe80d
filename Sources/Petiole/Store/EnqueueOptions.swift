/// What one enqueue says otherwise than its job type.
public struct EnqueueOptions: Sendable, Hashable {
    /// The queue; nil: the job type's.
    public var queue: String?
    /// 0…9, 0 first; 4 unless set. What is out of bounds is moved to the nearest bound.
    public var priority: Int
    /// Attempts at most, 1…255; nil: the job type's. What is greater counts as 255.
    public var maxAttempts: Int?
    /// Whether the result is recorded; nil: the job type's.
    public var keepsResult: Bool?

    /// Makes options that leave everything to the job type.
    public init(
        queue: String? = nil, priority: Int = 4, maxAttempts: Int? = nil, keepsResult: Bool? = nil
    ) {
        self.queue = queue
        self.priority = priority
        self.maxAttempts = maxAttempts
        self.keepsResult = keepsResult
    }
}

extension EnqueueOptions {
    var isDefault: Bool {
        queue == nil && priority == 4 && maxAttempts == nil && keepsResult == nil
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
