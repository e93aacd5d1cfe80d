import Petiole

/// A job as a test finds it in a store, with its payload read by its codec.
public struct EnqueuedJob<Payload: Sendable>: Sendable {
    /// The job's id.
    public let id: JobID
    /// The name of its type.
    public let name: String
    /// What was enqueued, written and read back.
    public let payload: Payload
    /// What the enqueue told it, with queue and priority. A time that was given as a while is the instant that came of it, and
    /// the unique key's rule for conflicts is not kept.
    public let options: EnqueueOptions
    /// Where it is in its life.
    public let state: JobState
    /// Attempts that failed and were followed by another, oldest first.
    public let failedAttempts: [FailedAttempt]
    /// The job that enqueued it with its own success; nil: none did.
    public let parent: JobID?

    /// What it came to; nil: it has not ended.
    public var outcome: Outcome? {
        if case .ended(let outcome) = state { outcome } else { nil }
    }
}

extension EnqueuedJob: Equatable where Payload: Equatable {
    /// Compares all that is known of them.
    public static func == (left: EnqueuedJob, right: EnqueuedJob) -> Bool {
        left.id == right.id && left.payload == right.payload && left.options == right.options
            && left.state == right.state && left.failedAttempts == right.failedAttempts
            && left.parent == right.parent
    }
}

extension EnqueuedJob: CustomStringConvertible {
    /// Name, number, payload and state in a line.
    public var description: String {
        "job \(id) \"\(name)\", \(payload), on queue \"\(options.queue ?? "?")\": \(state.words)"
    }
}

extension JobState {
    /// The state in words.
    var words: String {
        switch self {
        case .ready: "ready"
        case .waiting(let due, let attempts):
            "waiting until \(due.microseconds) µs after 1970"
                + (attempts == 0 ? "" : ", after \(attempts) attempts")
        case .parked: "parked, since no runner of its queue knows its name"
        case .paused(let name): "waiting, since the job type \(name) is paused"
        case .awaiting(let workflow): "waiting for others of workflow \(workflow)"
        case .held(let after):
            after.isEmpty
                ? "held" : "held until \(after.map(\.description).joined(separator: ", ")) end"
        case .running(let attempt, _, _): "running, attempt \(attempt)"
        case .ended(let outcome):
            if let failure = outcome.failure {
                "\(outcome.kind.words) at attempt \(outcome.attempt): \(failure.type): "
                    + failure.message
            } else {
                outcome.kind.words
            }
        }
    }
}

extension Outcome.Kind {
    fileprivate var words: String {
        switch self {
        case .succeeded: "succeeded"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .deadLetter: "a dead letter"
        case .expired: "expired"
        case .discarded: "discarded"
        case .dropped: "dropped"
        }
    }
}
