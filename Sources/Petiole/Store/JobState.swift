/// Where a job is in its life.
public enum JobState: Sendable, Hashable {
    /// In its lane, to be run as soon as a worker is free, or when a runner comes.
    case ready
    /// An attempt is to come, not before `due`: the first of a delayed job, or another one.
    case waiting(due: WallTime, attempts: Int)
    /// No runner of its queue knows its name yet.
    case parked(name: String)
    /// Its job type is paused: see ``JobStore/pause(jobType:queue:)``.
    case paused(name: String)
    /// It waits for others of its workflow: for those that its step depends on, or, when it stands for the workflow itself, for
    /// all of them.
    case awaiting(workflow: JobID)
    /// Held back: until these have ended or, when there are none, until somebody lets it go: see ``EnqueueOptions/after`` and
    /// ``JobStore/hold(_:)``.
    case held(after: [JobID])
    /// An attempt runs, in the process with this pid.
    case running(attempt: Int, since: WallTime, pid: Int)
    /// It ended: see the outcome.
    case ended(Outcome)

    /// Whether an outcome is recorded.
    public var isEnded: Bool {
        if case .ended = self { true } else { false }
    }
}

/// What a job came to.
public struct Outcome: Sendable, Hashable {
    /// The kinds of end.
    public enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// An attempt gave a result.
        case succeeded
        /// The only attempt that was allowed failed.
        case failed
        /// Somebody asked that it not run, or that it stop.
        case cancelled
        /// It will not be tried again, and is kept with the evidence.
        case deadLetter
        /// Its expiry passed before it started.
        case expired
        /// The job or its policy gave it up on purpose.
        case discarded
        /// It had not started, and its room was taken by others: see ``Capacity/WhenFull/dropOldest``.
        case dropped
    }
    /// How it ended.
    public let kind: Kind
    /// The attempt that ended it, from 1; 0 when none began.
    public let attempt: Int
    /// When that attempt began, or when it was cancelled before one did.
    public let startedAt: WallTime
    /// How long that attempt ran.
    public let runTime: Duration
    /// The error, of a failure, of a dead letter, and of what was discarded; of a job that was cancelled because of one that it was
    /// to come after, which one.
    public let failure: JobFailure?
}

/// The error of an attempt: what is recorded of it.
public struct JobFailure: Sendable, Hashable {
    /// The Swift type of the error, or a word for what happened.
    public let type: String
    /// The error's own text, at most 8 KiB of it.
    public let message: String

    init(type: String, message: String) {
        self.type = type
        self.message = message
    }

    init(_ record: FailureRecord) { self.init(type: record.type, message: record.message) }

    /// 16 hexadecimal digits that are the same for all failures of one type whose texts differ in digits alone: of many jobs that
    /// failed the same way, though each names its own file number or time. FNV-1a of 64 bits; it finds, it proves nothing.
    public var fingerprint: String {
        let digits = String(Self.fingerprint(type: type, message: message), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func fingerprint(type: String, message: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func take(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for byte in type.utf8 { take(byte) }
        take(0)
        var isInNumber = false
        for byte in message.utf8 {
            let isDigit = (0x30...0x39).contains(byte)
            if !isDigit { take(byte) } else if !isInNumber { take(0x30) }
            isInNumber = isDigit
        }
        return hash
    }
}

/// One attempt that another followed.
public struct FailedAttempt: Sendable, Hashable {
    /// Which one it was, from 1.
    public let attempt: Int
    /// When it began.
    public let startedAt: WallTime
    /// How long it ran.
    public let runTime: Duration
    /// Why it failed.
    public let failure: JobFailure
}

/// An instant of the system's clock, to the microsecond.
public struct WallTime: Sendable, Hashable, Comparable {
    /// Microseconds since 1970 in UTC, leap seconds not counted.
    public var microseconds: Int64

    /// Makes an instant of its microseconds since 1970.
    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// Orders instants by time.
    public static func < (left: WallTime, right: WallTime) -> Bool {
        left.microseconds < right.microseconds
    }
}

/// What a handle throws in place of a result.
public enum JobError: Error, Sendable, Equatable {
    /// The job failed for good, or became a dead letter: the last attempt's error.
    case failed(JobID, attempt: Int, JobFailure, isDeadLetter: Bool)
    /// The job was cancelled.
    case cancelled(JobID)
    /// The job's expiry passed before it started.
    case expired(JobID)
    /// The job or its policy gave it up on purpose.
    case discarded(JobID, attempt: Int, JobFailure)
    /// The job had not started, and its room was taken by others.
    case dropped(JobID)
    /// The job keeps no result, so there is nothing to wait for.
    case keepsNoResult(JobID)
    /// The result is there, but is not of the type asked for.
    case undecodable(JobID, reason: String)
    /// No job has this id: it never did, or it was pruned.
    case noSuchJob(JobID)
    /// The store could not be read.
    case store(StoreError)
}

extension JobError: CustomStringConvertible {
    /// What happened to which job.
    public var description: String {
        switch self {
        case .failed(let id, let attempt, let failure, let isDeadLetter):
            "job \(id) \(isDeadLetter ? "became a dead letter" : "failed") at attempt \(attempt): "
                + "\(failure.type): \(failure.message)"
        case .cancelled(let id): "job \(id) was cancelled"
        case .expired(let id): "job \(id) expired: it had not started by then"
        case .dropped(let id):
            "job \(id) was dropped: its queue was full, and others took its room"
        case .discarded(let id, let attempt, let failure):
            "job \(id) was discarded at attempt \(attempt): \(failure.type): \(failure.message)"
        case .keepsNoResult(let id):
            "job \(id) keeps no result; ask for its state, or let its type keep results"
        case .undecodable(let id, let reason): "the result of job \(id) cannot be read: \(reason)"
        case .noSuchJob(let id): StoreError.noSuchJob(id).description
        case .store(let error): error.description
        }
    }
}
