import PetioleDispatch
import Synchronization

/// The ranges that this process has claimed from, by tag. Claims add to it, the writer brings it up to date.
final class ProgressTable: Sendable {
    private struct State {
        var ranges: [UInt32: RangeProgress] = [:]
        var nextTag: UInt32 = 1
    }
    private let state = Mutex(State())

    /// Begins to follow a range. Tags have 31 bits, and are not used again before all others.
    func add(_ progress: RangeProgress) -> UInt32 {
        state.withLock { state in
            let tag = state.nextTag
            state.nextTag = state.nextTag == Ticket.wholeBit - 1 ? 1 : state.nextTag + 1
            state.ranges[tag] = progress
            return tag
        }
    }

    subscript(tag: UInt32) -> RangeProgress? { state.withLock { $0.ranges[tag] } }

    /// Takes over what a commit has made of them; what is settled needs no more following.
    func update(_ changed: [UInt32: RangeProgress]) {
        if changed.isEmpty { return }
        state.withLock { state in
            for (tag, progress) in changed {
                state.ranges[tag] = progress.isSettled ? nil : progress.written
            }
        }
    }

    /// Forgets what a runner has claimed, when it gives its queue up.
    func forget(queue: UInt32) {
        state.withLock { state in state.ranges = state.ranges.filter { $0.value.queue != queue } }
    }

    var count: Int { state.withLock { $0.ranges.count } }
}
