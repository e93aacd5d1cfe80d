import CPetiole
import Synchronization

// Swift tasks on the pool
//
// An executor cannot refuse, so the queue has no bound. It is looked at by workers between their
// jobs, and, when they cannot come, by one *server*: a thread of its own that is started when it is
// first needed.
//
// `attending` counts the threads that run jobs of this queue now, and look at it again afterwards.
// Who enqueues adds the job, puts a fence, then asks in this order (`jobsArrived`):
//
// 1. Is somebody searching? Then that worker announces and looks again, or settles and looks at
//    this queue (`Parking`).
// 2. Is somebody parked? Wake one.
// 3. Is somebody attending? It looks again after it has stopped attending.
// 4. Else all workers are inside synchronous jobs, or there are none: see that the server runs.
//
// What must not happen: a job in the queue, nobody attending, searching or woken. Why it cannot:
// each of these threads, when it leaves that state, changes the counter, puts a fence and then
// looks at the queue; one of the two sees the other, as in `Parking`. The server decides to wait
// under the lock that `needServer` takes, after looking at the queue under it.
//
// An attending thread whose job runs for long keeps the others waiting, until a worker comes
// between two of its own jobs. That is Swift's rule for tasks: they suspend, they do not block. A
// task that must block says so with `pool.blocking`.
//
// After the pool has stopped there are no workers, so every job goes to the server, which ends
// whenever the queue is empty and is started again by the next job: no task is lost, and no thread
// stays behind.

