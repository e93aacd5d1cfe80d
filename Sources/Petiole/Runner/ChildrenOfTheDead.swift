import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Ends and awaits what a dead runner left running: what its slots name, what it was just starting, and what carries the mark
/// of an attempt that was cut short, or of a runner that does not live. What a command has left running on
/// purpose, such as a server, and whose job has ended, stays.
enum ChildrenOfTheDead {
    /// - Parameter jobs: those that the slots of dead runners name.
    static func end(
        _ named: [(pid: pid_t, startTime: UInt64, group: pid_t)], of jobs: Set<UInt64>,
        _ store: OpenStore
    ) throws(StorageError) {
        for child in named {
            Leftovers.endAndAwait(
                pid: child.pid, startTime: child.startTime, processGroup: child.group)
        }
        let runners = livingRunners(store)
        Leftovers.endStarting(storeID: store.mark, parents: runners)
        let living = livingJobs(store)
        let found = Leftovers.find(storeID: store.mark)
        if found.isEmpty { return }
        let left = try store.environment.view { (reader) throws(StorageError) in
            var left: [LeftoverProcess] = []
            for leftover in found {
                let isCutShort: Bool
                switch leftover.mark.owner {
                case .attempt(let job, _):
                    // One that was cancelled when its runner had died has ended too, and its slot still names it.
                    if living.contains(job) { continue }
                    isCutShort =
                        try jobs.contains(job) ? true : isUnfinished(job, reader, store.tables)
                case .runner(let pid, let startTime):
                    isCutShort =
                        !runners.contains(pid)
                        || !ProcessIdentity(pid: pid, startTime: startTime).isAlive
                }
                if isCutShort { left.append(leftover) }
            }
            return left
        }
        if !left.isEmpty { Leftovers.endAndAwait(all: left) }
    }

    private static func isUnfinished(
        _ job: UInt64, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        if try Lookup.active(job, reader, tables) != nil { return true }
        guard try Lookup.outcomes(job, reader, tables) == nil else { return false }
        return try Lookup.block(job, reader, tables) != nil
    }

    /// Nobody becomes one meanwhile: that takes the recovery byte, which the caller holds.
    private static func livingRunners(_ store: OpenStore) -> Set<pid_t> {
        Set(
            (0..<RunningSlots.seatCount).compactMap {
                store.locks.holder(of: StoreFormat.seatLock($0))
            })
    }

    /// Jobs that runners which are alive have in their slots: their children are nobody else's business.
    private static func livingJobs(_ store: OpenStore) -> Set<UInt64> {
        var jobs: Set<UInt64> = []
        for seat in 0..<RunningSlots.seatCount
        where store.locks.holder(of: StoreFormat.seatLock(seat)) != nil {
            for slot in store.slots.occupied(seat: seat) { jobs.insert(slot.job) }
        }
        return jobs
    }
}

extension OpenStore {
    /// What the store's children carry in their environment.
    var mark: String { String(format.storeID, radix: 16) }
}
