import PetioleStorage
import Synchronization

extension JobStore {
    /// The ids whose outcomes this process records from now on, in the order of the commits, each told when it is durable.
    /// Jobs that other processes run show in ``countsStream()``.
    ///
    /// What a slow reader has not taken is kept, 16 bytes a run of ids.
    public func recordedOutcomes() -> AsyncStream<ClosedRange<UInt64>> {
        let observers = open.writer.observers
        return AsyncStream { continuation in
            let token = observers.add { ended in
                for range in ended {
                    continuation.yield(range.first...(range.first + range.count - 1))
                }
            }
            continuation.onTermination = { _ in observers.remove(token) }
        }
    }

    /// The store's counts, now and whenever a commit of any process has changed them; what comes faster than it is read is
    /// left out. Costs a thread while it is read.
    public func countsStream() -> AsyncStream<JobCounts> {
        let store = JobStore(open)
        return AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let isOver = SharedFlag()
            let signals = store.open.signals
            continuation.onTermination = { _ in
                isOver.set()
                signals.counted.ring()
            }
            OSThread.start(named: "petiole-counts") {
                var last: JobCounts?
                while true {
                    // Read before looking, at the flag too: what comes in between makes the wait return at once.
                    let seen = signals.counted.value
                    if isOver.isSet { break }
                    // The stream ends with the store.
                    guard let counts = try? store.counts() else { break }
                    if counts != last { continuation.yield(counts) }
                    last = counts
                    signals.counted.wait(whileAt: seen)
                }
                continuation.finish()
            }
        }
    }

    /// Outcomes of consecutive ids, read in place: the bytes are lent for each call. For who checks or exports many.
    /// - Parameter visit: gets the id, the outcome and the result's bytes; returns whether to go on.
    /// - Complexity: O(outcomes from `first` to `last`); some 30 ns each when they lie in long runs.
    public func forEachOutcome(
        from first: JobID, through last: JobID,
        _ visit: (JobID, Outcome.Kind, RawSpan) -> Bool
    ) throws(StoreError) {
        let open = open
        var next = first.rawValue
        while next <= last.rawValue {
            let isLast = try open.read { (reader) throws(StorageError) -> Bool in
                let revised = try RevisedOutcomes(reader, open.tables, from: next)
                let cursor = try reader.cursor(open.tables.outcomes)
                var entry = try cursor.floor(Key(next))
                if entry == nil { entry = try cursor.ceiling(Key(next)) }
                var blocks = 0
                // Two tables in one order of ids.
                while true {
                    var block: OutcomeBlockView?
                    if let (key, value) = entry {
                        block = try formatted { () throws(FormatError) in
                            try OutcomeBlockView(first: key.bigEndian(at: 0), value: value)
                        }
                    }
                    let single = revised.current
                    let isSingle =
                        single.map { $0.first <= max(next, block?.first ?? .max) } ?? false
                    guard let run = isSingle ? single : block, run.first <= last.rawValue else {
                        return true
                    }
                    let end = isSingle ? run.end : min(run.end, single?.first ?? .max)
                    var id = max(next, run.first)
                    while id < end, id <= last.rawValue {
                        let outcome = try formatted { () throws(FormatError) in try run.entry(id) }
                        next = id + 1
                        guard
                            visit(
                                JobID(rawValue: id), Outcome.Kind(outcome.state),
                                RawSpan(_unsafeBytes: outcome.result))
                        else { return true }
                        id += 1
                    }
                    if next > last.rawValue { return true }
                    blocks += 1
                    // A view for each thousand blocks, so that a long reading does not keep freed pages from being reused.
                    if blocks == 1_024 { return false }
                    if isSingle {
                        try revised.advance()
                    } else if end == run.end {
                        entry = try cursor.next()
                    }
                }
            }
            if isLast { return }
        }
    }
}

/// Outcomes that were revised, one at a time in the order of their ids, within one view.
private final class RevisedOutcomes {
    private let cursor: Cursor
    private(set) var current: OutcomeBlockView?

    init(_ reader: Reader, _ tables: StoreTables, from first: UInt64) throws(StorageError) {
        cursor = try reader.cursor(tables.revised)
        try take(try cursor.ceiling(Key(first)))
    }

    func advance() throws(StorageError) { try take(try cursor.next()) }

    private func take(_ entry: Cursor.Entry?) throws(StorageError) {
        current = nil
        guard let (key, value) = entry else { return }
        current = try formatted { () throws(FormatError) in
            try OutcomeBlockView(first: key.bigEndian(at: 0), value: value)
        }
    }
}

/// Who is told of what this process records.
final class CommitObservers: Sendable {
    typealias Observer = @Sendable ([(first: UInt64, count: UInt64)]) -> Void
    private let state = Mutex<(next: Int, observers: [Int: Observer])>((0, [:]))

    func add(_ observer: @escaping Observer) -> Int {
        state.withLock { state in
            state.next += 1
            state.observers[state.next] = observer
            return state.next
        }
    }
    func remove(_ token: Int) { state.withLock { $0.observers[token] = nil } }

    /// Called on the writer's thread: observers only hand over.
    func tell(_ ended: [(first: UInt64, count: UInt64)]) {
        let observers = state.withLock { Array($0.observers.values) }
        for observer in observers { observer(ended) }
    }
}
