import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What ends the tool: a sentence, the next step in the lines after it, and an exit status.
struct Failure: Error {
    var message: String
    var status: Int32
    /// Whether it tells that standard output cannot be written, so that nobody else needs to.
    var tellsOfOutput = false

    init(_ message: String, status: Int32) {
        self.message = message
        self.status = status
    }

    static func usage(_ message: String) -> Failure { Failure(message, status: 64) }

    init(_ error: StoreError) {
        message = error.description
        status =
            switch error {
            case .noStore, .notAStore, .noSuchJob: 66
            case .damaged, .newerFormat: 65
            case .notPermitted: 77
            case .remoteFileSystem, .closed, .failed: 74
            case .full, .diskFull, .tooManyReaders, .noRoom, .waitCancelled, .inUse: 75
            case .invalidOption: 64
            case .copyFailed: 73
            }
    }

    init(_ error: RunnerError) {
        switch error {
        case .store(let error): self.init(error)
        case .schedule(let error): self.init(error)
        case .queueOwned(let queue, let pid, _):
            self.init(
                """
                the queue "\(queue)" is run by process \(pid) already
                wait until that process has ended, or stop it: kill \(pid)
                """, status: 75)
        case .noSeat, .tooManyWaiting, .fenced: self.init(error.description, status: 75)
        case .invalidName, .invalidOption, .invalidQueueOption, .invalidRunnerOption,
            .registeredTwice, .notAJob, .startedTwice, .insideChild:
            self.init(error.description, status: 64)
        }
    }

    init(_ error: ScheduleError) {
        switch error {
        case .store(let error): self.init(error)
        case .job(let error): self.init(error)
        case .noSuchSchedule: self.init(error.description, status: 66)
        case .exists, .declared, .unfinished, .unknownRule:
            self.init(error.description, status: 75)
        case .invalidName, .unreadableRule, .neverFires, .unknownZone, .invalidOption:
            self.init(error.description, status: 64)
        }
    }

    init(_ error: EnqueueError) {
        switch error {
        case .refused(_, _, .full(let path, let used, let limit)):
            self.init(
                """
                no further job is taken: the store at \(visible(path)) is full (\(Self.mebibytes(used)) of \
                \(Self.mebibytes(limit)) MiB)
                free room with `petiole prune --older-than 1d`, or name another store with --store
                """, status: 75)
        case .refused(_, _, .noSuchJob(let id)):
            self.init(
                """
                there is no job \(id) to come after; nothing was added
                see which there are with: petiole jobs
                """, status: 66)
        case .refused(_, _, let cause):
            // The name of the job and of its queue are not what was typed.
            let failure = Failure(cause)
            self.init("no further job is taken: \(failure.message)", status: failure.status)
        case .invalidName, .invalidOption, .invalidWorkflow, .payloadTooLarge, .unencodable:
            self.init(error.description, status: 64)
        case .bufferFull, .notUnique: self.init(error.description, status: 75)
        }
    }

    private static func mebibytes(_ bytes: Int) -> String { grouped(bytes >> 20) }

    /// Standard output cannot be written; nil for a reader that went away, who knows it.
    static func output(_ code: Int32) -> Failure? {
        if code == EPIPE { return nil }
        // A closed one is held by a file that cannot be written.
        let text =
            code == EBADF
            ? "standard output is closed" : "standard output cannot be written: \(systemText(code))"
        var failure = Failure(text, status: 74)
        failure.tellsOfOutput = true
        return failure
    }

    /// Any error as one of ours; nil for those of the argument parser.
    init?(_ error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as StoreError: self.init(error)
        case let error as RunnerError: self.init(error)
        case let error as ScheduleError: self.init(error)
        case let error as EnqueueError: self.init(error)
        default: return nil
        }
    }

    /// Prints the message and ends the process.
    func end() -> Never {
        let code = Standard.output.flush()
        if !message.isEmpty { say(message) }
        if !tellsOfOutput, let failure = code.flatMap(Failure.output) {
            say(failure.message)
            // Who counts on the output must hear that it is not whole before anything else.
            exit(failure.status)
        }
        exit(status)
    }
}

/// Prints a message of our own, "petiole: " before it, further lines under the first.
func say(_ message: String) {
    let lines = message.split(separator: "\n").map(String.init)
    var text = ""
    for (index, line) in lines.enumerated() {
        text += (index == 0 ? "petiole: " : "         ") + line + "\n"
    }
    Standard.error.write(text)
    Standard.error.flush()
}
