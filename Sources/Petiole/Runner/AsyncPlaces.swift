import CPetiole
import PetioleStorage
import Synchronization

// A job that awaits a job
//
// An asynchronous attempt in flight has a *place*, of which the runner's limit says how many there are, and a slot of
// `running`. While it awaits other jobs it gives its place to another, so that with one place a chain of jobs comes to its
// end; it keeps its slot, since it has begun: who cancels it must be told "stopping", not "will not start".
//
// So the slots bound how many wait. What must not happen: all slots held by attempts that wait, for jobs that need one.
// Therefore the last attempt in flight is refused to wait when no slot is left: it throws, and its job is postponed without
// an attempt being counted. It gives its slot up, and the next job in line takes it: mostly one that others wait for, else
// one more that is postponed, until one comes that can run.

/// The places of asynchronous attempts in flight, each with a slot of `running`.
final class AsyncPlaces: Sendable {
    let limit: Int
    private struct State {
        var inFlight = 0
        /// Begun and not ended: those in flight, and those that wait for other jobs.
        var begun = 0
        /// Slots given back, and those never used.
        var free: [AttemptSlot] = []
        var fresh: Range<Int> = 0..<0
        var hasSlot: Bool { !free.isEmpty || !fresh.isEmpty }
        var slots: RunningSlots?
        var seat = 0
    }
    private let state = Mutex(State())
    private let idleWord = SharedWord()

    init(limit: Int) { self.limit = limit }

    /// Takes the slots of a seat from an index on.
    func useSlots(_ slots: RunningSlots, seat: Int, from index: Int) {
        state.withLock { state in
            state.slots = slots
            state.seat = seat
            state.fresh = index..<RunningSlots.slotsPerSeat
        }
    }

    var hasRoom: Bool { state.withLock { $0.inFlight < limit && $0.hasSlot } }

    /// Takes a place and a slot; nil when there is none.
    func take() -> AttemptSlot? {
        state.withLock { state in
            guard state.inFlight < limit, let slots = state.slots else { return nil }
            let slot: AttemptSlot
            if let free = state.free.popLast() {
                slot = free
            } else if let index = state.fresh.popFirst() {
                slots.use(seat: state.seat, upTo: index + 1)
                slot = slots.slot(seat: state.seat, index)
            } else {
                return nil
            }
            state.inFlight += 1
            state.begun += 1
            return slot
        }
    }

    /// Takes slots without a place, for the items of a batch: as many as there are, but for what the places that are free may
    /// need, and one at least. A batch may wait for asynchronous jobs, and nobody gives a slot back before it ends.
    func takeSlots(upTo count: Int) -> [AttemptSlot] {
        if count <= 0 { return [] }
        return state.withLock { state in
            guard let slots = state.slots else { return [] }
            var taken: [AttemptSlot] = []
            while taken.count < count,
                state.free.count + state.fresh.count > max(1, limit - state.inFlight)
            {
                if let free = state.free.popLast() {
                    taken.append(free)
                } else if let index = state.fresh.popFirst() {
                    slots.use(seat: state.seat, upTo: index + 1)
                    taken.append(slots.slot(seat: state.seat, index))
                } else {
                    break
                }
            }
            return taken
        }
    }

    /// Gives slots back that were taken without a place.
    func giveSlots(_ slots: [AttemptSlot]) {
        if slots.isEmpty { return }
        state.withLock { $0.free += slots }
    }

    /// Gives both back.
    func give(_ slot: AttemptSlot) {
        let isIdle = state.withLock { state in
            state.inFlight -= 1
            state.begun -= 1
            state.free.append(slot)
            return state.begun == 0
        }
        if isIdle {
            idleWord.add(1)
            idleWord.wakeAll()
        }
    }

    /// Gives the place up and keeps the slot. False, and nothing given up, for the last in flight when no slot is left.
    func leave() -> Bool {
        state.withLock { state in
            if state.inFlight <= 1, !state.hasSlot { return false }
            state.inFlight -= 1
            return true
        }
    }
    func comeBack() { state.withLock { $0.inFlight += 1 } }

    var inFlight: Int { state.withLock { $0.inFlight } }
    /// Attempts that have begun and not ended.
    var begun: Int { state.withLock { $0.begun } }

    /// Blocks the thread until no asynchronous attempt is left, or until a deadline in nanoseconds of the steady clock.
    func waitUntilIdle(deadline: Int64) -> Bool {
        while true {
            let turn = idleWord.value
            if state.withLock({ $0.begun == 0 }) { return true }
            if !idleWord.wait(while: turn, for: deadline - petiole_steady_time()) {
                return state.withLock { $0.begun == 0 }
            }
        }
    }
}

/// The place of the asynchronous attempt that the current task is part of. Tasks of one attempt share it: it is given up
/// while at least one of them waits.
final class AsyncPlace: Sendable {
    @TaskLocal static var current: AsyncPlace?
    private let core: RunnerCore
    private let job: UInt64
    /// Nil in a child process, whose slot is its runner's.
    private let slot: AttemptSlot?
    private let waiting = Mutex(0)

    /// - Parameter job: whose place it is, also where that is one of the runner's and this a child process.
    init(core: RunnerCore, job: UInt64, slot: AttemptSlot? = nil) {
        self.core = core
        self.job = job
        self.slot = slot
    }

    /// - Parameter id: what is waited for.
    /// - Throws: ``RunnerError/tooManyWaiting(limit:)`` when nobody would be left to run what is waited for.
    func leave(for id: JobID) throws(RunnerError) {
        let (hasLeft, isFirst) = waiting.withLock { waiting -> (Bool, Bool) in
            if waiting == 0, !(core.child?.leavePlace(job) ?? core.places.leave()) {
                return (false, false)
            }
            waiting += 1
            if waiting == 1, let slot { core.beginsToWait(job, slot) }
            return (true, waiting == 1)
        }
        guard hasLeft else { throw .tooManyWaiting(limit: core.places.begun) }
        core.stepper?.waits(for: id)
        if isFirst { core.pool?.lookAgain() }
    }

    func comeBack(from id: JobID) {
        waiting.withLock { waiting in
            waiting -= 1
            if waiting > 0 { return }
            if let slot { core.goesOn(job, slot) }
            if let child = core.child { child.comeBack(job) } else { core.places.comeBack() }
        }
        core.stepper?.comesBack(from: id)
    }
}
