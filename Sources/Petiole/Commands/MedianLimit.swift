import CPetiole
import Synchronization

/// A time limit that follows how long commands take: so many percent of the median run time of those that have succeeded, as
/// soon as there are three, and a second at least.
///
/// A command has the limit that is known when it starts. Those that start before any is known have the first one.
final class MedianLimit: Sendable {
    private struct State {
        var times = RunTimes()
        var limit: Duration?
        /// Commands that started before the limit was known: since when, by the steady clock.
        var early: [UInt64: (slot: AttemptSlot, startedAt: Int64)] = [:]
    }

    private let percent: Int
    private let state = Mutex(State())
    /// As GNU parallel has it.
    private static let leastCount = 3
    /// What takes milliseconds takes ten times as long now and then.
    private static let least = Duration.seconds(1)

    init(percent: Int) { self.percent = percent }

    func begin(
        _ id: UInt64, _ slot: AttemptSlot, _ deadlines: AttemptDeadlines, _ stoppables: Stoppables
    ) {
        let now = petiole_steady_time()
        let limit = state.withLock { state in
            if state.limit == nil { state.early[id] = (slot, now) }
            return state.limit
        }
        if let limit { deadlines.limit(id, slot, after: limit, from: now, stoppables) }
    }

    func end(
        _ id: UInt64, _ runTime: Duration, succeeded: Bool, _ deadlines: AttemptDeadlines,
        _ stoppables: Stoppables
    ) {
        let known = state.withLock { state in
            state.early[id] = nil
            guard succeeded else { return nil as (Duration, [UInt64: (AttemptSlot, Int64)])? }
            state.times.add(runTime)
            guard state.times.count >= Self.leastCount else { return nil }
            let limit = max(state.times.median * percent / 100, Self.least)
            state.limit = limit
            defer { state.early = [:] }
            return (limit, state.early.mapValues { ($0.slot, $0.startedAt) })
        }
        guard let (limit, early) = known else { return }
        for (id, (slot, startedAt)) in early {
            deadlines.limit(id, slot, after: limit, from: startedAt, stoppables)
        }
    }
}

/// How long commands took, counted in steps of about one percent, so that any number of them takes 32 KiB.
struct RunTimes {
    /// Of a number of microseconds, the step in which it is counted: the exponent, and the six bits behind the leading one.
    private var counts = [Int](repeating: 0, count: 64 * 64)
    private(set) var count = 0

    mutating func add(_ time: Duration) {
        counts[Self.step(time)] += 1
        count += 1
    }

    /// Zero when there are none; of an even number the greater of the two in the middle.
    var median: Duration {
        var before = 0
        for (step, some) in counts.enumerated() where some > 0 {
            before += some
            if before > count / 2 { return Self.time(step) }
        }
        return .zero
    }

    private static func step(_ time: Duration) -> Int {
        let (seconds, attoseconds) = time.components
        let microseconds = UInt64(
            clamping: min(max(seconds, -1), 1 << 40) * 1_000_000 + attoseconds / 1_000_000_000_000)
        if microseconds < 64 { return Int(microseconds) }
        let exponent = 63 - microseconds.leadingZeroBitCount
        return exponent * 64 + Int(microseconds >> (exponent - 6)) & 63
    }

    private static func time(_ step: Int) -> Duration {
        if step < 64 { return .microseconds(step) }
        let exponent = step / 64
        return .microseconds((64 + step % 64) << (exponent - 6))
    }
}
