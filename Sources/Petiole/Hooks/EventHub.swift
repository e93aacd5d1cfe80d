import Logging
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// How listeners hear of transitions
//
// The writer gathers notes while it commits, and gives them to the hub when the commit is durable; workers give it the starts
// of attempts. A thread of the hub's own makes events of notes (it looks up names and metadata) and calls the listeners.
//
// Order. Of one job a listener hears what happened in the order in which it did. The steps that are committed come from one
// thread. A start comes from a worker:
//
//     writer                                worker
//     commits the job's acceptance
//                                           sees it in a new view, starts the job
//                                           gives "started"
//     gives "queued"                        ← would be heard second
//
// So a start that is given while a commit is under way is held back until that commit has given its notes. What follows from
// the attempt cannot be part of that commit: it was not handed over yet when its batch was taken.

/// What happened, before it is an event.
enum EventNote: Sendable {
    case queued(first: UInt64, count: UInt64, due: Int64, at: Int64)
    case ended([(id: UInt64, outcome: Outcome)])
    case other(id: UInt64, JobStep.Kind, attempt: Int, at: Int64)

    var count: Int {
        switch self {
        case .queued(_, let count, _, _): Int(clamping: count)
        case .ended(let ended): ended.count
        case .other: 1
        }
    }
}

/// Brings what happens in a store to those who listen.
final class EventHub: Sendable {
    /// Some 100 MiB at most.
    static let limit = 1 << 20

    private struct State {
        var listeners: [(token: Int, listener: JobListener, logger: Logger)] = []
        var nextToken = 1
        var notes: [EventNote] = []
        /// Starts that were given while a commit is under way.
        var heldBack: [EventNote] = []
        var isCommitting = false
        /// Events in `notes` and `heldBack`.
        var waiting = 0
        /// Events left out since the last that was taken.
        var missed = 0
        /// Notes given and notes told, ever.
        var given = 0
        var told = 0
        var hasThread = false
        var thread: pthread_t?
    }

    private let state = Mutex(State())
    private let arrivals = SharedWord()
    private let deliveries = SharedWord()
    private let isListeningFlag = Atomic<Bool>(false)

    /// Whether anybody listens: asked once a commit.
    var isListening: Bool {
        // Relaxed: who begins to listen hears of what happens from some moment on.
        isListeningFlag.load(ordering: .relaxed)
    }

    // MARK: Listening

    /// Adds listeners, in their order behind those that are there.
    /// - Returns: what ``remove(_:)`` takes.
    func add(_ listeners: [JobListener], _ logger: Logger, _ store: OpenStore) -> [Int] {
        if listeners.isEmpty { return [] }
        let (tokens, isFirst) = state.withLock { state -> ([Int], Bool) in
            var tokens: [Int] = []
            for listener in listeners {
                state.listeners.append((state.nextToken, listener, logger))
                tokens.append(state.nextToken)
                state.nextToken += 1
            }
            setFlag(state)
            defer { state.hasThread = true }
            return (tokens, !state.hasThread)
        }
        if isFirst { OSThread.start(named: "petiole-events") { [self] in work(store) } }
        return tokens
    }

    /// Takes listeners out when they have been told of all that happened before.
    func remove(_ tokens: [Int]) {
        if tokens.isEmpty { return }
        drain()
        let isLast = state.withLock { state in
            state.listeners.removeAll { tokens.contains($0.token) }
            setFlag(state)
            return state.listeners.isEmpty
        }
        guard isLast else { return }
        arrivals.add(1)
        arrivals.wakeAll()
    }

    /// Under the lock: else the last to go could say so of one who has come since, and nobody would ever tell that one.
    private func setFlag(_ state: borrowing State) {
        // Relaxed: as above.
        isListeningFlag.store(!state.listeners.isEmpty, ordering: .relaxed)
    }

    /// Waits until listeners have been told of all that was given so far. Not for the listeners' own thread, where it does nothing.
    func drain() {
        let target = state.withLock { state -> Int? in
            if let thread = state.thread, pthread_equal(thread, pthread_self()) != 0 { return nil }
            return state.given
        }
        guard let target else { return }
        while true {
            let turn = deliveries.value
            if state.withLock({ $0.told >= target || !$0.hasThread }) { return }
            deliveries.wait(while: turn)
        }
    }

    // MARK: Giving

    /// A commit begins: starts are held back until it has given its notes.
    func beginCommit() { state.withLock { $0.isCommitting = true } }

    /// The commit is durable, or has failed: then there are no notes.
    func endCommit(_ notes: [EventNote]) {
        state.withLock { state in
            state.isCommitting = false
            let heldBack = state.heldBack
            state.heldBack = []
            for note in notes { Self.add(note, to: &state) }
            for note in heldBack {
                state.waiting -= 1
                Self.add(note, to: &state)
            }
        }
        arrivals.add(1)
        arrivals.wakeAll()
    }

    /// An attempt begins.
    func started(_ id: UInt64, attempt: Int, at: Int64) {
        let note = EventNote.other(id: id, .started, attempt: attempt, at: at)
        let isHeldBack = state.withLock { state -> Bool in
            guard state.isCommitting else {
                Self.add(note, to: &state)
                return false
            }
            if state.waiting >= Self.limit {
                state.missed += 1
            } else {
                state.heldBack.append(note)
                state.waiting += 1
            }
            return true
        }
        if isHeldBack { return }
        arrivals.add(1)
        arrivals.wakeAll()
    }

