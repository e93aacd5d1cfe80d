import CPetiole

/// Where the time comes from; tests put their own here.
package struct StoreClock: Sendable {
    /// Microseconds since 1970; nil: the system's clock.
    package var read: (@Sendable () -> Int64)?

    package init(read: (@Sendable () -> Int64)? = nil) { self.read = read }

    package var now: Int64 { read?() ?? petiole_real_time() / 1_000 }
    /// How far it is ahead of the system's clock, by which attempts are timed, in microseconds.
    var shift: Int64 { read.map { $0() - petiole_real_time() / 1_000 } ?? 0 }
}
