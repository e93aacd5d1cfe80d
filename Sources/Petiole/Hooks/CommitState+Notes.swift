import PetioleStorage

// What listeners are to hear of a commit. Nothing is gathered when nobody listens.

extension CommitState {
    mutating func note(_ kind: JobStep.Kind, _ id: UInt64, attempts: UInt16) {
        let now = now
        notes?.append(.other(id: id, kind, attempt: Int(attempts), at: now))
    }

    /// Jobs were accepted; those that are staged are heard of when their stage is published.
    mutating func noteAccepted(_ submission: EnqueueSubmission) {
        let time = time
        notes?.append(
            .queued(
                first: submission.first, count: submission.jobCount,
                due: submission.options.due.instant(time), at: time.wall))
    }

    /// - Parameter block: an outcome block, as it was just written.
    mutating func noteEnded(
        _ first: UInt64, _ block: UnsafeRawBufferPointer,
        _ transaction: borrowing WriteTransaction
    ) throws(StorageError) {
        let view = try formatted { () throws(FormatError) in
            try OutcomeBlockView(first: first, value: block)
        }
        var ended: [(id: UInt64, outcome: Outcome)] = []
        for id in view.first..<view.end {
            let entry = try formatted { () throws(FormatError) in try view.entry(id) }
            ended.append((id, try Outcome(entry, transaction, tables)))
        }
        notes?.append(.ended(ended))
    }

    /// An attempt after which its job goes on.
    /// - Parameter attempts: how many have ended.
    mutating func note(_ transition: Transition, attempts: UInt16) {
        let time = time
        switch transition.step {
        case .retry(let due, let item):
            notes?.append(
                .other(
                    id: transition.id,
                    .willRetry(
                        JobFailure(item.failure), due: WallTime(microseconds: due.instant(time))),
                    attempt: item.attempt, at: item.startedAt + item.runMicroseconds))
        case .postpone(let due):
            note(
                .postponed(due: WallTime(microseconds: due.instant(time))), transition.id,
                attempts: attempts)
        case .park: note(.parked, transition.id, attempts: attempts)
        case .pause, .cancel, .expire, .change, .drop: break
        }
    }
}
