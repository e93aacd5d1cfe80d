/// An enqueue, as middleware sees it.
public struct EnqueueCall: Sendable {
    /// The name of the job type.
    public let name: String
    /// The job type; nil when the job is enqueued by name.
    public let type: (any JobType.Type)?
    /// The queue that the job goes to unless ``options`` say otherwise: where the store's routing sends it, else its type's.
    public let queue: String
    /// The job that enqueues this one through its context; nil: none does.
    public let parent: JobID?
    /// What this enqueue says otherwise than its job type, the metadata that a parent hands down in it; may be changed.
    public var options: EnqueueOptions

    /// A header of the job, to be read and set.
    public subscript(header name: String) -> String? {
        get { options.metadata?.headers[name] }
        set {
            var metadata = options.metadata ?? JobMetadata()
            metadata.headers[name] = newValue
            options.metadata = metadata
        }
    }
}

/// What an enqueue came to.
public enum EnqueueEnd: Sendable {
    /// So many jobs are on the disk; their ids follow each other, but for what had to be staged (more than 8 MiB). Of no job at all the
    /// id is nil.
    case accepted(first: JobID?, count: Int)
    /// Nothing was accepted: this job holds the unique key.
    case existing(JobID)
    /// Handed over, and not on the disk yet: buffered, or to be accepted with the success of the job that enqueues it.
    case handedOver
    /// None was accepted.
    case refused(EnqueueError)
}

/// What is done around each enqueue of a store: given in ``StoreOptions/enqueueMiddleware``.
///
/// Before an enqueue the middleware are called in the order in which they were given, each sees what the one before it has changed;
/// after it in the opposite order. An enqueue of many is one call. They run where the enqueue is called, so they do nothing slow.
/// What one throws is logged, and its changes are dropped; so are changes that an enqueue would refuse. The enqueue goes on.
public protocol EnqueueMiddleware: Sendable {
    /// An enqueue begins. May change its options.
    func willEnqueue(_ call: inout EnqueueCall) throws
    /// It has ended.
    func didEnqueue(_ call: EnqueueCall, _ end: EnqueueEnd) throws
}

extension EnqueueMiddleware {
    /// Changes nothing.
    public func willEnqueue(_ call: inout EnqueueCall) throws {}
    /// Does nothing.
    public func didEnqueue(_ call: EnqueueCall, _ end: EnqueueEnd) throws {}
}

/// An enqueue within the middleware of its store: from the call to the answer.
final class EnqueueWithin: Sendable {
    let call: EnqueueCall
    private let setup: StoreSetup

    /// Calls the middleware, outermost first.
    init(_ call: EnqueueCall, _ setup: StoreSetup) {
        var call = call
        for middleware in setup.middleware {
            var changed = call
            do {
                try middleware.willEnqueue(&changed)
            } catch {
                setup.report("enqueue middleware threw", middleware, error)
                continue
            }
            // What the caller wrote is the caller's error; what middleware makes of it is not.
            if let problem = changed.options.problem, call.options.problem == nil {
                setup.report("enqueue middleware changed an option", middleware, problem)
                continue
            }
            call = changed
        }
        self.call = call
        self.setup = setup
    }

    /// Tells them, innermost first, what the enqueue came to.
    func end(_ end: EnqueueEnd) {
        for middleware in setup.middleware.reversed() {
            do { try middleware.didEnqueue(call, end) } catch {
                setup.report("enqueue middleware threw", middleware, error)
            }
        }
    }
}
