/// What follows from an attempt that did not succeed, decided in one place for jobs on threads and for asynchronous ones.
enum AttemptFollowUp {
    /// The job goes on: another attempt, or the same one again.
    case transition(Transition.Step)
    /// The job has ended, with what is recorded of it.
    case end(OutcomeBlock.State, FailureRecord)

    /// An attempt that has failed.
    struct Failed {
        /// What it threw; nil for a command that ended badly, and for what is to be retried if the policy allows it.
        var error: (any Error)?
        /// What is recorded of it; not cut before secrets were taken out, since a part of one would be left otherwise.
        var record: FailureRecord
        var attempt: Int
        /// Microseconds since 1970.
        var startedAt: Int64
        var runMicroseconds: Int64
        /// When the job was accepted, on the steady line.
        var acceptedAt: Int64

        /// An attempt that threw.
        init(
            _ error: any Error, attempt: Int, startedAt: Int64, runMicroseconds: Int64,
            acceptedAt: Int64
        ) {
            // Thrown in a child, which has said what its type's policy makes of it.
            let inChild = error as? ThrownInChild
            self.init(
                inChild?.record ?? .whole(error), attempt: attempt, startedAt: startedAt,
                runMicroseconds: runMicroseconds, acceptedAt: acceptedAt)
            self.error = inChild == nil ? error : inChild?.meaning.error
        }

        init(
            _ record: FailureRecord, attempt: Int, startedAt: Int64, runMicroseconds: Int64,
            acceptedAt: Int64
        ) {
            self.record = record
            self.attempt = attempt
            self.startedAt = startedAt
            self.runMicroseconds = runMicroseconds
            self.acceptedAt = acceptedAt
        }
    }

    /// - Parameters:
    ///   - maxAttempts: the job's own bound; 0: the policy's.
    static func of(
        _ failed: Failed, policy: RetryPolicy, maxAttempts: UInt8, now: ClockReading,
        random: Double = .random(in: 0..<1)
    ) -> AttemptFollowUp {
        var failed = failed
        failed.record = failed.record.cut
        if case .tooManyWaiting? = failed.error as? RunnerError {
            return .transition(.postpone(due: StoreTime(now, after: Transition.postponement())))
        }
        if case .snooze(let wait)? = failed.error as? JobControl {
            return .transition(
                .postpone(due: StoreTime(now, after: RetryPolicy.microseconds(wait))))
        }
        // The next attempt would read, or give, the same.
        if failed.error is UndecodablePayload || failed.error is ResultTooLarge {
            return .end(.deadLetter, failed.record)
        }
        var policy = policy
        if maxAttempts > 0 { policy.maxAttempts = Int(maxAttempts) }
        let step = policy.step(
            after: failed.error, attempt: failed.attempt,
            elapsed: max(0, now.steady - failed.acceptedAt), random: random)
        switch step {
        case .retry(let delay):
            return .transition(
                .retry(
                    due: StoreTime(now, after: delay),
                    AttemptHistory.Item(
                        attempt: failed.attempt, startedAt: failed.startedAt,
                        runMicroseconds: failed.runMicroseconds, failure: failed.record)))
        case .fail: return .end(.failed, failed.record)
        case .deadLetter: return .end(.deadLetter, failed.record)
        case .discard: return .end(.discarded, failed.record)
        }
    }
}

extension FailureRecord {
    /// What is recorded of an error: its type, and its own text.
    init(_ error: any Error) { self = FailureRecord.whole(error).cut }

    /// The same as long as it is.
    static func whole(_ error: any Error) -> FailureRecord {
        if let undecodable = error as? UndecodablePayload {
            return .whole(type: "UndecodablePayload", message: undecodable.reason)
        }
        if let tooLarge = error as? ResultTooLarge {
            return .whole(type: "ResultTooLarge", message: tooLarge.reason)
        }
        return .whole(type: "\(Swift.type(of: error))", message: "\(error)")
    }
}
