/// How a runner makes and closes what jobs use and do not make anew each time: a database connection, a loaded model.
///
/// Given to a runner in ``JobRunner/Options/resources``, one a type; asked for by ``JobContext/resource(_:)-swift.method``. It is made
/// when it is first asked for. When that fails, so does the attempt that lets the error through, and whoever asks next tries
/// again. What was made is closed when the runner stops, the last made first, within
/// ``JobRunner/Options/resourceCloseLimit``; what closing throws is logged.
public struct ResourceProvider: Sendable {
    enum Making: Sendable {
        case sync(@Sendable () throws -> ResourceBox)
        case async(@Sendable () async throws -> ResourceBox)
    }
    enum Closing: Sendable {
        case sync(@Sendable (ResourceBox) throws -> Void)
        case async(@Sendable (ResourceBox) async throws -> Void)
    }

    let type: ObjectIdentifier
    let name: String
    /// One for each place in which attempts are made; else one for all.
    let isPerWorker: Bool
    let make: Making
    let close: Closing

    private init(
        _ type: Any.Type, isPerWorker: Bool, _ make: Making, _ close: Closing
    ) {
        self.type = ObjectIdentifier(type)
        name = "\(type)"
        self.isPerWorker = isPerWorker
        self.make = make
        self.close = close
    }

    /// One for each place in which attempts are made: a thread of the pool, or the place of an ``AsyncJob`` in flight. One attempt at a
    /// time has it. It need not be `Sendable`, but must not be bound to the thread that made it: it is closed on another one.
    public static func perWorker<Resource>(
        _ type: Resource.Type = Resource.self, make: @escaping @Sendable () throws -> Resource,
        close: @escaping @Sendable (Resource) throws -> Void = { _ in }
    ) -> ResourceProvider {
        ResourceProvider(
            type, isPerWorker: true, .sync { ResourceBox(try make()) },
            .sync { try close($0.open(as: type)) })
    }

    /// One for all attempts of the runner, which use it side by side.
    public static func perProcess<Resource: Sendable>(
        _ type: Resource.Type = Resource.self, make: @escaping @Sendable () throws -> Resource,
        close: @escaping @Sendable (Resource) throws -> Void = { _ in }
    ) -> ResourceProvider {
        ResourceProvider(
            type, isPerWorker: false, .sync { ResourceBox(try make()) },
            .sync { try close($0.open(as: type)) })
    }

    /// As ``perWorker(_:make:close:)``, made and closed by asynchronous code: for ``AsyncJob``s alone.
    public static func perWorkerAsync<Resource>(
        _ type: Resource.Type = Resource.self,
        make: @escaping @Sendable () async throws -> Resource,
        close: @escaping @Sendable (Resource) async throws -> Void = { _ in }
    ) -> ResourceProvider {
        ResourceProvider(
            type, isPerWorker: true, .async { ResourceBox(try await make()) },
            .async { try await close($0.open(as: type)) })
    }

    /// As ``perProcess(_:make:close:)``, made and closed by asynchronous code: for ``AsyncJob``s alone.
    public static func perProcessAsync<Resource: Sendable>(
        _ type: Resource.Type = Resource.self,
        make: @escaping @Sendable () async throws -> Resource,
        close: @escaping @Sendable (Resource) async throws -> Void = { _ in }
    ) -> ResourceProvider {
        ResourceProvider(
            type, isPerWorker: false, .async { ResourceBox(try await make()) },
            .async { try await close($0.open(as: type)) })
    }
}

/// A resource, whatever its type.
final class ResourceBox: @unchecked Sendable {
    // What guards it: it never changes, and what is in it is `Sendable`, or lent to one attempt at a time and closed after the last.
    private let value: Any
    init(_ value: Any) { self.value = value }

    func open<Resource>(as type: Resource.Type) -> Resource {
        guard let value = value as? Resource else {
            preconditionFailure("a resource is asked for by the type that it was provided for")
        }
        return value
    }
}

/// Why an attempt was given no resource.
public enum ResourceError: Error, Sendable, Hashable {
    /// The runner was given no provider of this type.
    case notProvided(type: String)
    /// It is made by asynchronous code, and a job on a thread has asked.
    case asynchronous(type: String)
    /// The attempt whose context was asked has ended.
    case attemptIsOver(JobID)
    /// The runner has stopped and closed its resources.
    case closed(type: String)
}

extension ResourceError: CustomStringConvertible {
    /// What happened, and the next step.
    public var description: String {
        switch self {
        case .notProvided(let type):
            "this runner makes no \(type): give it a provider in its options' `resources`; a child process "
                + "of an isolated type makes its own"
        case .asynchronous(let type):
            "\(type) is made by asynchronous code: let an AsyncJob ask for it, or provide it with "
                + "`.perWorker` or `.perProcess`"
        case .attemptIsOver(let id):
            "the attempt of job \(id) has ended; its context gives no resource any more"
        case .closed(let type): "the runner stops, and its \(type) is closed"
        }
    }
}

extension JobRunner.Options {
    /// What is wrong with the resources, and what is allowed; nil: nothing.
    var resourceProblem: String? {
        var seen: Set<ObjectIdentifier> = []
        for provider in resources where !seen.insert(provider.type).inserted {
            return "it has two providers of \(provider.name); one a type is allowed"
        }
        if resourceCloseLimit < .zero {
            return "resourceCloseLimit is \(resourceCloseLimit); zero and more are allowed"
        }
        return nil
    }
}
