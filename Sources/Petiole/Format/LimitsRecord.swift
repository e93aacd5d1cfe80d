import PetioleStorage

/// Limits that were set while the store was in use: a row of `meta`, in place of what the runner's program says.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 4 | concurrency, 0 = none |
/// | 4 | 4 | concurrency for each key, 0 = none |
/// | 8 | 4 + 4 + 8 | rate: count (0 = none), burst, per in nanoseconds |
/// | 24 | 4 + 4 + 8 | rate for each key, likewise |
/// | 40 | 1 | 1 = ordered per key, 2 = fair per key |
/// | 41 | 7 | 0 |
struct LimitsRecord: Equatable {
    var limits: JobLimits

    static let size = 48

    /// Those of a job type, or of the queue itself.
    static func key(_ queue: UInt32, name: UInt32?) -> Key {
        let key = prefix(queue).appending(UInt8(name == nil ? 0 : 1))
        return name.map { key.appending($0) } ?? key
    }
    /// Before all of a queue's.
    static func prefix(_ queue: UInt32) -> Key {
        Key().appending(UInt8(ascii: "l")).appending(queue)
    }

    init(_ limits: JobLimits) { self.limits = limits }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size else { throw FormatError("a row of limits is cut short") }
        func bound(at offset: Int) -> Int? {
            let value = Int(bytes.littleEndian(at: offset, as: UInt32.self))
            return value == 0 ? nil : value
        }
        func rate(at offset: Int) -> RateLimit? {
            guard let count = bound(at: offset), let burst = bound(at: offset + 4) else {
                return nil
            }
            return RateLimit(
                count, per: .nanoseconds(bytes.littleEndian(at: offset + 8, as: Int64.self)),
                burst: burst)
        }
        limits = JobLimits(
            concurrency: bound(at: 0), rate: rate(at: 8), concurrencyPerKey: bound(at: 4),
            ratePerKey: rate(at: 24), isOrderedPerKey: bytes[40] & 1 != 0,
            isFairPerKey: bytes[40] & 2 != 0)
        if let problem = limits.problem { throw FormatError("a row of limits: \(problem)") }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.append(littleEndian: UInt32(limits.concurrency ?? 0))
        writer.append(littleEndian: UInt32(limits.concurrencyPerKey ?? 0))
        for rate in [limits.rate, limits.ratePerKey] {
            writer.append(littleEndian: UInt32(rate?.count ?? 0))
            writer.append(littleEndian: UInt32(rate?.burst ?? 0))
            writer.append(littleEndian: rate.map { TokenBucket.nanoseconds($0.per) } ?? 0)
        }
        let flags: UInt64 = (limits.isOrderedPerKey ? 1 : 0) | (limits.isFairPerKey ? 2 : 0)
        writer.append(littleEndian: flags)
        return writer.withBytes { Array($0) }
    }
}
