/// A point on one of the store's two time lines, in 8 bytes: bits 0…61 are microseconds since 1970, bit 62 says which line.
///
/// An *instant* is one of the system's clock, which people and programs set. What is told as a while (a delay, the wait before
/// another attempt) ends on the *steady* line, which goes on by itself: see ``SteadyLine``. As numbers all instants come before
/// all of the steady line, and so do their rows of `timers`.
struct StoreTime: RawRepresentable, Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
    let rawValue: Int64

    private static let steadyBit: Int64 = 1 << 62
    /// 146,000 years after 1970.
    private static let last = steadyBit - 1

    /// From the disk: whatever it is, it is a time.
    init(rawValue: Int64) { self.rawValue = rawValue & .max }
    /// 0: none.
    init(integerLiteral value: Int64) { rawValue = value }

    /// An instant; what does not fit is moved to the nearest that does.
    init(wall microseconds: Int64) { rawValue = min(max(microseconds, 0), Self.last) }

    /// A point of the steady line; likewise.
    init(steady microseconds: Int64) {
        rawValue = min(max(microseconds, 0), Self.last) | Self.steadyBit
    }

    /// The end of a while that begins now.
    init(_ now: ClockReading, after microseconds: Int64) {
        let (sum, overflow) = now.steady.addingReportingOverflow(microseconds)
        self.init(steady: overflow ? .max : sum)
    }

    /// Where the rows of the steady line begin in `timers`.
    static let firstSteady = StoreTime(steady: 0)

    /// Of one line; across lines it is the order of the rows.
    static func < (left: StoreTime, right: StoreTime) -> Bool { left.rawValue < right.rawValue }

    var isNone: Bool { rawValue == 0 }
    var isSteady: Bool { rawValue & Self.steadyBit != 0 }
    /// On its own line.
    var microseconds: Int64 { rawValue & ~Self.steadyBit }

    func hasPassed(_ now: ClockReading) -> Bool {
        microseconds <= (isSteady ? now.steady : now.wall)
    }

    /// Microseconds until then; 0 when it has passed.
    func left(_ now: ClockReading) -> Int64 {
        max(0, microseconds - (isSteady ? now.steady : now.wall))
    }

    /// The instant of the system's clock at which it is, as that clock stands now.
    func instant(_ now: ClockReading) -> Int64 {
        isSteady ? microseconds + now.lead : microseconds
    }
}

/// What both clocks show at one moment, in microseconds since 1970.
struct ClockReading: Equatable, Sendable {
    /// The system's clock.
    var wall: Int64
    /// The steady line of the store.
    var steady: Int64

    /// By how much the system's clock is ahead, in whole milliseconds: what is shown twice is shown alike, though the two clocks
    /// are read one after the other.
    var lead: Int64 {
        let lead = wall - steady
        return (lead >= 0 ? lead + 500 : lead - 500) / 1_000 * 1_000
    }
}
