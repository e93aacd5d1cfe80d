/// What attempts before this one have left.
struct EarlierAttempts {
    var count = 0
    var history: [UInt8] = []
    var isSuspect = false
    /// Requeued after its end: its expiry does not count any more.
    var isRequeued = false
    /// The epoch in which its start was recorded; 0: it was not.
    var startEpoch: UInt32 = 0
    /// Its due time was edited: that of its enqueue does not count any more.
    var isRescheduled = false
    /// Whether there is a row about the job in `active`.
    var hasRow = false

    init() {}

    init(_ active: ActiveRecord) {
        count = Int(active.attempts)
        history = active.history
        isSuspect = active.isSuspect
        isRequeued = active.generation > 0
        startEpoch = active.startEpoch
        isRescheduled = active.isRescheduled
        hasRow = true
    }
}
