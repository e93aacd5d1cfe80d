import PetioleStorage

extension CommitState {
    /// Sees to it that there is room for jobs in a queue, by dropping others if that is to be done.
    /// - Returns: nil when there is room.
    mutating func admit(
        _ load: JobLoad, in queue: UInt32, priority: UInt8, whenFull: CapacityRecord.WhenFull?,
        _ transaction: inout WriteTransaction
    ) throws(StorageError) -> AdmissionRefusal? {
        guard try hasCapacity(transaction, queue) else { return nil }
        switch try admission(of: load, in: queue, whenFull: whenFull, transaction) {
        case .accept: return nil
        case .refuse(let reached): return .refused(reached)
        case .wait(let limit, let reached): return .wait(limit, reached)
        case .drop(let wanted):
            let result = try Dropping.drop(
                wanted, queue: queue, for: priority, &transaction, &self)
            if result == .enough { return nil }
            // What the same would have been told if it had not asked for a drop.
            let refused = try admission(of: load, in: queue, whenFull: .refuse, transaction)
            guard case .refuse(let reached) = refused else { return nil }
            return result == .more ? .again(reached) : .refused(reached)
        }
    }
}

extension EnqueueSubmission {
    /// The error of an enqueue for which there is no room.
    func noRoom(_ reached: CapacityRecord.Reached) -> EnqueueError {
        .noRoom(target, reached)
    }
}

extension EnqueueError {
    static func noRoom(
        _ target: JobTarget, _ reached: CapacityRecord.Reached, hasWaited: Bool = false
    ) -> EnqueueError {
        .refused(
            job: target.jobName, queue: target.queueName,
            .noRoom(
                CapacityReached(reached, queue: target.queueName, hasWaited: hasWaited)))
    }
}
