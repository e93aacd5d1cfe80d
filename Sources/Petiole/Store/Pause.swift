import CPetiole
import PetioleStorage

// A pause against a claim
//
// A pause is a bit of the queue's row. Who pauses commits it, moves control, and fences. A worker looks at control after it
// has published the job in its slot: when control has moved it opens a new view, finds the queue paused, and gives the job and
// the rest of its ticket back to the claims, who hand nothing of that queue out before it goes on. So when a pause returns,
// what is in a slot runs to its end, and nothing else of the queue starts: the handshake of a cancel, for all jobs at once.

extension JobStore {
    /// Pauses a queue: what runs finishes, and nothing else of it starts until ``resume(queue:)``, whoever runs it, also after a
    /// restart. Jobs are accepted as before. A queue that was never used may be paused in advance.
    /// - Returns: whether it was not paused before.
    /// - Throws: ``StoreError``; nothing has changed then.
    @discardableResult
    public func pause(queue: String) async throws(StoreError) -> Bool {
        try await setPaused(queue, true)
    }

    /// Lets a paused queue go on.
    /// - Returns: whether it was paused before.
    @discardableResult
    public func resume(queue: String) async throws(StoreError) -> Bool {
        try await setPaused(queue, false)
    }

    private func setPaused(_ name: String, _ isPaused: Bool) async throws(StoreError) -> Bool {
        guard NameForm.isValid(name) else {
            throw .invalidOption(EnqueueError.invalidName(name, what: "queue").description)
        }
        let hasChanged = try await open.perform {
            (transaction, state) throws(StorageError) -> Bool in
            var record = try state.queue(named: name, &transaction)
            guard record.isPaused != isPaused else { return false }
            record.isPaused = isPaused
            try state.put(record, named: name, &transaction)
            state.controlMoved = true
            // Workers look for what they had given back; drains look whether there is anything to wait for.
            state.hasNewWork = state.hasNewWork || !isPaused
            state.hasParked = true
            return true
        }
        petiole_fence()
        return hasChanged
    }
}
