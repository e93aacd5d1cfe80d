import CPetiole
import Synchronization

// The pool
//
// A worker's loop: Swift tasks that wait, the ring, the source, half of another's rest, park
// (`Parking` has the argument for the last step). Nobody ever waits for room in the ring: who finds
// it full keeps the ticket.
//
// Places. The pool has `size` places, and a thread runs jobs only with a place. `blocking` gives
// the caller's place to a spare thread; when the caller goes on, there is one thread too many
// (`surplus`) until one finds, between two tickets and with nothing in its rest, that it may
// *retire*: it waits among the spare ones until it is given a place again. All of that is under the
// lock `places`; `surplusHint` lets the loop look without it. A thread that retires is busy, not
// searching, so no one counts on its look except those who count on "all places are busy", which
// stays true of the others.
//
// | number                | bound                                                                 |
// |-----------------------|-----------------------------------------------------------------------|
// | threads with a place  | `placeCount`, at first `size`, plus `surplus`                         |
// | surplus plus blocked  | `spareLimit`; beyond it `blocking` gives nil                          |
// | all threads           | `size + spareLimit`, and the server of the executor                   |
//
// More places, and fewer. `setPlaces` lets spare threads have places, or makes some of those that
// have one surplus. Who is parked then would take the next ticket although all places that are left
// are taken, so it is woken, and leaves the search for the spare ones. What it was woken for besides
// is for the one whom it wakes in `settle`.
//
// Stopping. `isStopping` is set, then everybody who is parked is woken; who is about to park looks
// at it after announcing, like at any other work. What is in the ring or in a rest by then stays
// there.

