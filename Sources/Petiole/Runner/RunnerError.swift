/// Why a runner could not be made, started, or go on.
public enum RunnerError: Error, Sendable, Equatable {
    /// A name is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    case invalidName(String, what: String)
    /// An option of a job type is out of its bounds: which, and what is allowed.
    case invalidOption(job: String, String)
    /// An option of a queue is out of its bounds: which, and what is allowed.
    case invalidQueueOption(queue: String, String)
    /// An option of the runner is out of its bounds, or contradicts another: which, and what is allowed.
    case invalidRunnerOption(String)
    /// Two job types have the same name.
    case registeredTwice(String)
    /// The type is neither a ``Job`` nor an ``AsyncJob`` nor a ``RawJob``.
    case notAJob(String)
    /// A schedule that the program declares cannot be: why.
    case schedule(ScheduleError)
    /// Another runner owns a queue.
    case queueOwned(queue: String, pid: Int, jobs: [String])
    /// More jobs than the limit wait inside jobs for others.
    case tooManyWaiting(limit: Int)
    /// The runner was started before.
    case startedTwice
    /// A job in a child process has made a runner.
    case insideChild
    /// All 64 places for runner processes of a store are taken.
    case noSeat
    /// Somebody else has taken a queue over; what ran here is not recorded, and runs there.
    case fenced(queue: String)
    /// The store failed; what runs is not recorded, and runs again when the store is opened anew.
    case store(StoreError)
}

extension RunnerError: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        switch self {
        case .invalidName(let name, let what):
            """
            "\(visible(String(name.prefix(80))))" is not a \(what) name
            names have 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or \
            digit; a generic type needs a `jobName` of its own
            """
        case .invalidOption(let job, let problem):
            "the job type \"\(job)\" cannot be registered: \(problem)"
        case .invalidQueueOption(let queue, let problem):
            "the queue \"\(queue)\" cannot be run like that: \(problem)"
        case .invalidRunnerOption(let problem): "the runner cannot be made: \(problem)"
        case .registeredTwice(let name):
            """
            two job types are named "\(name)"
            give one of them a `jobName` of its own
            """
        case .notAJob(let type):
            "\(type) is registered as a job, but conforms to none of Job, AsyncJob and RawJob"
        case .schedule(let error): error.description
        case .queueOwned(let queue, let pid, let jobs):
            """
            the queue "\(queue)" is run by process \(pid) already
            stop that process, wait for it with `.standby`, or give these job types a queue of their own \
            (`static let queue = "…"`): \(jobs.joined(separator: ", "))
            """
        case .tooManyWaiting(let limit):
            """
            \(limit) jobs wait inside jobs for others already
            let jobs enqueue others without waiting for them, or make them AsyncJobs
            """
        case .startedTwice: "a runner runs once; make another"
        case .insideChild:
            """
            this process runs jobs of another runner, and cannot be one itself
            let the job enqueue others, which that runner runs
            """
        case .noSeat:
            """
            64 runner processes use this store already
            end one of them, or let one process run several queues
            """
        case .fenced(let queue):
            "another process has taken the queue \"\(queue)\" over; this runner stops"
        case .store(let error): error.description
        }
    }
}
