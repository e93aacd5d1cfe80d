import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What a store has to keep within to be called healthy.
public struct HealthBounds: Sendable, Hashable {
    /// The queues that are looked at; empty: all that were ever used.
    public var queues: [String] = []
    /// Whether a queue with jobs to run needs a runner, unless it is paused.
    public var needsRunner = true
    /// A runner's steward looks around every 15 seconds at least; after so long it is called silent.
    public var silence: Duration = .seconds(60)
    /// Jobs of a queue that are ready, or run, at most.
    public var maxReady: Int?
    /// Jobs of a queue that are delayed or wait for another attempt, at most.
    public var maxWaiting: Int?
    /// Dead letters of a queue since the store was made, at most.
    public var maxDead: Int?
    /// How long the oldest job that is ready may wait for its start.
    public var maxAge: Duration?
    /// Bytes that the file system has to have free. 64 MiB unless set.
    public var minFreeBytes = 64 << 20
    /// The share of the store's byte limit that may be in use. 0.95 unless set.
    public var maxUsage = 0.95
    /// Whether an attempt that runs far longer than others of its type is a problem.
    public var mindsLongRuns = true

    /// Makes the bounds described at each.
    public init() {}
}

/// What is wrong with a store, or with who runs it.
public enum HealthProblem: Sendable, Hashable {
    /// A queue has jobs to run, and nobody runs it.
    case noRunner(queue: String, jobs: Int)
    /// The process that runs a queue holds it, and does nothing.
    case silent(queue: String, pid: Int, for: Duration)
    /// A queue has more jobs in a state than it may.
    case tooMany(queue: String, state: JobFilter.State, count: Int, limit: Int)
    /// A job has been ready for too long.
    case tooOld(queue: String, age: Duration, limit: Duration)
    /// The file system has too little room.
    case littleRoom(freeBytes: Int, needed: Int)
    /// The store's limit is nearly reached.
    case nearlyFull(usedBytes: Int, limit: Int)
    /// An attempt runs far longer than others of its type.
    case longRun(LongRun)
}

/// An attempt that has run for ten times as long as others of its type do on average, and for half a minute at least.
public struct LongRun: Sendable, Hashable {
    /// The job.
    public let id: JobID
    /// Its queue.
    public let queue: String
    /// Which attempt, from 1.
    public let attempt: Int
    /// Since when.
    public let since: WallTime
    /// How long others take.
    public let average: Duration
    /// How many more attempts of the same runner do.
    public let others: Int
    /// The process that runs it.
    public let pid: Int
}

/// How a store is, and who runs it.
public struct HealthReport: Sendable {
    /// A queue.
    public struct Queue: Sendable, Hashable {
        /// Its name, its owner and its counts.
        public let status: QueueStatus
        /// How long ago its runner's steward looked around; nil without a runner.
        public let beat: Duration?
        /// How long the oldest job that is ready has waited; nil when none is.
        public let oldest: Duration?
    }
    /// The queues that were looked at.
    public let queues: [Queue]
    /// What is wrong; nothing when the store is healthy.
    public let problems: [HealthProblem]
    /// Bytes of the store that are in use, and how many may be.
    public let usedBytes: Int
    /// See ``StoreOptions/byteLimit``.
    public let byteLimit: Int
    /// Bytes that the file system has free.
    public let freeBytes: Int
    /// When something was last committed, as far as is known: not since before a restart of the machine.
    public let lastCommit: WallTime?

    /// Whether nothing is wrong.
    public var isHealthy: Bool { problems.isEmpty }
}

extension JobStore {
    /// Looks whether the store and its runners are well. Writes nothing, and waits for nobody.
    /// - Throws: ``StoreError`` when the store cannot be read, or a queue is named that there is not.
    /// - Complexity: O(queues) and a few searches for each, whatever the number of jobs: milliseconds.
    public func health(_ bounds: HealthBounds = HealthBounds()) throws(StoreError) -> HealthReport {
        let open = open
        let running = open.slots.jobs()
        let beats = beats()
        let now = open.clock.now
        var problems: [HealthProblem] = []
        var queues: [HealthReport.Queue] = []
        let all = try self.queues()
        for name in bounds.queues where !all.contains(where: { $0.name == name }) {
            throw .invalidOption("there is no queue \"\(visible(name))\"; name one that was used")
        }
        let rows = try queueRows()
        for status in all where bounds.queues.isEmpty || bounds.queues.contains(status.name) {
            guard let number = rows.first(where: { $0.name == status.name })?.record.id else {
                continue
            }
            let since = try open.read { (reader) throws(StorageError) in
                try OldestReady.since(
                    queue: number, running: running, now: open.clock.reading, reader,
                    open.tables)
            }
            let queue = HealthReport.Queue(
                status: status, beat: status.ownerPID.flatMap { beats[$0] },
                oldest: since.map { .microseconds(max(0, now - $0)) })
            queues.append(queue)
            problems += bounds.problems(of: queue)
        }
        let freeBytes = Self.freeBytes(at: path)
        let usedBytes = liveBytes()
        let byteLimit = Int(clamping: open.settings.byteLimit)
        if freeBytes < bounds.minFreeBytes {
            problems.append(.littleRoom(freeBytes: freeBytes, needed: bounds.minFreeBytes))
        }
        if Double(usedBytes) > bounds.maxUsage * Double(byteLimit) {
            problems.append(.nearlyFull(usedBytes: usedBytes, limit: byteLimit))
        }
        if bounds.mindsLongRuns {
            let names = Set(queues.map { $0.status.name })
            problems += try longRuns().filter { names.contains($0.queue) }.map { .longRun($0) }
        }
        let commit = open.signals.lastCommit
        return HealthReport(
            queues: queues, problems: problems, usedBytes: usedBytes, byteLimit: byteLimit,
            freeBytes: freeBytes,
            lastCommit: commit == 0 ? nil : WallTime(microseconds: commit))
    }

