import Petiole

extension JobStore {
    // MARK: What was enqueued

    /// All jobs of a type, in the order in which they were accepted, those that have ended too.
    /// - Throws: ``TestFailure`` when a payload cannot be read as the type, `StoreError` when the store cannot be.
    /// - Complexity: O(jobs kept).
    public func enqueued<J: CodableJob>(_ type: J.Type) throws -> [EnqueuedJob<J>] {
        try enqueued(J.jobName, as: J.self)
    }

    /// All raw jobs of a type, with their bytes.
    /// - Throws: `StoreError` when the store cannot be read.
    public func enqueued<J: RawJob>(_ type: J.Type) throws -> [EnqueuedJob<[UInt8]>] {
        try jobs(J.jobName) { $0.payload }
    }

    /// All jobs of a name: a closure's, or ones that were enqueued by name.
    /// - Throws: ``TestFailure`` when a payload cannot be read as the type, `StoreError` when the store cannot be.
    public func enqueued<Payload: Decodable & Sendable>(
        _ name: String, as type: Payload.Type
    ) throws -> [EnqueuedJob<Payload>] {
        try jobs(name) { details throws(CodecError) in
            guard let codec = PayloadCodec(storedID: details.payloadCodec) else {
                throw .refused(path: "", reason: "its codec \(details.payloadCodec) is unknown")
            }
            return try codec.decode(type, from: details.payload)
        }
    }

    /// The one job of a type.
    /// - Throws: ``TestFailure`` that lists them when there is none, or more than one.
    public func onlyJob<J: CodableJob>(_ type: J.Type) throws -> EnqueuedJob<J> {
        let jobs = try enqueued(type)
        guard jobs.count == 1 else { throw try notOne(J.jobName, jobs) }
        return jobs[0]
    }

    /// The one job of a name.
    /// - Throws: ``TestFailure`` that lists them when there is none, or more than one.
    public func onlyJob<Payload: Decodable & Sendable>(
        _ name: String, as type: Payload.Type
    ) throws -> EnqueuedJob<Payload> {
        let jobs = try enqueued(name, as: type)
        guard jobs.count == 1 else { throw try notOne(name, jobs) }
        return jobs[0]
    }

    private func jobs<Payload>(
        _ name: String, _ read: (JobDetails) throws(CodecError) -> Payload
    ) throws -> [EnqueuedJob<Payload>] {
        var ids: [JobID] = []
        var filter = JobFilter()
        filter.name = name
        try forEachJob(filter) { job in
            ids.append(job.id)
            return true
        }
        // Those that pruning kept apart come last.
        return try ids.sorted().map { id in
            let details = try details(of: id)
            let payload: Payload
            do throws(CodecError) { payload = try read(details) } catch {
                throw TestFailure(
                    "the payload of job \(id) \"\(name)\" cannot be read as \(Payload.self): \(error)"
                )
            }
            return EnqueuedJob(
                id: id, name: name, payload: payload, options: try toldOptions(of: id),
                state: details.summary.state, failedAttempts: details.failedAttempts,
                parent: details.parent)
        }
    }

    private func notOne<Payload>(
        _ name: String, _ jobs: [EnqueuedJob<Payload>]
    ) throws -> TestFailure {
        if !jobs.isEmpty {
            return TestFailure(
                "there are \(jobs.count) jobs \"\(name)\", not one:\n" + Self.list(jobs))
        }
        var others: [String: Int] = [:]
        try forEachJob { job in
            others[job.name, default: 0] += 1
            return true
        }
        let list = others.sorted { $0.key < $1.key }.map { "\($0.value) \"\($0.key)\"" }
        return TestFailure(
            "there is no job \"\(name)\"; there are "
                + (list.isEmpty ? "none at all" : list.joined(separator: ", ")))
    }

    private static func list(_ items: [some CustomStringConvertible]) -> String {
        items.map { "\($0)" }.joined(separator: "\n")
    }

    // MARK: What went wrong

    /// The jobs that failed, became dead letters or were discarded, in the order in which they were accepted.
    /// - Throws: `StoreError`.
    /// - Complexity: O(jobs kept).
    public func failures() throws(StoreError) -> [FailedJob] {
        var filter = JobFilter()
        filter.states = [.failed, .deadLetter, .discarded]
        var failures: [FailedJob] = []
        try forEachJob(filter) { job in
            if case .ended(let outcome) = job.state {
                failures.append(FailedJob(id: job.id, name: job.name, outcome: outcome))
            }
            return true
        }
        return failures.sorted { $0.id < $1.id }
    }

    /// Says that no job failed, became a dead letter or was discarded.
    /// - Throws: ``TestFailure`` that lists those that did, with their errors; `StoreError`.
    public func checkNoFailures() throws {
        let failures = try failures()
        guard failures.isEmpty else {
            throw TestFailure("\(failures.count) jobs have not succeeded:\n" + Self.list(failures))
        }
    }
}

/// A job that ended badly.
public struct FailedJob: Sendable, Hashable, CustomStringConvertible {
    /// The job's id.
    public let id: JobID
    /// The name of its type.
    public let name: String
    /// What it came to.
    public let outcome: Outcome

    /// Name, number and error in a line.
    public var description: String { "job \(id) \"\(name)\": \(JobState.ended(outcome).words)" }
}
