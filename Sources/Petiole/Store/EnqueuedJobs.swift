/// Jobs that were accepted together: their handles, in the order in which they were given.
public struct EnqueuedJobs<Output: Codable & Sendable>: RandomAccessCollection, Sendable {
    /// The store that the jobs lie in.
    public let store: JobStore
    private let ranges: [(start: Int, first: UInt64, count: UInt64)]
    private let codec: PayloadCodec
    /// How many there are.
    public let count: Int
    /// How many of them this enqueue has accepted; the others held their unique keys before.
    public let acceptedCount: Int
    /// The first of those.
    let firstAccepted: JobID?

    /// Jobs whose ids follow each other from `first` on, but for those that were there already.
    init(
        store: JobStore, first: UInt64, count: UInt64, existing: [ExistingJob], codec: PayloadCodec
    ) {
        let accepted = count - UInt64(existing.count)
        var ranges: [(first: UInt64, count: UInt64)] = []
        func add(_ first: UInt64, _ count: UInt64) {
            if count == 0 { return }
            if let last = ranges.last, last.first + last.count == first {
                ranges[ranges.count - 1].count += count
            } else {
                ranges.append((first, count))
            }
        }
        var next: UInt64 = 0
        var id = first
        for job in existing {
            add(id, UInt64(job.index) - next)
            id += UInt64(job.index) - next
            add(job.id, 1)
            next = UInt64(job.index) + 1
        }
        add(id, count - next)
        self.init(
            store: store, ranges: ranges, codec: codec, acceptedCount: Int(accepted),
            firstAccepted: accepted == 0 ? nil : JobID(rawValue: first))
    }

    init(store: JobStore, ranges: [(first: UInt64, count: UInt64)], codec: PayloadCodec) {
        self.init(
            store: store, ranges: ranges, codec: codec,
            acceptedCount: ranges.reduce(0) { $0 + Int($1.count) },
            firstAccepted: ranges.first.map { JobID(rawValue: $0.first) })
    }

    private init(
        store: JobStore, ranges: [(first: UInt64, count: UInt64)], codec: PayloadCodec,
        acceptedCount: Int, firstAccepted: JobID?
    ) {
        self.acceptedCount = acceptedCount
        self.firstAccepted = firstAccepted
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