    /// The attempts that run far longer than others of their type, one for each runner, the longest first.
    /// - Complexity: O(places for runners).
    public func longRuns() throws(StoreError) -> [LongRun] {
        var runs: [LongRun] = []
        for seat in 0..<RunningSlots.seatCount {
            guard let overdue = open.slots.overdue(seat: seat),
                open.locks.holder(of: StoreFormat.seatLock(seat)) != nil,
                let slot = open.slots.slot(of: overdue.job)
            else { continue }
            let run = LongRun(
                id: JobID(rawValue: overdue.job), queue: try queueName(slot.queue) ?? "?",
                attempt: Int(slot.attempt), since: WallTime(microseconds: slot.startedAt),
                average: .nanoseconds(overdue.averageNanoseconds),
                others: max(0, overdue.count - 1), pid: Int(slot.runner))
            // Still the same job after the rest was read.
            if slot.job == overdue.job { runs.append(run) }
        }
        return runs.sorted { $0.since < $1.since }
    }

    /// How long ago the stewards of each process looked around: the one that is silent for the longest counts.
    private func beats() -> [Int: Duration] {
        let now = petiole_steady_time()
        var beats: [Int: Duration] = [:]
        for seat in 0..<RunningSlots.seatCount {
            let beat = open.slots.beat(seat: seat)
            guard beat > 0, let pid = open.locks.holder(of: StoreFormat.seatLock(seat)) else {
                continue
            }
            let age = Duration.nanoseconds(max(0, now - beat))
            beats[Int(pid)] = max(beats[Int(pid)] ?? .zero, age)
        }
        return beats
    }

    private func liveBytes() -> Int {
        // What cannot be told is not near its limit; the next look tells.
        (try? open.environment.liveBytes()) ?? 0
    }

    private static func freeBytes(at path: String) -> Int {
        var info = statvfs()
        guard statvfs(path, &info) == 0 else { return 0 }
        return Int(clamping: UInt64(info.f_bavail) * UInt64(info.f_frsize))
    }
}

extension HealthBounds {
    /// What is wrong with a queue.
    func problems(of queue: HealthReport.Queue) -> [HealthProblem] {
        var problems: [HealthProblem] = []
        let status = queue.status
        let counts = status.counts
        if needsRunner, status.ownerPID == nil, !status.isPaused, counts.ready > 0 {
            problems.append(.noRunner(queue: status.name, jobs: counts.ready))
        }
        if let pid = status.ownerPID, let beat = queue.beat, beat > silence {
            problems.append(.silent(queue: status.name, pid: pid, for: beat))
        }
        let limits: [(JobFilter.State, Int, Int?)] = [
            (.ready, counts.ready, maxReady), (.waiting, counts.waiting, maxWaiting),
            (.deadLetter, counts.deadLetters, maxDead),
        ]
        for case (let state, let count, let limit?) in limits where count > limit {
            problems.append(
                .tooMany(queue: status.name, state: state, count: count, limit: limit))
        }
        if let maxAge, let oldest = queue.oldest, oldest > maxAge, !status.isPaused {
            problems.append(.tooOld(queue: status.name, age: oldest, limit: maxAge))
        }
        return problems
    }
}

extension HealthProblem: CustomStringConvertible {
    /// What is wrong, in a sentence.
    public var description: String {
        switch self {
        case .noRunner(let queue, let jobs):
            "nobody runs queue \(queue), which has \(Self.jobs(jobs)) to run"
        case .silent(let queue, let pid, let silence):
            "process \(pid), which runs queue \(queue), has not looked around for "
                + "\(silence.components.seconds) s"
        case .tooMany(let queue, let state, let count, let limit):
            "queue \(queue) has \(Self.jobs(count)) in the state \(state.rawValue), more than \(limit)"
        case .tooOld(let queue, let age, let limit):
            "a job of queue \(queue) has been ready for \(age.components.seconds) s, longer than "
                + "\(limit.components.seconds) s"
        case .littleRoom(let freeBytes, let needed):
            "the file system has \(freeBytes >> 20) MiB free, less than \(needed >> 20) MiB"
        case .nearlyFull(let usedBytes, let limit):
            "the store uses \(usedBytes >> 20) of the \(limit >> 20) MiB that it may"
        case .longRun(let run):
            "job \(run.id) of queue \(run.queue) runs far longer than others of its type"
        }
    }

    private static func jobs(_ count: Int) -> String { count == 1 ? "1 job" : "\(count) jobs" }
}
