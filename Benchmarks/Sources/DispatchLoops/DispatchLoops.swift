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

/// How a thread waits for its neighbour.
private struct Patience {
    private var turns = 0

    mutating func wait() {
        turns += 1
        // Some 20 µs: more than the other needs for a lap, unless it has lost its core.
        if turns < 512 {
            petiole_pause()
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
