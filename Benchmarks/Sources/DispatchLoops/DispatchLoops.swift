import Dispatch
import Foundation
import PetioleDispatch
import Synchronization

// What only Petiole itself can reach: the ring and the pool, without the store.

/// The time for `count` tickets to go from one thread to another through a ring.
public func ringHop(count: Int) -> Duration {
    let ring = Ring<Ticket>(capacity: 1024)
    let producer = Thread {
        for number in 0..<UInt64(count) {
            while !ring.push(Ticket(first: number, count: 1)) { sched_yield() }
        }
    }
    return ContinuousClock().measure {
        producer.start()
        for number in 0..<UInt64(count) {
            while true {
                if let ticket = ring.pop() {
                    precondition(ticket.first == number, "a ticket came out of order")
                    break
                }
                sched_yield()
            }
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
            while !pool.offer(ticket) { sched_yield() }
        }
        source.allHaveRun.wait()
    }
    pool.stop()
    pool.join()
    bell.deallocate()
    return elapsed
}

/// Runs jobs that do nothing, one by one, as the fast path of the runner does.
private final class EmptyJobs: WorkSource {
    let allHaveRun = DispatchSemaphore(value: 0)
    private let left: Atomic<Int>
    private let job: any EmptyJob = Nothing()

    init(count: Int) { left = Atomic(count) }

    func claim(for worker: Worker) -> Ticket? { nil }

    func run(on worker: Worker) {
        var ran = 0
        while let taken = worker.rest.take(upTo: 1) {
            job.run(taken.first)
            ran += 1
        }
        // Relaxed: a count alone; the semaphore orders the end.
        if ran > 0, left.subtract(ran, ordering: .relaxed).newValue == 0 { allHaveRun.signal() }
    }
}

private protocol EmptyJob: Sendable {
    func run(_ id: UInt64)
}

private struct Nothing: EmptyJob {
    @inline(never) func run(_ id: UInt64) {}
}
