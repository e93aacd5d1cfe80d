import PetioleStorage

/// The results of a group's members, in their order. Read from the store some thousand at a time while they are gone through:
/// however many there are, they take no memory.
public struct MemberResults<Member: Codable & Sendable>: Sequence, Sendable {
    let store: JobStore
    let ranges: [IDRange]

    /// How many members there are.
    public var count: Int { ranges.reduce(0) { $0 + Int($1.count) } }
    /// As ``count``.
    public var underestimatedCount: Int { count }

    /// Goes through them from the first on.
    public func makeIterator() -> Iterator { Iterator(store: store, ranges: ranges) }

    /// Gives a result, or why there is none: a member that did not succeed, where the group went on, or one that cannot be read.
    public struct Iterator: IteratorProtocol {
        private let store: JobStore
        private let batch: ResultBatch
        private let isNone = Member.self == NoResult.self
        private let isBytes = Member.self == [UInt8].self

        init(store: JobStore, ranges: [IDRange]) {
            self.store = store
            batch = ResultBatch(store, ranges)
        }

        /// The next one; nil after the last.
        public mutating func next() -> Result<Member, JobError>? {
            guard let item = batch.next() else { return nil }
            let id = JobID(rawValue: item.id)
            // What is not simply a result in its block is read as any job's.
            guard let form = item.form else {
                return JobHandle<Member>(store: store, id: id, codec: .compact).ended()
            }
            if isNone, let none = NoResult() as? Member { return .success(none) }
            // The two types are the same, and a cast would look that up each time.
            if isBytes, form == .raw {
                return .success(unsafeBitCast(Array(item.bytes), to: Member.self))
            }
            do throws(CodecError) {
                return .success(try form.decode(Member.self, from: item.bytes))
            } catch {
                return .failure(.undecodable(id, reason: error.description))
            }
        }
    }
}

/// Bytes of results, copied out of the store many at a time: all that can be done without their type.
private final class ResultBatch {
    struct Item {
        var id: UInt64
        /// Nil: it is to be read in another way.
        var form: PayloadCodec?
        /// Good until the next one is asked for.
        var bytes: UnsafeRawBufferPointer
    }
    private struct Place {
        var form: PayloadCodec?
        var start: Int
        var count: Int
    }
    private let store: JobStore
    private var ranges: ArraySlice<IDRange>
    private var bytes = ByteWriter(capacity: 64 << 10)
    private var places: [Place] = []
    private var first: UInt64 = 0
    private var given = 0

    /// So many in one view, or as many as have so many bytes.
    private static let limit = 4_096
    private static let byteLimit = 1 << 20

    init(_ store: JobStore, _ ranges: [IDRange]) {
        self.store = store
        self.ranges = ranges[...]
    }

    func next() -> Item? {
        if given == places.count { fill() }
        guard given < places.count else { return nil }
        let place = places[given]
        let id = first + UInt64(given)
        given += 1
        return Item(
            id: id, form: place.form,
            bytes: UnsafeRawBufferPointer(start: bytes.base + place.start, count: place.count))
    }

    private func fill() {
        bytes.removeAll()
        places.removeAll(keepingCapacity: true)
        given = 0
        guard let range = ranges.first else { return }
        first = range.first
        let wanted = min(range.count, UInt64(Self.limit))
        do throws(StoreError) {
            try store.open.read { (reader) throws(StorageError) in
                try read(IDRange(first: range.first, count: wanted), reader)
            }
        } catch {
            // Each is read by itself then, and tells its own.
            places = Array(repeating: Place(form: nil, start: 0, count: 0), count: Int(wanted))
        }
        let count = UInt64(places.count)
        if count == range.count {
            ranges.removeFirst()
        } else {
            ranges[ranges.startIndex] = IDRange(
                first: range.first + count, count: range.count - count)
        }
    }

    private func read(_ range: IDRange, _ reader: Reader) throws(StorageError) {
        places.removeAll(keepingCapacity: true)
        bytes.removeAll()
        var id = range.first
        while id < range.end, bytes.count < Self.byteLimit {
            guard let block = try Lookup.outcomes(id, reader, store.open.tables) else {
                places.append(Place(form: nil, start: 0, count: 0))
                id += 1
                continue
            }
            let end = min(block.end, range.end)
            while id < end, bytes.count < Self.byteLimit {
                // What cannot be read says so when it is read alone.
                if let entry = try? block.entry(id), entry.state == .succeeded,
                    !entry.isResultDiscarded, let form = PayloadCodec(storedID: entry.codec)
                {
                    places.append(
                        Place(form: form, start: bytes.count, count: entry.result.count))
                    bytes.append(contentsOf: entry.result)
                } else {
                    places.append(Place(form: nil, start: 0, count: 0))
                }
                id += 1
            }
        }
    }
}

extension JobHandle {
    /// The result of a job that has ended.
    func endedResult() throws -> Output {
        if let end = store.endIfThere(id) { return try end.flatMap { Result { try read() } }.get() }
        throw JobError.noSuchJob(id)
    }

    func ended() -> Result<Output, JobError> {
        do { return .success(try endedResult()) } catch let error as JobError {
            return .failure(error)
        } catch {
            // It throws nothing else.
            return .failure(.undecodable(id, reason: "\(error)"))
        }
    }
}
