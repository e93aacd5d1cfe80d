import Dispatch
import DispatchLoops
import Synchronization

/// Handing work from one thread to another, without the store.
extension Family {
    static let ring = Family(name: "ring") { setup in
        let hops = setup.count(50_000_000, quick: 2_000_000)
        let jobs = setup.count(10_000_000, quick: 500_000)
        var queues: [Figure] = []
        var hop: [Figure] = []
        var runs: [Figure] = []
        var ones: [Figure] = []
        for _ in 0..<setup.rounds {
            queues.append(dispatchQueue(jobs / 4))
            hop.append(rate(hops, in: ringHop(count: hops)))
            runs.append(rate(jobs, in: try poolJobs(count: jobs, perTicket: 64)))
            ones.append(rate(jobs / 4, in: try poolJobs(count: jobs / 4, perTicket: 1)))
        }
        let queue = Yardstick("DispatchQueue.async", queues.highest)
        return [
            Row(
                name: "ring hop, one producer, one consumer",
                figure: hop.highest, yardstick: queue,
                target: .atLeast(Figure(30e6, .perSecond))),
            Row(
                name: "sync job through ring and pool, tickets of 64",
                figure: runs.highest,
                yardstick: queue, target: .atLeast(Figure(5e6, .perSecond))),
            Row(
                name: "sync job through ring and pool, tickets of 1",
                figure: ones.highest,
                yardstick: queue),
        ]
    }

    /// Empty blocks handed to a serial queue, until the last has run.
    private static func dispatchQueue(_ count: Int) -> Figure {
        let queue = DispatchQueue(label: "petiole.bench")
        let ran = Counter()
        let elapsed = ContinuousClock().measure {
            for _ in 0..<count { queue.async { ran.add() } }
            queue.sync {}
        }
        precondition(ran.value == count, "a block was lost")
        return rate(count, in: elapsed)
    }

    private static func rate(_ count: Int, in elapsed: Duration) -> Figure {
        Figure(Double(count) / elapsed.inSeconds, .perSecond)
    }
}

/// Counts what ran, so that the work cannot be left out.
private final class Counter: Sendable {
    private let count = Atomic(0)

    // Relaxed: the queue's own synchronisation orders the last addition before the reading.
    func add() { count.wrappingAdd(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}

extension [Figure] {
    fileprivate var highest: Figure { self.max { $0.value < $1.value }! }
}
