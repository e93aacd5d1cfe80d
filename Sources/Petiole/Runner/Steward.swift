import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

/// Looks after a runner while its workers run jobs: tells attempts that were cancelled or are followed, hands over what slow neighbours
/// finished, fires schedules while all workers are busy, clears dead readers, notices a replaced store, prunes. A thread that
/// sleeps on the control word until the next schedule is due, with one tick: a second while there is work, 15 while idle.
final class Steward: Sendable {
    private let core: RunnerCore
    private let isStopping = Atomic<Bool>(false)
    private let endedWord = SharedWord()
    private static let busyTick: Int64 = 1_000_000_000
    private static let idleTick: Int64 = 15_000_000_000

    init(_ core: RunnerCore) {
        self.core = core
        OSThread.start(named: "petiole-steward") { [self] in work() }
    }

    func stop() {
        // Releasing: pairs with the acquiring load in `work`.
        isStopping.store(true, ordering: .releasing)
        core.store.signals.control.ring()
        while endedWord.value == 0 { endedWord.wait(while: 0) }
    }

    private func work() {
        let watchdog = Watchdog(core)
        var lastCommit = -1
        var answered: UInt32?
        /// Jobs of a paused type that has gone on may lie aside.
        var hasLeftOvers = false
        var nextPrune = petiole_steady_time()
        var clockWatch = ClockWatch(core.store)
        // Perhaps a runner before this one has, and died before it swept.
        var hasPruned = true
        while true {
            // Read before looking, also at the flag: what comes in between makes the wait return at once.
            let seen = core.store.signals.control.value
            // Acquiring: pairs with the releasing store in `stop`.
            if isStopping.load(ordering: .acquiring) { break }
            stopCancelled()
            core.answerWantedPlaces()
            showFollowed()
            DropSettling.settle(core)
            core.flushAll()
            core.children.lookAfter()
            watchdog.look()
            if answered != seen {
                answered = seen
                answer(seen)
                hasLeftOvers = true
            }
            if hasLeftOvers { hasLeftOvers = moveBackLeftOvers() }
            let commit = core.store.environment.usage.lastCommit
            let isBusy = commit != lastCommit
            lastCommit = commit
            let now = petiole_steady_time()
            clockWatch.look(core.store)
            if core.store.isReplaced {
                core.fail(
                    .store(
                        .closed(
                            path: core.store.path,
                            reason: "its data file was replaced or deleted while it was open")))
            }
            if isBusy {
                core.unserved.look()
                core.store.environment.clearDeadReaders()
                // A process may have died between its commit and its ring.
                core.pool.lookAgain()
                lookAtFollowers()
            }
            if now >= nextPrune {
                let step = Pruning.step(core.store)
                hasPruned = hasPruned || step.hasPruned
                if !step.hasMore, hasPruned {
                    SpilledOutputs.sweep(core.store)
                    hasPruned = false
                }
                core.store.forgetDeadFollowers()
                nextPrune = now + (step.hasMore ? Self.busyTick : 60 * Self.busyTick)
            }
            let untilSchedule = lookAtSchedules()
            if hasLeftOvers { continue }
            let tick = min(isBusy ? Self.busyTick : Self.idleTick, untilSchedule ?? .max)
            core.store.signals.control.wait(whileAt: seen, for: tick)
        }
        endedWord.publish(1)
        endedWord.wakeAll()
    }

    /// Moves some jobs back to their lanes whose type has gone on. Mostly who let it go on does that.
    /// - Returns: whether there are more.
    private func moveBackLeftOvers() -> Bool {
        do throws(StoreError) {
            return try !PausedTypes.moveBackLeftOvers(
                core.claims.ownedQueues.map { $0.id }, core.store)
        } catch {
            // A full disk: looked at again when control moves, and by the next owner.
            return false
        }
    }

    /// A process may have died before it let all go that follow jobs which have ended.
    private func lookAtFollowers() {
        let store = core.store
        let areLeft = try? store.read { (reader) throws(StorageError) in
            try HeldJobs.areLeft(reader, store.tables)
        }
        // When it cannot be read, nothing else can: the workers say so.
        if areLeft == true { store.letLeftFollowersGo() }
    }

    /// Fires schedules whose times have come while the workers are inside jobs.
    /// - Returns: nanoseconds until it is to look again; nil: no schedule is waited for.
    private func lookAtSchedules() -> Int64? {
        do throws(StoreError) {
            return try core.claims.lookAtSchedules(core).map {
                let (product, overflow) = ($0 + 1).multipliedReportingOverflow(by: 1_000)
                return overflow ? .max : product
            }
        } catch {
            core.fail(.store(error))
            return nil
        }
    }

    /// Tells who cancels that everything which had ended when control stood at `seen` is recorded.
    private func answer(_ seen: UInt32) {
        let answer = core.store.slots.answer(seat: core.seat)
        // Behind what was handed over just now.
        core.store.writer.submit(
            OperationSubmission { (_, _) throws(StorageError) in
            } completion: { error in
                if error == nil { answer.give(seen) }
            })
    }

    /// Lets those of our commands write to files whose outputs somebody follows.
    private func showFollowed() {
        let followed = core.store.slots.followedJobs
        if followed.isEmpty { return }
        for slot in core.store.slots.occupied(seat: core.seat) where followed.contains(slot.job) {
            core.stoppables.look(slot.job)
        }
    }

    /// Tells those attempts of ours that somebody asked to cancel.
    private func stopCancelled() {
        for slot in core.store.slots.occupied(seat: core.seat) {
            let id = slot.job
            guard id != 0, slot.stopping != id else { continue }
            let isRequested: Bool
            do throws(StoreError) {
                isRequested = try core.store.read { (reader) throws(StorageError) in
                    try Lookup.active(id, reader, core.store.tables)?.isCancelRequested ?? false
                }
            } catch {
                return core.fail(.store(error))
            }
            // The mark is the job's number: should the slot have gone on to another job, it says nothing of that one.
            if isRequested {
                slot.stopping = id
                core.stoppables.stop(id)
            }
        }
    }
}
