/// Jobs that were accepted together: their handles, in the order in which they were given.
public struct EnqueuedJobs<Output: Codable & Sendable>: RandomAccessCollection, Sendable {
    /// The store that the jobs lie in.
    public let store: JobStore
    private let ranges: [(start: Int, first: UInt64, count: UInt64)]
    private let codec: PayloadCodec
    /// How many there are.
    public let count: Int

    init(store: JobStore, ranges: [(first: UInt64, count: UInt64)], codec: PayloadCodec) {
        self.store = store
        self.codec = codec
        var placed: [(Int, UInt64, UInt64)] = []
        var count = 0
        for range in ranges {
            placed.append((count, range.first, range.count))
            count += Int(range.count)
        }
        self.ranges = placed
        self.count = count
    }

    /// 0.
    public var startIndex: Int { 0 }
    /// ``count``.
    public var endIndex: Int { count }

    /// The handle of a job. Cost: O(log *n*) in the transactions that it took to accept all, mostly one.
    public subscript(index: Int) -> JobHandle<Output> {
        precondition(index >= 0 && index < count, "there are \(count) jobs, not \(index + 1)")
        var low = 0
        var high = ranges.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if ranges[middle].start <= index { low = middle } else { high = middle }
        }
        let range = ranges[low]
        return JobHandle(
            store: store, id: JobID(rawValue: range.first + UInt64(index - range.start)),
            codec: codec)
    }

    /// The ids as ranges of consecutive numbers.
    public var idRanges: [ClosedRange<UInt64>] {
        ranges.map { $0.first...($0.first + $0.count - 1) }
    }
}
