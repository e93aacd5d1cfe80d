import CPetiole
import Dispatch
import Foundation
import PetioleDispatch
import Synchronization

// What only Petiole itself can reach: the ring and the pool, without the store.

/// The time for `count` tickets to go from one thread to another through a ring of 1,024 slots, one by one.
///
/// Who finds it full or empty spins first and gives up its core only after a while: the system call would otherwise be
/// what is measured.
public func ringHop(count: Int) -> Duration {
    let ring = Ring<Ticket>(capacity: 1024)
    let producer = Thread {
        for number in 0..<UInt64(count) {
            var patience = Patience()
            while !ring.push(Ticket(first: number, count: 1)) { patience.wait() }
        }
    }
    return ContinuousClock().measure {
        producer.start()
        for number in 0..<UInt64(count) {
            var patience = Patience()
            while true {
                if let ticket = ring.pop() {
                    precondition(ticket.first == number, "a ticket came out of order")
                    break
                }
                patience.wait()
            }
        }
    }
}

/// The time for `count` tickets to be put into a ring and taken out again, on one thread.
public func ringPushAndPop(count: Int) -> Duration {
    let ring = Ring<Ticket>(capacity: 1024)
    return ContinuousClock().measure {
        for number in 0..<UInt64(count) {
            precondition(ring.push(Ticket(first: number, count: 1)), "an empty ring takes a ticket")
            precondition(ring.pop()?.first == number, "a ticket came out of order")
        }
    }
}

/// How a thread waits for its neighbour. Looking all the time would take the cache line away from the neighbour for
/// every single ticket, so it looks once in about half a microsecond.
private struct Patience {
    private var turns = 0

    mutating func wait() {
        turns += 1
        // Some 20 µs: more than the other needs for a lap, unless it has lost its core.
        if turns < 32 {
            for _ in 0..<32 { petiole_pause() }
        } else {
            sched_yield()
            turns = 0
        }
    }
}

/// The time for `count` empty jobs, handed to a pool in tickets of `perTicket`, until the last has run.
public func poolJobs(count: Int, perTicket: Int) throws -> Duration {
    let source = EmptyJobs(count: count)
    let bell = Bell.allocate()
    let pool = WorkerPool(source: source, bell: bell)
    try pool.start()
    let elapsed = ContinuousClock().measure {
        for first in stride(from: 0, to: count, by: perTicket) {
            let ticket = Ticket(
                first: UInt64(first), count: UInt32(min(perTicket, count - first)))
            // Gives up its core at once: the workers may need it.
            while !pool.offer(ticket) { sched_yield() }
        }
        source.allHaveRun.wait()
    }
    pool.stop()
    pool.join()
    bell.deallocate()
    // Relaxed: the threads have ended.
    let sum = source.sum.load(ordering: .relaxed)
    precondition(sum == UInt64(count) * UInt64(count - 1) / 2, "a job was lost, or ran twice")
    return elapsed
}

/// Runs jobs that do nothing, one by one, as the fast path of the runner does.
private final class EmptyJobs: WorkSource {
    let allHaveRun = DispatchSemaphore(value: 0)
    /// Of the ids that ran, so that none can be left out.
    let sum = Atomic<UInt64>(0)
    private let left: Atomic<Int>
    private let job: any EmptyJob = Nothing()

    init(count: Int) { left = Atomic(count) }

    func claim(for worker: Worker) -> Ticket? { nil }

    func run(on worker: Worker) {
        var ran = 0
        var ids: UInt64 = 0
        while let taken = worker.rest.take(upTo: 1) {
            ids &+= job.run(taken.first)
            ran += 1
        }
        // Relaxed: a sum alone, read after the semaphore.
        sum.wrappingAdd(ids, ordering: .relaxed)
        // Relaxed: a count alone; the semaphore orders the end.
        if ran > 0, left.subtract(ran, ordering: .relaxed).newValue == 0 { allHaveRun.signal() }
    }
}

private protocol EmptyJob: Sendable {
    func run(_ id: UInt64) -> UInt64
}

private struct Nothing: EmptyJob {
    @inline(never) func run(_ id: UInt64) -> UInt64 { id }
}
