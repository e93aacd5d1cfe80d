#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Ends and awaits what a dead runner left running: what its slots name, what it was just starting, and what carries the mark
/// of an attempt whose job no living runner has in a slot, or of a runner that does not live.
enum ChildrenOfTheDead {
    static func end(
        _ named: [(pid: pid_t, startTime: UInt64, group: pid_t)], _ store: OpenStore
    ) {
        for child in named {
            Leftovers.endAndAwait(
                pid: child.pid, startTime: child.startTime, processGroup: child.group)
        }
        let runners = livingRunners(store)
        Leftovers.endStarting(storeID: store.mark, parents: runners)
        let living = livingJobs(store)
        let left = Leftovers.find(storeID: store.mark).filter { leftover in
            switch leftover.mark.owner {
            case .attempt(let job, _): !living.contains(job)
            case .runner(let pid, let startTime):
                !runners.contains(pid) || !ProcessIdentity(pid: pid, startTime: startTime).isAlive
            }
        }
        if !left.isEmpty { Leftovers.endAndAwait(all: left) }
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
