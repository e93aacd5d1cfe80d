import Petiole

/// Takes lines of an export, and enqueues those that follow each other and have the same options together: while some are written
/// to the disk the next are read.
final class Importer {
    static let lineLimit = 64 << 20
    /// So many are enqueued at once, or fewer of 4 MiB.
    private static let batch = 1_000
    private static let batchBytes = 4 << 20

    private let store: JobStore?
    private let queue: String?
    /// Nothing is enqueued.
    private let isDry: Bool
    private let takesPresent: Bool
    private(set) var line = 0
    private(set) var enqueued = 0
    private(set) var present = 0
    private(set) var ended = 0
    private(set) var leftOut = 0

    private struct Batch {
        var old: [UInt64] = []
        var requests: [JobStore.CommandRequest] = []
        var bytes = 0
        var options = EnqueueOptions()
    }
    private var gathered = Batch()
    private var hasFailed = false
    private var onItsWay: (old: [UInt64], task: Task<[ClosedRange<UInt64>], any Error>)?
    /// New ids by old ones, of jobs that others may come after: all of them, since who comes after is known later.
    private var ids: [UInt64: UInt64] = [:]
    /// What was imported before; nil: nobody has asked yet.
    private var known: [JobOrigin: UInt64]?

    /// - Parameters:
    ///   - store: nil: there is none yet, and nothing is to be enqueued.
    ///   - takesPresent: whether those are enqueued once more that were imported before.
    init(store: JobStore?, queue: String?, isDry: Bool, takesPresent: Bool) {
        self.store = store
        self.queue = queue
        self.isDry = isDry
        self.takesPresent = takesPresent
    }

    func take(_ text: [UInt8]) async throws {
        line += 1
        if text.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { return }
        let job: ExportedJob
        do {
            job = try PayloadCodec.readJSON(ExportedJob.self, text)
        } catch {
            throw Failure.usage(
                """
                line \(line) is none of `petiole export --what jobs`: \(visible("\(error)"))
                """)
        }
        if let version = job.v, version != JSONLine.version {
            throw Failure.usage(
                """
                line \(line) has version \(version), and this petiole reads \(JSONLine.version)
                import it with the petiole that exported it, or a newer one
                """)
        }
        guard !job.hasEnded else { return ended += 1 }
        if let id = try presentJob(job) {
            ids[job.id] = id
            return present += 1
        }
        if let reason = job.reasonToLeaveOut(queue: queue) { return leaveOut(job, reason) }
        var options = try job.options(queue: queue, line: line)
        for old in job.after ?? [] {
            if ids[old] == nil {
                try await flush()
                try await settle()
            }
            guard let id = ids[old] else {
                return leaveOut(job, "it comes after job \(old), which is not taken")
            }
            let new = JobID(rawValue: id)
            let isAnyEnd = job.anyEnd?.contains(old) == true
            options.after.append(isAnyEnd ? .end(of: new) : .success(of: new))
        }
        let command: Command
        do {
            try CommandQueue.check(options.queue ?? "")
            if let problem = options.problem { throw Failure.usage(problem) }
            command = try job.command()
        } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            throw Failure.usage("line \(line): \(reason)")
        }
        let isFull =
            gathered.requests.count >= Self.batch || gathered.bytes >= Self.batchBytes
        if options != gathered.options || isFull { try await flush() }
        gathered.options = options
        gathered.old.append(job.id)
        gathered.requests.append(
            JobStore.CommandRequest(
                command: command, input: job.mark?.bytes ?? [], origin: job.origin))
        gathered.bytes += text.count
    }

    private func leaveOut(_ job: ExportedJob, _ reason: String) {
        leftOut += 1
        say("job \(job.id) is left out: \(reason)")
    }

    /// The job that this one was imported as before, if that is still there.
    private func presentJob(_ job: ExportedJob) throws -> UInt64? {
        guard !takesPresent, let store, let origin = job.origin else { return nil }
        let found = try known ?? store.importedJobs()
        known = found
        return found[origin]
    }

    /// Hands over what is gathered, when what was handed over before is accepted: so they are accepted in their order.
    func flush() async throws {
        if gathered.requests.isEmpty { return }
        try await settle()
        let batch = gathered
        gathered = Batch()
        guard !isDry, let store else {
            // Each stands for itself: nothing is enqueued.
            for old in batch.old { ids[old] = old }
            return enqueued += batch.old.count
        }
        let (requests, options) = (batch.requests, batch.options)
        onItsWay = (
            batch.old,
            Task {
                try await store.enqueue(
                    commands: requests, options: options, areImported: true)
            }
        )
    }

    /// Waits until all that was handed over is accepted.
    func settle() async throws {
        guard let (old, task) = onItsWay else { return }
        onItsWay = nil
        hasFailed = true
        for (old, new) in zip(old, try await task.value.joined()) { ids[old] = new }
        hasFailed = false
        enqueued += old.count
    }

    /// Enqueues what was read before a line that could not be; not what comes behind jobs that were refused.
    func giveUp() async {
        do {
            if !hasFailed { try await flush() }
            try await settle()
        } catch {
            // The first thing that went wrong is told.
        }
    }
}
