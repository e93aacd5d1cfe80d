import PetioleStorage

// The steady line
//
// A time line that nobody sets: it goes on with the machine's own count of time, those times counted in which it sleeps, and
// it outlives a restart. All processes read the same: a row of `meta` says where the line stood when the machine was started
// that is named there, and each adds how long ago that was.
//
// | the first opening | what it does |
// |---|---|
// | of a store | begins the line where the system's clock stands |
// | after a start of the machine | goes on from where the line was known to stand, by what the system's clock has gone on since; by the time since the start at least |
// | otherwise | reads the row |
//
// How far the system's clock has gone on since may only be asked if nobody has set it since. So whenever it was set, by more
// than a second, the next commit of any process writes down where both stand; a runner makes one for that. What is lost: a clock
// that is set within the last seconds before the machine stops moves the line by as much.

/// Where the steady line stands: the row `steady` of `meta`.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | the start of the machine, as in `running` |
/// | 8 | 8 | where the line stood at that start, microseconds since 1970 |
/// | 16 | 8 | where it was known to stand |
/// | 24 | 8 | the system's clock at that moment |
struct SteadyLine: Equatable, Sendable {
    var boot: UInt64
    var base: Int64
    var steady: Int64
    var wall: Int64

    static let size = 32
    static let key = RecordKey.bytes("steady")

    /// Beyond this the row is written anew: a second.
    private static let tolerance: Int64 = 1_000_000

    /// The line as it is from now on.
    /// - Parameters:
    ///   - last: what the row says; nil: there is none.
    ///   - boot: the machine's start.
    ///   - uptime: microseconds since then.
    ///   - wall: the system's clock.
    init(after last: SteadyLine?, boot: UInt64, uptime: Int64, wall: Int64) {
        guard let last else {
            self.init(boot: boot, base: wall - uptime, steady: wall, wall: wall)
            return
        }
        // A line never goes back: then the mark is that of another start.
        if last.boot == boot, last.base + uptime >= last.steady {
            self = last
            return
        }
        let steady = last.steady + max(wall - last.wall, uptime)
        self.init(boot: boot, base: steady - uptime, steady: steady, wall: wall)
    }

    init(boot: UInt64, base: Int64, steady: Int64, wall: Int64) {
        self.boot = boot
        self.base = base
        self.steady = steady
        self.wall = wall
    }

    /// Whether the system's clock was set since the row was written.
    func isOutdated(_ now: ClockReading) -> Bool {
        abs((now.wall - now.steady) - (wall - steady)) > Self.tolerance
    }

    /// The same line, known to stand where it stands now.
    func known(_ now: ClockReading) -> SteadyLine {
        SteadyLine(boot: boot, base: base, steady: now.steady, wall: now.wall)
    }

    // MARK: The row

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size else {
            throw FormatError("the row of the steady line is cut short")
        }
        boot = bytes.littleEndian(at: 0)
        base = bytes.littleEndian(at: 8)
        steady = bytes.littleEndian(at: 16)
        wall = bytes.littleEndian(at: 24)
        // 70,000 years: what is computed from them does not overflow.
        let bound: Int64 = 1 << 61
        guard [base, steady, wall].allSatisfy({ $0 > -bound && $0 < bound }) else {
            throw FormatError("the row of the steady line holds times that never were")
        }
    }

    func put(_ transaction: inout WriteTransaction, _ meta: Table) throws(StorageError) {
        let key = Self.key.withUnsafeBytes { Key(copying: $0) }
        try transaction.put(meta, key, count: Self.size) { target in
            target.storeLittleEndian(boot, at: 0)
            target.storeLittleEndian(base, at: 8)
            target.storeLittleEndian(steady, at: 16)
            target.storeLittleEndian(wall, at: 24)
        }
    }

    private static func read(
        _ transaction: borrowing some Transaction & ~Copyable, _ meta: Table
    ) throws(StorageError) -> SteadyLine? {
        let key = Self.key.withUnsafeBytes { Key(copying: $0) }
        guard let bytes = try transaction.value(meta, key) else { return nil }
        return try formatted { () throws(FormatError) in try SteadyLine(bytes) }
    }

    /// The line of a store that is being opened, before it has a writer. Mostly that is one look.
    static func open(
        _ environment: Environment, _ meta: Table, _ clock: StoreClock
    ) throws(StorageError) -> SteadyLine {
        let boot = clock.bootMark
        func line(after last: SteadyLine?) -> SteadyLine {
            SteadyLine(after: last, boot: boot, uptime: clock.uptime, wall: clock.now)
        }
        let found = try environment.view { (reader) throws(StorageError) in try read(reader, meta) }
        if let found, line(after: found) == found { return found }
        do throws(StorageError) {
            return try environment.write { (transaction) throws(StorageError) in
                // Another process may have been quicker.
                let found = try read(transaction, meta)
                let next = line(after: found)
                if next != found { try next.put(&transaction, meta) }
                return next
            }
        } catch {
            // A full store can be looked at and emptied all the same.
            guard error == .mapFull || error == .diskFull else { throw error }
            return line(after: found)
        }
    }
}
