import Synchronization

/// Where tickets come from and what is done with them. The pool calls it from its threads, several
/// at once.
package protocol WorkSource: AnyObject, Sendable {
    /// Looks for work: the next ticket, or nil. It may ``WorkerPool/offer(_:)`` more. It must not
    /// wait for the pool.
    func claim(for worker: Worker) -> Ticket?
    /// Takes from `worker.rest` until it is empty and runs what it takes. Between jobs it returns
    /// early when `pool.isStopping` and calls `pool.runExecutorJobs()`.
    func run(on worker: Worker)
    /// The worker is about to wait, with nothing in its rest. Called before each wait.
    func willPark(_ worker: Worker)
    /// First on the worker's thread.
    func didStart(_ worker: Worker)
    /// Last on the worker's thread.
    func willEnd(_ worker: Worker)
    /// When the source wants to be asked again though nothing was committed: nanoseconds on the
    /// real-time clock. Read after a `claim` that found nothing; a change afterwards must ring the
    /// bell.
    func nextDeadline() -> Int64?
}

extension WorkSource {
    package func willPark(_ worker: Worker) {}
    package func didStart(_ worker: Worker) {}
    package func willEnd(_ worker: Worker) {}
    package func nextDeadline() -> Int64? { nil }
}

/// One thread of the pool.
// Unchecked: `context`, `isBlocked` and `isAttending` belong to the worker's own thread; the rest
// cannot change or is atomic.
package final class Worker: @unchecked Sendable {
    /// 0 up to the pool's size for those that begin with it, from there on for the spare ones;
    /// never the same for two.
    package let index: Int
    /// What is left of its ticket. Its own thread takes from it, others steal.
    package let rest = Rest()
    /// Whatever the source keeps for this thread. Touched on the worker's own thread alone.
    package var context: AnyObject?
    /// The pool outlives its threads.
    package unowned let pool: WorkerPool

    let sleeper = Sleeper()
    /// Inside `blocking`.
    var isBlocked = false
    /// Inside a Swift task of the executor.
    var isAttending = false

    init(index: Int, pool: WorkerPool) {
        self.index = index
        self.pool = pool
    }

    /// The worker whose thread this is; nil on other threads.
    package static var current: Worker? { PoolThread.current as? Worker }
}
