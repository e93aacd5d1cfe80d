import Synchronization

@testable import PetioleDispatch

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A mark for each id of a range; marking one twice, or one outside, is remembered.
final class SeenOnce: Sendable {
    private let words: Guarded<[Bool]>
    private let left: Atomic<Int>
    private let faults = Atomic<Int>(0)

    init(count: Int) {
        words = Guarded(Array(repeating: false, count: count))
        left = Atomic(count)
    }

    /// True for the call that marks the last one.
    @discardableResult
    func mark(_ first: UInt64, _ count: UInt32 = 1) -> Bool {
        words.withLock { words in
            for id in first..<first + UInt64(count) {
                if id < UInt64(words.count) && !words[Int(id)] {
                    words[Int(id)] = true
                } else {
                    faults.add(1, ordering: .relaxed)
                }
            }
        }
        let left = left.subtract(Int(count), ordering: .acquiringAndReleasing).newValue
        return left == 0
    }

    /// Each was marked, none twice.
    var isComplete: Bool {
        left.load(ordering: .acquiring) == 0 && faults.load(ordering: .relaxed) == 0
    }
}

/// A gate that threads wait at until it is opened.
final class Gate: Sendable {
    private let sleeper = Sleeper()

    func open() {
        sleeper.pick()
        sleeper.wakeAll()
    }
    func pass() { sleeper.wait() }

    var isOpen: Bool { sleeper.isPicked }
}

/// A source whose tickets come from `offers` and from a list; what a job does is a closure.
final class ScriptedSource: WorkSource {
    private let list = Guarded<[Ticket]>([])
    private let job: @Sendable (UInt64, Worker) -> Void
    let runLength: UInt32
    let claims = Atomic<Int>(0)
    let parks = Atomic<Int>(0)
    let starts = Atomic<Int>(0)
    let ends = Atomic<Int>(0)
    let deadline = Atomic<Int64>(-1)
    private let atClaim = Guarded<(@Sendable (Int) -> Void)?>(nil)
    private let atPark = Guarded<(@Sendable (Int) -> Void)?>(nil)

    init(runLength: UInt32 = 1, _ job: @escaping @Sendable (UInt64, Worker) -> Void) {
        self.runLength = runLength
        self.job = job
    }

    /// What a commit does: the ticket can be claimed from now on.
    func commit(_ ticket: Ticket) { list.withLock { $0.append(ticket) } }

    /// Calls `hook` with the number of each claim that found nothing, on the worker's thread.
    func onEmptyClaim(_ hook: @escaping @Sendable (Int) -> Void) { atClaim.withLock { $0 = hook } }
    func onPark(_ hook: @escaping @Sendable (Int) -> Void) { atPark.withLock { $0 = hook } }

    func claim(for worker: Worker) -> Ticket? {
        let ticket = list.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        if ticket == nil {
            let number = claims.add(1, ordering: .relaxed).newValue
            atClaim.withLock { $0 }?(number)
        }
        return ticket
    }

    func run(on worker: Worker) {
        while !worker.pool.isStopping, let run = worker.rest.take(upTo: runLength) {
            for id in run.first..<run.first + UInt64(run.count) { job(id, worker) }
            worker.pool.runExecutorJobs()
        }
    }

    func didStart(_ worker: Worker) {
        worker.context = Gate()
        starts.add(1, ordering: .relaxed)
    }
    func willPark(_ worker: Worker) {
        let number = parks.add(1, ordering: .relaxed).newValue
        atPark.withLock { $0 }?(number)
    }
    func willEnd(_ worker: Worker) { ends.add(1, ordering: .relaxed) }
    func nextDeadline() -> Int64? {
        let deadline = deadline.load(ordering: .acquiring)
        return deadline < 0 ? nil : deadline
    }
}

extension WorkerPool {
    /// Offers until the ring takes it, which is what no worker may do.
    func offerInTheEnd(_ ticket: Ticket) {
        while !offer(ticket) { sched_yield() }
    }

    func end() {
        stop()
        join()
    }
}
