/// What becomes of planned times at which nobody ran the queue of a schedule: the machine was off, the queue was paused, no runner
/// was there, or the system's clock was put forward over them. Found out by the times alone, when somebody runs it again.
public struct MissedRuns: Sendable, Hashable {
    package enum Kind: UInt8, Sendable {
        case skip = 1
        case once = 2
        case all = 3
    }
    package let kind: Kind
    /// Of ``skip(laterThan:)`` microseconds, of ``all(atMost:)`` a number.
    package let bound: Int64

    init(_ kind: Kind, _ bound: Int64 = 0) {
        self.kind = kind
        self.bound = bound
    }

    /// The newest of them is enqueued, for its planned time, unless one has come since; the others are not. A time is missed when its
    /// job would be enqueued more than five seconds late.
    public static let once = MissedRuns(.once)

    /// None is enqueued. A time is missed when the job would be enqueued more than a minute later.
    public static let skip = MissedRuns.skip(laterThan: .seconds(60))

    /// None is enqueued.
    /// - Parameter bound: how much later than it was to be a job may still be enqueued; zero or more.
    public static func skip(laterThan bound: Duration) -> MissedRuns {
        MissedRuns(.skip, bound.clampedMicroseconds)
    }

    /// Each is enqueued for its planned time, in order, but no more than the newest so many.
    /// - Parameter count: 1 to 1,000.
    public static func all(atMost count: Int) -> MissedRuns { MissedRuns(.all, Int64(count)) }

    /// 1,000 jobs in one transaction.
    static let most = 1_000

    var problem: String? {
        switch kind {
        case .once: nil
        case .skip:
            bound < 0
                ? "missed skips what is later than \(bound) µs; zero and more are allowed" : nil
        case .all:
            (1...Int64(Self.most)).contains(bound)
                ? nil : "missed is all, at most \(bound); 1 to \(Self.most) are allowed"
        }
    }
}
