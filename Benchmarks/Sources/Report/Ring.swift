import Dispatch
import Synchronization

/// Handing work from one thread to another, without the store.
extension Family {
    static let ring = Family(name: "ring") { setup in
        let count = setup.count(5_000_000, quick: 300_000)
        return [
            Row(name: "DispatchQueue.async, serial, one producer", figure: dispatchQueue(count))
        ]
    }

    /// Empty blocks handed to a serial queue, until the last has run.
    private static func dispatchQueue(_ count: Int) -> Figure {
        let queue = DispatchQueue(label: "petiole.bench")
        let ran = Counter()
        let clock = ContinuousClock()
        let elapsed = clock.measure {
            for _ in 0..<count { queue.async { ran.add() } }
            queue.sync {}
        }
        precondition(ran.value == count, "a block was lost")
        return Figure(Double(count) / elapsed.inSeconds, .perSecond)
    }
}

/// Counts what ran, so that the work cannot be left out.
private final class Counter: Sendable {
    private let count = Atomic(0)

    // Relaxed: the queue's own synchronisation orders the last addition before the reading.
    func add() { count.wrappingAdd(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}
