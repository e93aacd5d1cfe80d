import CPetiole
import PetioleDispatch
import PetioleStorage

// See `HeldBatches.swift`.
extension AttemptLoop {
    /// Holds a job of a batch type until there are more, or runs those that are there.
    func gather(_ id: UInt64, _ entry: BatchEntry, _ earlier: EarlierAttempts) {
        let item = HeldBatches.Item(id: id, tag: tag)
        if earlier.isSuspect {
            var alone = HeldBatches.Batch(entry: entry, queue: queue!, items: [item], dueAt: 0)
            alone.isAlone = true
            return run(alone)
        }
        if hold != nil || core.stepper != nil {
            // Its place at a gate, or a step, is one job's.
            return run(HeldBatches.Batch(entry: entry, queue: queue!, items: [item], dueAt: 0))
        }
        switch core.batches.add(item, entry, queue!) {
        case .held: break
        // The bell wakes the sentinel, who alone waits until a deadline.
        case .waitBegins: store.signals.work.ring()
        case .full(let batch): run(batch)
        }
    }

    /// - Parameter isOfTicket: whether the worker goes on with a ticket of its own after it.
    private func run(_ batch: HeldBatches.Batch, isOfTicket: Bool = true) {
        gatherer.flush()
        endView()
        do throws(StorageError) {
            let end = try BatchAttempt(batch, core, workerSlot: slot, reader, hold: hold).run()
            if end.isPaused, hold != nil { giveBack(batch.items[0].id) }
            hold?.end = end.hold
            if end.isHandedOn { hold?.isHandedOn = true }
        } catch {
            core.fail(.store(store.storeError(error)))
        }
        now = petiole_steady_time()
        guard isOfTicket, let queue else { return }
        slot.prepare(queue: queue.id, epoch: queue.epoch, attempt: 1, flags: 0)
    }

    /// Runs the batch that the worker's ticket names.
    func runBatchTicket() {
        guard let (number, _) = worker.rest.take(upTo: 1), let batch = core.batches.take(number)
        else { return }
        if core.marksCrashes {
            petiole_set_crash_word(slot.flagsWord.assumingMemoryBound(to: UInt32.self))
        }
        run(batch, isOfTicket: false)
        petiole_set_crash_word(nil)
    }
}
