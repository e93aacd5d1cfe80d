import PetioleStorage

/// A job that is given the result of a step before it in its workflow, besides its own payload.
///
/// Its attempts read it by ``JobContext/input(as:)``; a ``FollowingJob`` is handed it.
public protocol InputJob: CodableJob {
    /// What the step before gives.
    associatedtype Input: Codable & Sendable
}

/// A ``Job`` that is handed the result of the step before it.
public protocol FollowingJob: Job, InputJob {
    associatedtype Input
    associatedtype Output
    /// Runs one attempt.
    /// - Parameter input: the result of the step before, read from the store for this attempt.
    func run(_ input: Input, _ context: JobContext) throws -> Output
}

extension FollowingJob {
    /// Reads the input, and runs with it.
    public func run(_ context: JobContext) throws -> Output {
        try run(context.input(as: Input.self), context)
    }
}

/// An ``AsyncJob`` that is handed the result of the step before it.
public protocol AsyncFollowingJob: AsyncJob, InputJob {
    associatedtype Input
    associatedtype Output
    /// Runs one attempt.
    func run(_ input: Input, _ context: JobContext) async throws -> Output
}

extension AsyncFollowingJob {
    /// Reads the input, and runs with it.
    public func run(_ context: JobContext) async throws -> Output {
        try await run(context.input(as: Input.self), context)
    }
}

/// A job that is given the results of a group: the end of a chord.
///
/// Its attempts read them by ``JobContext/results(of:)``; a ``CollectingJob`` is handed them.
public protocol ResultsJob: CodableJob {
    /// What each member of the group gives.
    associatedtype Member: Codable & Sendable
}

/// A ``Job`` that is handed the results of a group.
public protocol CollectingJob: Job, ResultsJob {
    associatedtype Member
    associatedtype Output
    /// Runs one attempt.
    /// - Parameter results: in the order of the members, read from the store while they are gone through.
    func run(_ results: MemberResults<Member>, _ context: JobContext) throws -> Output
}

extension CollectingJob {
    /// Runs with the results.
    public func run(_ context: JobContext) throws -> Output {
        try run(context.results(of: Member.self), context)
    }
}

/// A closure that makes the input of a step of the result before it: registered with the runner under a name, since closures
/// cannot be kept in a store. See ``JobRunner/Options/inputMappings``.
public struct InputMapping<From: Codable & Sendable, To: Codable & Sendable>: Sendable {
    /// As ``JobType/jobName``.
    public let name: String
    let map: @Sendable (From) throws -> To

    /// Names a closure. What it throws is the failure of the attempt that asks for its input.
    public init(_ name: String, _ map: @escaping @Sendable (From) throws -> To) {
        self.name = name
        self.map = map
    }

    /// The same for a list of mappings of different types.
    public var registered: RegisteredMapping {
        let map = map
        return RegisteredMapping(name: name) { read in try map(try read(From.self) as! From) }
    }
}

/// An ``InputMapping`` without its types.
public struct RegisteredMapping: Sendable {
    let name: String
    /// From what reads the result as a type.
    let apply:
        @Sendable ((any (Codable & Sendable).Type) throws -> any Sendable) throws -> any Sendable
}

/// Why a job does not get what it asks for from its workflow.
public enum InputError: Error, Sendable, Equatable {
    /// The job is no part of a workflow, or nothing before it gives it a result.
    case none(JobID)
    /// No step of the workflow has this name.
    case noSuchStep(String)
    /// The step before did not succeed, and the workflow went on: see ``FailureRule/goOn``.
    case failed(JobError)
    /// It is given the results of several jobs, and asked for one: see ``JobContext/results(of:)``.
    case several(JobID)
    /// The runner knows no mapping of this name: see ``JobRunner/Options/inputMappings``.
    case unknownMapping(String)
    /// The store could not be read.
    case store(StoreError)
}

extension InputError: CustomStringConvertible {
    /// What happened, and the next step.
    public var description: String {
        switch self {
        case .none(let id):
            "job \(id) is given no result: it is no step of a workflow behind one that gives it any"
        case .noSuchStep(let name): "no step of the workflow has the name \"\(visible(name))\""
        case .failed(let error): "the step before did not succeed: \(error)"
        case .several(let id):
            "job \(id) is given the results of a group; ask for them by `results(of:)`"
        case .unknownMapping(let name):
            "the runner knows no input mapping \"\(visible(name))\"; name it in its options"
        case .store(let error): error.description
        }
    }
}
