/// Why a schedule was refused, or not changed. Nothing of it was changed then.
public enum ScheduleError: Error, Sendable, Equatable {
    /// The name is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    case invalidName(String)
    /// A rule cannot be read: at which byte, from 0 on, and what was expected there.
    case unreadableRule(String, at: Int, expected: String)
    /// A rule can be read, and never comes true.
    case neverFires(String, reason: String)
    /// No zone of that name can be read on this system.
    case unknownZone(String, reason: String)
    /// What it says is out of its bounds, or contradicts itself: what, and what is allowed.
    case invalidOption(schedule: String, String)
    /// Its rule is a program's own, and that program does not run here.
    case unknownRule(schedule: String)
    /// Another schedule has the name; `program` is that which declares it, nil: it was added at run time.
    case exists(schedule: String, program: String?)
    /// No schedule has the name.
    case noSuchSchedule(String)
    /// A program declares it, and would add it again.
    case declared(schedule: String, program: String)
    /// The last job of a schedule has not ended, and its overlap is not allowed.
    case unfinished(schedule: String, JobID)
    /// Its job cannot be enqueued.
    case job(EnqueueError)
    /// The store failed.
    case store(StoreError)
}

extension ScheduleError: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        switch self {
        case .invalidName(let name):
            """
            "\(visible(String(name.prefix(80))))" is not the name of a schedule
            names have 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit
            """
        case .unreadableRule(let rule, let position, let expected):
            Self.mark(rule, position, expected)
        case .neverFires(let rule, let reason): "\(visible(rule)) never comes true: \(reason)"
        case .unknownZone(let zone, let reason): "time zone \(visible(zone)): \(reason)"
        case .invalidOption(let schedule, let problem): "schedule \"\(schedule)\": \(problem)"
        case .unknownRule(let schedule):
            """
            schedule "\(schedule)" has a rule of its program's own, which is not known here
            let the program that declares it run the queue of its job
            """
        case .exists(let schedule, let program?):
            """
            there is a schedule "\(schedule)" already: the program "\(program)" declares it
            give this one another name
            """
        case .exists(let schedule, nil):
            """
            there is a schedule "\(schedule)" already
            give this one another name, or remove the other one first
            """
        case .noSuchSchedule(let name):
            """
            there is no schedule "\(visible(String(name.prefix(80))))"
            `petiole schedule list` prints those that there are
            """
        case .declared(let schedule, let program):
            """
            the program "\(program)" declares the schedule "\(schedule)", and would add it again
            take it out of that program, or pause it first and remove it then
            """
        case .unfinished(let schedule, let job):
            """
            job \(job) of the schedule "\(schedule)" has not ended, and it does not let two overlap
            wait for it with `petiole wait \(job)`, or cancel it
            """
        case .job(let error): error.description
        case .store(let error): error.description
        }
    }

    private static func mark(_ rule: String, _ position: Int, _ expected: String) -> String {
        // Byte by byte, so that the mark stands where it is to; what cannot be printed is shown as a question mark.
        let shown = rule.utf8.map { (32...126).contains($0) ? $0 : UInt8(ascii: "?") }
        let mark = String(repeating: " ", count: position) + "^ "
        return "the rule cannot be read:\n" + String(decoding: shown, as: UTF8.self) + "\n" + mark
            + expected
    }
}