    private static func add(_ note: EventNote, to state: inout State) {
        if state.listeners.isEmpty { return }
        // One note is taken whatever its size, so that a million jobs at once are not left out.
        guard state.waiting == 0 || state.waiting + note.count <= limit else {
            return state.missed += note.count
        }
        state.notes.append(note)
        state.waiting += note.count
        state.given += 1
    }

    // MARK: Telling

    private func work(_ store: OpenStore) {
        state.withLock { $0.thread = pthread_self() }
        while true {
            // Read before looking: what comes in between makes the wait return at once.
            let seen = arrivals.value
            let (notes, missed, isOver) = state.withLock { state -> ([EventNote], Int, Bool) in
                if state.notes.isEmpty, state.listeners.isEmpty {
                    state.hasThread = false
                    state.thread = nil
                    return ([], 0, true)
                }
                // What was left out is said with the next note that is taken.
                if state.notes.isEmpty { return ([], 0, false) }
                defer {
                    state.notes = []
                    state.missed = 0
                }
                return (state.notes, state.missed, false)
            }
            if isOver { break }
            if notes.isEmpty {
                arrivals.wait(while: seen)
                continue
            }
            tell(notes, missed: missed, store)
        }
        deliveries.add(1)
        deliveries.wakeAll()
    }

    private func tell(_ notes: [EventNote], missed: Int, _ store: OpenStore) {
        var missed = missed
        if missed > 0 {
            for (_, _, logger) in state.withLock({ $0.listeners }) {
                logger.warning(
                    "listeners are too slow: events were left out",
                    metadata: ["events": "\(missed)"])
            }
        }
        for note in notes {
            EventMaker.forEachEvent(of: note, missed: &missed, store) { event in
                for (_, listener, logger) in state.withLock({ $0.listeners }) {
                    do { try listener.hear(event) } catch {
                        logger.warning(
                            "a listener threw",
                            metadata: ["job": "\(event.job)", "error": "\(error)"])
                    }
                }
            }
            state.withLock { state in
                state.waiting -= note.count
                state.told += 1
            }
            deliveries.add(1)
            deliveries.wakeAll()
        }
    }
}

/// Makes events of notes: looks up what they do not hold.
enum EventMaker {
    /// Jobs looked up in one view.
    private static let pageSize: UInt64 = 256

    static func forEachEvent(
        of note: EventNote, missed: inout Int, _ store: OpenStore, _ tell: (JobStep) -> Void
    ) {
        switch note {
        case .queued(let first, let count, let due, let at):
            var next = first
            while next < first + count {
                let end = min(next + pageSize, first + count)
                let about = describe(Array(next..<end), store)
                for id in next..<end {
                    tell(
                        event(
                            id, .queued(due: due > 0 ? WallTime(microseconds: due) : nil),
                            attempt: 0, at: at, about[Int(id - next)], &missed))
                }
                next = end
            }
        case .ended(let ended):
            var rest = ended[...]
            while !rest.isEmpty {
                let page = rest.prefix(Int(pageSize))
                let about = describe(page.map { $0.id }, store)
                for (index, (id, outcome)) in page.enumerated() {
                    tell(
                        event(
                            id, .ended(outcome), attempt: outcome.attempt,
                            at: outcome.endedAt.microseconds,
                            about[index], &missed))
                }
                rest = rest.dropFirst(page.count)
            }
        case .other(let id, let kind, let attempt, let at):
            tell(event(id, kind, attempt: attempt, at: at, describe([id], store)[0], &missed))
        }
    }

    private struct About {
        var name = "?"
        var queue = "?"
        var metadata = JobMetadata()
    }

    private static func event(
        _ id: UInt64, _ kind: JobStep.Kind, attempt: Int, at: Int64, _ about: About,
        _ missed: inout Int
    ) -> JobStep {
        defer { missed = 0 }
        return JobStep(
            job: JobID(rawValue: id), name: about.name, queue: about.queue,
            metadata: about.metadata, kind: kind, attempt: attempt,
            at: WallTime(microseconds: at), missedBefore: missed)
    }

    /// A job that was pruned meanwhile, or cannot be read, keeps its question marks: listeners are told all the same.
    private static func describe(_ ids: [UInt64], _ store: OpenStore) -> [About] {
        var found = [(name: UInt32, queue: UInt32, metadata: JobMetadata)?](
            repeating: nil, count: ids.count)
        let names = JobStore(store)
        // What cannot be read is not known.
        try? store.read { (reader) throws(StorageError) in
            var block: JobBlockView?
            for (index, id) in ids.enumerated() {
                if block?.contains(id) != true {
                    block = try Lookup.block(id, reader, store.tables)
                }
                // As above.
                guard let block, let entry = try? block.entry(id) else { continue }
                // As above.
                let options = try? entry.options()
                found[index] = (entry.meta.name, block.queue, options?.metadata ?? JobMetadata())
            }
        }
        return found.map { item in
            guard let item else { return About() }
            // As above.
            let name = (try? names.jobName(item.name)) ?? "?"
            let queue = (try? names.queueName(item.queue)) ?? "?"
            return About(name: name, queue: queue, metadata: item.metadata)
        }
    }
}