/// A fixed number of threads that run a source's tickets.
// Unchecked: all that changes is atomic or `Guarded`.
package final class WorkerPool: @unchecked Sendable {
    /// How many jobs run at once before ``setPlaces(_:)`` says otherwise.
    package let size: Int
    /// How many jobs may be inside ``blocking(_:)`` at once.
    package let spareLimit: Int
    /// All workers that can exist, by index: the places', then the spare ones, whose threads start
    /// when needed.
    package private(set) var workers: [Worker] = []
    /// Runs Swift tasks on this pool's threads.
    package let executor: PoolExecutor

    private let source: any WorkSource
    private let ring: Ring<Ticket>
    private let bell: Bell
    private let parking: Parking
    /// How long the first worker that finds nothing goes on looking, in nanoseconds.
    private let spinNanoseconds: Int64
    private let stopping = Atomic<Bool>(false)
    private let surplusHint = Atomic<Int>(0)
    /// One more than the highest index whose thread was started: how far thieves look.
    private let reach = Atomic<Int>(0)
    private let places: Guarded<Places>
    private let name: String
    private let steals: Bool

    private struct Places {
        /// Threads that wait for a place, and workers whose thread was not yet started. The last is
        /// the next.
        var spare: [Worker] = []
        var started: Set<Int> = []
        var blocked = 0
        var surplus = 0
        /// How many jobs run at once.
        var count: Int
        var handles: [PoolThread.Handle] = []
        var isStarted = false
        var isStopping = false
    }

    /// Read-ahead: how many tickets wait in the ring for each worker.
    package static let ticketsAhead = 2
    /// A wake-up takes 12 to 17 µs, so looking on for about as long costs at most twice what it
    /// saves.
    package static let spin = Duration.microseconds(20)
    /// 64 threads of 8 MiB are half a GiB of address space, and more jobs waiting for jobs than a
    /// sane program has.
    package static let defaultSpareLimit = 64

    /// - Parameters:
    ///   - size: threads; nil for the processors that this process may use.
    ///   - bell: rung after each commit that may have brought work. Its memory stays mapped until
    ///     ``join()`` has returned.
    ///   - spin: how long a worker looks on before it parks; never on a single processor.
    ///   - steals: whether a worker with nothing to do takes of what lies in another's rest.
    package init(
        source: any WorkSource, bell: Bell, size: Int? = nil,
        spin: Duration = WorkerPool.spin, spareLimit: Int = WorkerPool.defaultSpareLimit,
        steals: Bool = true, name: String = "petiole"
    ) {
        let processors = usableProcessors()
        let size = size ?? processors
        precondition(size >= 1, "a pool has at least one thread, not \(size)")
        precondition(spareLimit >= 0, "a limit of spare threads is not negative: \(spareLimit)")
        self.size = size
        self.spareLimit = spareLimit
        self.source = source
        self.bell = bell
        self.name = name
        self.steals = steals
        ring = Ring(capacity: WorkerPool.ticketsAhead * size)
        parking = Parking(bell: bell)
        executor = PoolExecutor(parking: parking, name: "\(name)-tasks")
        let (seconds, attoseconds) = spin.components
        spinNanoseconds =
            processors == 1 ? 0 : seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        places = Guarded(Places(count: size))
        workers = (0..<size + spareLimit).map { Worker(index: $0, pool: self) }
        places.withLock { $0.spare = workers[size...].reversed() }
    }

    /// Starts the threads. Once. They keep the pool alive until ``stop()``.
    /// - Throws: the system's error when a thread cannot be started; those that were have then been
    ///   stopped.
    package func start() throws(ThreadError) {
        let first = places.withLock { places -> Bool in
            defer { places.isStarted = true }
            return !places.isStarted
        }
        precondition(first, "a pool is started once")
        do {
            for worker in workers.prefix(size) { try startThread(of: worker) }
        } catch {
            stop()
            join()
            throw error
        }
    }

    // MARK: For sources

    /// Whether ``stop()`` was called: no further job is to begin.
    @inlinable
    package var isStopping: Bool { stopWord }

    @usableFromInline
    package var stopWord: Bool {
        // Acquire: pairs with the store in `stop`; whoever sees it also sees what was done before
        // the stop.
        stopping.load(ordering: .acquiring)
    }

    /// Gives a ticket to whichever worker is next. False: the ring is full or the pool stopping,
    /// and the ticket stays with the caller. Never waits.
    package func offer(_ ticket: Ticket) -> Bool {
        if stopWord || !ring.push(ticket) { return false }
        parking.workArrived()
        return true
    }

    /// How many tickets wait in the ring, about.
    package var ticketsWaiting: Int { ring.count }

    /// Tells the pool that `claim` may find something, after a change that rang no bell.
    package func lookAgain() { parking.workArrived() }

    /// Whether Swift tasks wait.
    package var hasExecutorJobs: Bool { executor.hasJobs }

    /// Runs the Swift tasks that wait now, if any. For a worker between two jobs.
    package func runExecutorJobs() {
        guard executor.hasJobs, let worker = Worker.current, worker.pool === self else { return }
        runTasks(on: worker)
    }

    /// Runs `body`, which waits for something that other jobs may have to bring about, without
    /// holding a place: a spare thread takes it over. Outside the pool's threads, and inside
    /// another `blocking`, it just runs `body`.
    /// - Returns: nil, without having run `body`, when ``spareLimit`` jobs do so already or no
    ///   thread can be had.
    package func blocking<Value, Failure>(_ body: () throws(Failure) -> Value) throws(Failure)
        -> Value?
    {
        switch PoolThread.current {
        case let worker as Worker where worker.pool === self && !worker.isBlocked:
            guard leavePlace() else { return nil }
            worker.isBlocked = true
            let attended = worker.isAttending
            if attended { executor.stopAttending() }
            defer {
                if attended { executor.attend() }
                worker.isBlocked = false
                goOnWithoutPlace()
            }
            return try body()
        case let place as ServerPlace where place.executor === executor && !place.isBlocked:
            guard countBlocked() else { return nil }
            place.isBlocked = true
            executor.giveUp(place)
            defer {
                executor.goOn()
                place.isBlocked = false
                places.withLock { $0.blocked -= 1 }
            }
            return try body()
        default:
            return try body()
        }
    }

    // MARK: More places, and fewer

    /// How many jobs run at once, but for those that go on beyond it until they end.
    package var placeCount: Int { places.withLock { $0.count } }

    /// Lets so many jobs run at once from now on: at least 1, at most as many as there are threads to
    /// be had. Jobs that run go on.
    /// - Returns: how many it is now.
    @discardableResult
    package func setPlaces(_ count: Int) -> Int {
        let count = max(1, count)
        while true {
            enum Step { case done(Int), fewer, more, wake(Worker), start(Worker) }
            let step = places.withLock { places -> Step in
                if places.isStopping || places.count == count { return .done(places.count) }
                if places.count > count {
                    places.count -= 1
                    places.surplus += 1
                    setHint(places)
                    return .fewer
                }
                if places.surplus > 0 {
                    // The thread that was to go stays.
                    places.count += 1
                    places.surplus -= 1
                    setHint(places)
                    return .more
                }
                guard let worker = places.spare.popLast() else { return .done(places.count) }
                places.count += 1
                if !places.started.contains(worker.index) { return .start(worker) }
                worker.sleeper.pick()
                return .wake(worker)
            }
            switch step {
            case .done(let count): return count
            case .fewer: parking.wakeOne()
            case .more: break
            case .wake(let worker): worker.sleeper.wake()
            case .start(let worker):
                do throws(ThreadError) { try startThread(of: worker) } catch {
                    return places.withLock { places in
                        places.count -= 1
                        places.spare.append(worker)
                        return places.count
                    }
                }
            }
        }
    }

    // MARK: The end

    /// No new ticket or job begins; each worker's thread ends after the job that it is in. Returns
    /// at once.
    package func stop() {
        // Release: pairs with the acquiring load in `stopWord`.
        stopping.store(true, ordering: .releasing)
        // Sequentially consistent: between that and who is parked; see `Parking`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let spare = places.withLock { places -> [Worker] in
            places.isStopping = true
            for worker in places.spare { worker.sleeper.pick() }
            defer { places.spare = [] }
            return places.spare
        }
        for worker in spare { worker.sleeper.wake() }
        parking.wakeAll()
        executor.stop()
    }

    /// Waits until all of the workers' threads have ended. Not from one of them.
    package func join() {
        precondition(Worker.current?.pool !== self, "a worker cannot wait for its own end")
        while let handle = places.withLock({ $0.handles.popLast() }) { handle.join() }
    }

    // MARK: A worker's life

    private enum Found {
        case ticket(Ticket)
        case tasks
    }

    private func startThread(of worker: Worker) throws(ThreadError) {
        let result = places.withLock { places -> Result<Void, ThreadError> in
            do throws(ThreadError) {
                // Before the start, so that the thread itself, who steals first of all from the one whose
                // place it takes, counts everybody. Relaxed: written under the lock; see `steal`.
                reach.store(
                    max(reach.load(ordering: .relaxed), worker.index + 1), ordering: .relaxed)
                let handle = try PoolThread.start("\(name)-\(worker.index)") { self.live(worker) }
                places.started.insert(worker.index)
                places.handles.append(handle)
                return .success(())
            } catch { return .failure(error) }
        }
        try result.get()
    }

    private func live(_ worker: Worker) {
        PoolThread.setCurrent(worker)
        source.didStart(worker)
        while !stopWord {
            if retire(worker) { continue }
            if let found = look(worker) {
                begin(found, on: worker)
            } else {
                searchAndPark(worker)
            }
        }
        // Whoever counted on this worker's next look is told to count on another.
        if executor.hasJobs { executor.jobsArrived() }
        source.willEnd(worker)
        worker.context = nil
        PoolThread.setCurrent(nil)
    }

    private func look(_ worker: Worker) -> Found? {
        if stopWord { return nil }
        if executor.hasJobs { return .tasks }
        if let ticket = ring.pop() { return .ticket(ticket) }
        if let ticket = source.claim(for: worker) { return .ticket(ticket) }
        if steals, let ticket = steal(worker) { return .ticket(ticket) }
        return nil
    }

    /// From the next one on, so that thieves spread. A spare worker's rest counts too: its thread
    /// may be blocked.
    private func steal(_ thief: Worker) -> Ticket? {
        // Relaxed: stored before the victim's thread was started. It loaded its rest later, and the
        // fences of `workArrived` and `announce` put our look after that.
        let reach = reach.load(ordering: .relaxed)
        for step in 1..<max(reach, 1) {
            let index = thief.index + step
            let victim = workers[index < reach ? index : index - reach]
            if let ticket = victim.rest.steal() { return ticket }
        }
        return nil
    }

    /// For a worker that is busy: nobody counts on its search.
    private func begin(_ found: Found, on worker: Worker) {
        switch found {
        case .tasks: runTasks(on: worker)
        case .ticket(let ticket):
            worker.rest.load(ticket)
            if ticket.count > 1 { parking.workArrived() }
            run(worker)
        }
    }

    /// For a worker that is searching: its ticket is loaded first, so that whom it wakes can steal
    /// of it.
    private func settle(_ found: Found, on worker: Worker) {
        switch found {
        case .tasks:
            settle(more: false)
            runTasks(on: worker)
        case .ticket(let ticket):
            worker.rest.load(ticket)
            settle(more: ticket.count > 1)
            run(worker)
        }
    }

    private func settle(more: Bool) {
        parking.settle(more: { more || !ring.isEmpty })
        if executor.hasJobs { executor.jobsArrived() }
    }

    private func run(_ worker: Worker) {
        while !worker.rest.isEmpty && !stopWord { source.run(on: worker) }
    }

    private func runTasks(on worker: Worker) {
        // Only as many as wait now: tasks that go on for ever must not keep the tickets waiting.
        let nested = worker.isAttending
        worker.isAttending = true
        executor.runJobs(limit: executor.jobsWaiting)
        worker.isAttending = nested
    }

    private func searchAndPark(_ worker: Worker) {
        if parking.search(), let found = spin(worker) { return settle(found, on: worker) }
        while !stopWord {
            // One too many: `live` lets it go, if it is that still.
            if hasSurplus { return settle(more: true) }
            let role = parking.announce(worker.sleeper)
            let seen = bell.value
            if let found = look(worker) {
                parking.leave(worker.sleeper)
                return settle(found, on: worker)
            }
            if !stopWord {
                source.willPark(worker)
                let deadline = role == .sentinel ? source.nextDeadline() : nil
                parking.wait(worker.sleeper, as: role, whileBellAt: seen, until: deadline)
            }
            parking.leave(worker.sleeper)
            if hasSurplus { continue }
            if let found = look(worker) { return settle(found, on: worker) }
        }
        settle(more: false)
    }

    /// Looks on for a while, at words in memory only, and asks the source when the bell has moved.
    private func spin(_ worker: Worker) -> Found? {
        if spinNanoseconds == 0 { return nil }
        let end = petiole_steady_time() + spinNanoseconds
        var seen = bell.value
        repeat {
            // The ring after each pause, the clock and the bell after thirty-two.
            for _ in 0..<32 {
                if !ring.isEmpty || executor.hasJobs, let found = look(worker) { return found }
                petiole_pause()
            }
            let value = bell.value
            if value != seen {
                seen = value
                if let found = look(worker) { return found }
            }
        } while petiole_steady_time() < end && !stopWord
        return nil
    }

    // MARK: Places

    /// If there is a thread too many, waits among the spare ones until it is given a place. False:
    /// it keeps its place.
    private func retire(_ worker: Worker) -> Bool {
        if !hasSurplus { return false }
        let retires = places.withLock { places -> Bool in
            if places.surplus == 0 || places.isStopping { return false }
            places.surplus -= 1
            setHint(places)
            worker.sleeper.reset()
            places.spare.append(worker)
            return true
        }
        if !retires { return false }
        source.willPark(worker)
        worker.sleeper.wait()
        places.withLock { _ in worker.sleeper.reset() }
        return true
    }

    private var hasSurplus: Bool {
        // Relaxed: a hint; the lock decides.
        surplusHint.load(ordering: .relaxed) != 0
    }

    private func countBlocked() -> Bool {
        places.withLock { places -> Bool in
            if places.blocked + places.surplus >= spareLimit { return false }
            places.blocked += 1
            return true
        }
    }

    /// Gives the place away. False: no thread could take it.
    private func leavePlace() -> Bool {
        enum Step { case refused, left, wake(Worker), start(Worker) }
        let step = places.withLock { places -> Step in
            // A thread too many takes this place, and while the pool stops nobody needs it.
            if places.surplus > 0 || places.isStopping {
                places.surplus = max(0, places.surplus - 1)
                places.blocked += 1
                setHint(places)
                return .left
            }
            guard places.blocked < spareLimit, let worker = places.spare.popLast() else {
                return .refused
            }
            places.blocked += 1
            if !places.started.contains(worker.index) { return .start(worker) }
            worker.sleeper.pick()
            return .wake(worker)
        }
        switch step {
        case .refused: return false
        case .left: return true
        case .wake(let worker):
            worker.sleeper.wake()
            return true
        case .start(let worker): return startSpare(worker)
        }
    }

    private func startSpare(_ worker: Worker) -> Bool {
        do throws(ThreadError) {
            try startThread(of: worker)
            return true
        } catch {
            // The caller is told by nil, and keeps its place.
            places.withLock { places in
                places.blocked -= 1
                places.spare.append(worker)
            }
            return false
        }
    }

    private func goOnWithoutPlace() {
        places.withLock { places in
            places.blocked -= 1
            places.surplus += 1
            setHint(places)
        }
    }

    private func setHint(_ places: borrowing Places) {
        // Relaxed: a hint; see `retire`.
        surplusHint.store(places.surplus, ordering: .relaxed)
    }
}
