import Petiole
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What is to go wrong in a test: in the store's commits, and in attempts of its jobs.
///
/// A plan is of one store. It may be changed at any time, from any thread; what it says holds from then on.
public final class FaultPlan: Sendable {
    /// What there may be no room in.
    public enum Room: Sendable, Hashable {
        /// The store has reached its limit: the error is ``StoreError/full(path:used:limit:)``.
        case store
        /// The file system is full: the error is ``StoreError/diskFull(path:)``.
        case disk
    }

    /// When the process dies.
    public enum Moment: Sendable, Hashable {
        /// All is written and nothing is committed: it never was.
        case beforeCommit
        /// The commit is durable, and nobody has been told.
        case afterCommit
    }

    private struct State {
        var room: Room?
        /// Commits until one fails, and until the process dies; nil: none does.
        var untilFailure: Int?
        var untilDeath: (count: Int, moment: Moment)?
        var failures: [String: [(left: Int, error: any Error)]] = [:]
    }
    private let state = Mutex(State())

    /// Makes a plan in which nothing goes wrong.
    public init() {}

    // MARK: Room

    /// Refuses jobs from now on, as a full store or a full disk does: each enqueue throws
    /// ``EnqueueError/refused(job:queue:_:)``, and effects of a job fail its attempt. Outcomes are recorded.
    public func fill(_ room: Room) { state.withLock { $0.room = room } }

    /// There is room again.
    public func makeRoom() { state.withLock { $0.room = nil } }

    // MARK: Commits

    /// Lets a commit of this process fail as by an error of the disk. Nothing more is accepted or recorded then before the store
    /// was closed and opened anew: whoever enqueues is refused with ``StoreError/failed(path:reason:)``, and a runner ends.
    /// - Parameter number: which one from now on, 1 or more; 1 is the next.
    public func failCommit(_ number: Int = 1) {
        precondition(number >= 1, "commits are counted from 1, not \(number)")
        state.withLock { $0.untilFailure = number }
    }

    /// Ends the process at a commit, with exit status 9 and without a word: for an exit test, whose parent then opens the store
    /// at its path and looks what is left.
    /// - Parameter number: which one from now on, 1 or more; 1 is the next.
    public func die(_ moment: Moment, _ number: Int = 1) {
        precondition(number >= 1, "commits are counted from 1, not \(number)")
        state.withLock { $0.untilDeath = (number, moment) }
    }

    // MARK: Attempts

    /// Lets the next attempts of a job type that a ``TestRunner`` makes fail with an error, before they reach the job. Said more
    /// than once, it is done one after the other.
    public func failAttempts<J: JobType>(of type: J.Type, times: Int = 1, with error: any Error) {
        failAttempts(of: J.jobName, times: times, with: error)
    }

    /// The same by name, for closures.
    /// - Parameter times: how many attempts, 0 or more.
    public func failAttempts(of job: String, times: Int = 1, with error: any Error) {
        precondition(times >= 0, "attempts fail 0 times or more, not \(times)")
        if times > 0 { state.withLock { $0.failures[job, default: []].append((times, error)) } }
    }

    /// How many attempts of a job type are still to fail.
    public func failuresLeft(of job: String) -> Int {
        state.withLock { $0.failures[job]?.reduce(0) { $0 + $1.left } ?? 0 }
    }

    // MARK: Going wrong

    func beforeAttempt(of job: String) throws {
        let error = state.withLock { state -> (any Error)? in
            guard let next = state.failures[job]?.first else { return nil }
            state.failures[job]![0].left -= 1
            if next.left == 1 { state.failures[job]!.removeFirst() }
            return next.error
        }
        if let error { throw error }
    }

    var commitFaults: CommitFaults {
        CommitFaults { [self] in
            switch state.withLock({ $0.room }) {
            case .store: .mapFull
            case .disk: .diskFull
            case nil: nil
            }
        } beforeCommit: { [self] in
            let (fails, dies) = state.withLock { state in
                let fails = Self.count(&state.untilFailure)
                var dies = false
                if state.untilDeath != nil {
                    state.untilDeath!.count -= 1
                    dies =
                        state.untilDeath!.count == 0 && state.untilDeath!.moment == .beforeCommit
                }
                return (fails, dies)
            }
            if dies { _exit(9) }
            return fails ? .system(call: "fdatasync, as planned by a test", code: EIO) : nil
        } afterCommit: { [self] in
            let dies = state.withLock { state in
                state.untilDeath.map { $0.count <= 0 && $0.moment == .afterCommit } ?? false
            }
            if dies { _exit(9) }
        }
    }

    /// Counts down. Whether it was the last.
    private static func count(_ left: inout Int?) -> Bool {
        guard let before = left else { return false }
        left = before == 1 ? nil : before - 1
        return before == 1
    }
}