/// Runs Swift tasks on the threads of a pool: `Task(executorPreference: pool.executor)`.
package final class PoolExecutor: TaskExecutor {
    private enum Server {
        case none
        case running
        /// Waits for its sleeper's token.
        case waiting(Sleeper)
    }

    private struct Serving {
        var server = Server.none
        var isStopped = false
    }

    private let queue = Guarded(JobQueue())
    /// How many jobs wait. Raised after a job was added, lowered after it was taken, so it may be
    /// below zero for a moment.
    private let waiting = Atomic<Int>(0)
    private let attending = Atomic<Int>(0)
    private let serving = Guarded(Serving())
    private let parking: Parking
    private let name: String

    init(parking: Parking, name: String) {
        self.parking = parking
        self.name = name
    }

    // MARK: Enqueueing

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.withLock { $0.append(job) }
        // Sequentially consistent: the order that the note speaks of.
        waiting.add(1, ordering: .sequentiallyConsistent)
        jobsArrived()
    }

    /// Whether a job waits.
    var hasJobs: Bool {
        // Relaxed: whoever needs an order puts a fence, or takes the lock.
        waiting.load(ordering: .relaxed) > 0
    }

    /// Sees that somebody comes for what is in the queue.
    func jobsArrived() {
        // Sequentially consistent: between the queue and the looks below.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let crowd = parking.crowd
        if crowd.searching > 0 { return }
        if crowd.parked > 0 && parking.wakeOne() { return }
        // Sequentially consistent: the order that the note speaks of.
        if attending.load(ordering: .sequentiallyConsistent) > 0 { return }
        needServer()
    }

    // MARK: Running

    /// Runs what waits now, at most `limit` jobs, on the calling thread.
    /// - Returns: whether it ran one.
    @discardableResult
    func runJobs(limit: Int = .max) -> Bool {
        guard hasJobs else { return false }
        attend()
        var count = 0
        while count < limit, let job = take() {
            unsafe job.runSynchronously(on: asUnownedTaskExecutor())
            count += 1
        }
        stopAttending()
        return count > 0
    }

    /// How many wait: what a worker that has other work too may run before it goes on with that.
    var jobsWaiting: Int {
        // Relaxed: a bound on politeness, nothing hangs on it.
        max(0, waiting.load(ordering: .relaxed))
    }

    func attend() {
        // Sequentially consistent: the order that the note speaks of.
        attending.add(1, ordering: .sequentiallyConsistent)
    }

    func stopAttending() {
        // Sequentially consistent: the order that the note speaks of.
        attending.subtract(1, ordering: .sequentiallyConsistent)
        // Sequentially consistent: between that and the look at the queue.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if hasJobs { jobsArrived() }
    }

    private func take() -> UnownedJob? {
        guard hasJobs, let job = queue.withLock({ $0.popFirst() }) else { return nil }
        // Relaxed: it says less work, which nobody waits to hear.
        waiting.subtract(1, ordering: .relaxed)
        return job
    }

    // MARK: The server

    private func needServer() {
        enum Step { case nothing, start, wake(Sleeper) }
        let step = serving.withLock { serving -> Step in
            switch serving.server {
            case .running: return .nothing
            case .none:
                serving.server = .running
                return .start
            case .waiting(let sleeper):
                serving.server = .running
                sleeper.pick()
                return .wake(sleeper)
            }
        }
        switch step {
        case .nothing: break
        case .wake(let sleeper): sleeper.wake()
        case .start: startServer()
        }
    }

    private func startServer() {
        do throws(ThreadError) {
            try PoolThread.startDetached(name) {
                let place = ServerPlace(self)
                PoolThread.setCurrent(place)
                self.serve(place)
                PoolThread.setCurrent(nil)
            }
        } catch {
            // No thread is to be had. A task must not be lost, so Swift's own pool runs what waits.
            serving.withLock { $0.server = .none }
            while let job = take() { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
        }
    }

    /// The server's thread. It serves until its place was given up, or until there is nothing to do
    /// after the end of the pool.
    private func serve(_ place: ServerPlace) {
        enum Step { case again, wait, end }
        let sleeper = Sleeper()
        while true {
            attend()
            while let job = take() { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
            stopAttending()
            let step = serving.withLock { serving -> Step in
                if !place.isServer {
                    // Another serves; or nobody does, and this one is at hand.
                    guard case .none = serving.server else { return .end }
                    serving.server = .running
                    place.isServer = true
                }
                if hasJobs { return .again }
                if serving.isStopped {
                    serving.server = .none
                    return .end
                }
                sleeper.reset()
                serving.server = .waiting(sleeper)
                return .wait
            }
            switch step {
            case .again: break
            case .wait: sleeper.wait()
            case .end: return
            }
        }
    }

    /// The pool has stopped: a server with nothing to do ends.
    func stop() {
        let sleeper = serving.withLock { serving -> Sleeper? in
            serving.isStopped = true
            guard case .waiting(let sleeper) = serving.server else { return nil }
            serving.server = .running
            sleeper.pick()
            return sleeper
        }
        sleeper?.wake()
    }

    /// The server's thread is going to block: another may serve.
    func giveUp(_ place: ServerPlace) {
        serving.withLock { serving in
            if place.isServer { serving.server = .none }
            place.isServer = false
        }
        stopAttending()
    }

    /// The server's thread goes on, as one more until its queue is empty.
    func goOn() { attend() }
}

/// What a thread of the server is known by.
// Unchecked: touched by its own thread alone.
final class ServerPlace: @unchecked Sendable {
    unowned let executor: PoolExecutor
    /// Whether this thread is the one that `Server` speaks of.
    var isServer = true
    var isBlocked = false

    init(_ executor: PoolExecutor) { self.executor = executor }
}

/// First in, first out, without a bound; a place that was taken is used again.
struct JobQueue {
    private var places: [UnownedJob?] = Array(repeating: nil, count: 64)
    private var first = 0
    private var count = 0

    mutating func append(_ job: UnownedJob) {
        if count == places.count { grow() }
        places[(first + count) & (places.count - 1)] = job
        count += 1
    }

    mutating func popFirst() -> UnownedJob? {
        if count == 0 { return nil }
        let job = places[first]
        places[first] = nil
        first = (first + 1) & (places.count - 1)
        count -= 1
        return job
    }

    private mutating func grow() {
        let size = places.count
        var larger: [UnownedJob?] = Array(repeating: nil, count: 2 * size)
        for index in 0..<count { larger[index] = places[(first + index) & (size - 1)] }
        places = larger
        first = 0
    }
}
