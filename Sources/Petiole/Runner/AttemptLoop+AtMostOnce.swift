import PetioleStorage

// See `StartMarks.swift`.
extension AttemptLoop {
    /// Makes an attempt of a job that runs at most once: its start is on the disk before. Returns whether it was made on this
    /// thread.
    func makeMarked(
        _ entry: JobEntry, _ id: UInt64, _ job: JobBlockView.Entry, _ earlier: EarlierAttempts
    ) throws(StorageError) -> Bool {
        if earlier.startEpoch == 0 {
            let end = endOfAlike(id, name: job.meta.name)
            // What has ended is recorded first, and no view is held while the disk syncs.
            gatherer.flush()
            endView()
            do throws(StoreError) {
                try core.startMarks.mark(id..<end, at: position, priority, queue!, core.store)
            } catch {
                core.fail(.store(error))
                return false
            }
            try openView(at: id)
            if isPaused {
                giveBack(id)
                return false
            }
            // Whatever became of it meanwhile is found like that of any other job.
            return try runOne(id) != nil
        }
        core.startMarks.begin(id)
        if earlier.startEpoch == StartMarks.epoch(queue!) { return make(entry, id, job, earlier) }
        fail(id, attempt: earlier.count + 1, StartMarks.interrupted(hasBegun: false), earlier)
        passedOver(id)
        return false
    }
}
