import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The blocks that a run keeps in the store until they have ended: no more than so many at once, so that the disk does not fill
/// where what is read comes faster than the commands end. A thread of its own deletes those that have succeeded.
final class KeptBlocks: Sendable {
    private struct State {
        var ended: [ClosedRange<UInt64>] = []
        var isOver = false
        var whenDone: (@Sendable () -> Void)?
    }
    private let store: JobStore
    private let queue: String
    private let most: @Sendable () -> Int
    private let state = Mutex(State())
    /// Rung when a job has ended; and when its block was deleted.
    private let hasEnded: WakePipe
    private let hasRoom: WakePipe

    /// - Parameter most: unfinished blocks of the queue; asked for at each look, since the commands at once may change.
    init(_ store: JobStore, queue: String, most: @escaping @Sendable () -> Int) throws {
        self.store = store
        self.queue = queue
        self.most = most
        hasEnded = try WakePipe()
        hasRoom = try WakePipe()
    }

    /// - Returns: what to end it with.
    func start() -> Int {
        OSThread.start(named: "petiole-blocks") { self.work() }
        return store.observeOutcomes { range in
            let isFirst = self.state.withLock { state in
                defer { state.ended.add(range, atMost: 65_536) }
                return state.ended.isEmpty
            }
            if isFirst { self.hasEnded.ring() }
        }
    }

    /// Waits until there are less than the most; false when the run is to stop.
    func waitForRoom(stop: Int32) throws -> Bool {
        while try store.counts(queue: queue).unfinished >= most() {
            // Jobs that somebody else cancels end without a word to us, and how many may be there changes: looked at again.
            guard WaitForBytes.wait(hasRoom.reading, stop: stop, milliseconds: 1_000) else {
                return false
            }
            hasRoom.wait(milliseconds: 0)
        }
        return true
    }

    /// Waits until those that have ended so far are deleted.
    func finish(_ token: Int) async {
        store.stopObserving(token)
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            state.withLock { state in
                state.isOver = true
                state.whenDone = { continuation.resume() }
            }
            hasEnded.ring()
        }
    }

    private func work() {
        while true {
            let (ranges, whenDone) = state.withLock { state in
                defer { state.ended = [] }
                return (state.ended, state.isOver && state.ended.isEmpty ? state.whenDone : nil)
            }
            if let whenDone { return whenDone() }
            for range in ranges {
                for id in range { store.removeStoredInput(of: JobID(rawValue: id)) }
            }
            if ranges.isEmpty { hasEnded.wait(milliseconds: -1) } else { hasRoom.ring() }
        }
    }
}
