import CPetiole

/// Where the time comes from; tests put their own here.
package struct StoreClock: Sendable {
    /// What tests put in the system's place: each nil for the system's own.
    package struct Source: Sendable {
        /// Microseconds since 1970.
        package var wall: (@Sendable () -> Int64)?
        /// Microseconds since the machine was started, those counted in which it slept.
        package var uptime: (@Sendable () -> Int64)?
        /// A number that changes when the machine is started anew.
        package var bootMark: (@Sendable () -> UInt64)?

        package init() {}
    }

    private let source: Source
    /// Where the steady line stood at the machine's start, microseconds since 1970: known once the store is open.
    var steadyBase: Int64 = 0

    package init(_ source: Source = Source()) { self.source = source }

    /// Whether tests have put their own here.
    var hasOwnUptime: Bool { source.uptime != nil }
    var hasOwnStart: Bool { source.bootMark != nil }

    /// The system's clock, microseconds since 1970.
    package var now: Int64 { source.wall?() ?? petiole_real_time() / 1_000 }
    package var uptime: Int64 { source.uptime?() ?? petiole_uptime() / 1_000 }
    package var bootMark: UInt64 { source.bootMark?() ?? BootMark.current() }

    /// Nanoseconds of a clock that only goes forward, for what is kept in memory alone: rates, ageing.
    var ticks: Int64 { source.uptime.map { $0() * 1_000 } ?? petiole_steady_time() }

    /// Both lines.
    var reading: ClockReading { ClockReading(wall: now, steady: uptime + steadyBase) }

    /// How far the system's clock is ahead of the steady one by which attempts are timed, in microseconds.
    var shift: Int64 { now - petiole_steady_time() / 1_000 }
}
