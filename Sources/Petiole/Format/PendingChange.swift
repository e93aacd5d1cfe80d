/// What somebody has asked to be done with a job that is ready, and so may be claimed: it lies in the job's row of `active`
/// until it is known that the job does not run. Who meets it there does not start it.
enum PendingChange: Equatable, Sendable {
    /// - Parameters:
    ///   - priority: the one that it is to have.
    ///   - due: 0: as it is.
    case edit(priority: UInt8, due: StoreTime)
    /// It is to end without having run, and to be deleted.
    case purge
    /// It is to be held until somebody lets it go, with that priority and due time then.
    case hold(priority: UInt8, due: StoreTime)

    init?(kind: UInt8, priority: UInt8, due: StoreTime) {
        switch kind {
        case 1: self = .edit(priority: priority, due: due)
        case 2: self = .purge
        case 3: self = .hold(priority: priority, due: due)
        default: return nil
        }
    }

    /// Whether a job is as it says.
    func isDone(in active: ActiveRecord, _ now: ClockReading) -> Bool {
        if case .hold = self { return active.state == .parked && active.parking == .held }
        guard case .edit(let priority, let due) = self, active.priority == priority else {
            return false
        }
        return due.isNone || active.due == due || (active.state == .ready && due.hasPassed(now))
    }

    /// The three fields of the row in which it lies.
    var fields: (kind: UInt8, priority: UInt8, due: StoreTime) {
        switch self {
        case .edit(let priority, let due): (1, priority, due)
        case .purge: (2, 0, 0)
        case .hold(let priority, let due): (3, priority, due)
        }
    }
}
