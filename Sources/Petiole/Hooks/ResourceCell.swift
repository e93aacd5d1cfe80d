import Synchronization

// One resource, for whom there may be one at a time
//
// | state | by | becomes |
// |---|---|---|
// | none | the first that asks | being made |
// | being made | others that ask | being made: they wait for what comes of it, or its error |
// | being made | made | there, with its users |
// | being made | failed | none: who asks next tries again |
// | there | who asks | there, one user more |
// | there | a user who says that it is broken | none; it is closed when its last user's attempt has ended |
// | any | the end | closed: nothing more is made |

/// What was made, and who uses it.
final class ResourceInstance: Sendable {
    let box: ResourceBox
    let provider: ResourceProvider
    fileprivate let state = Mutex(State())
    fileprivate struct State {
        var users = 0
        var isRetired = false
        var isClosed = false
    }

    fileprivate init(_ box: ResourceBox, _ provider: ResourceProvider) {
        self.box = box
        self.provider = provider
    }

    fileprivate func use(by users: Int) { state.withLock { $0.users += users } }

    /// An attempt that used it has ended. Returns whether it is to be closed now.
    func letGo() -> Bool {
        state.withLock { state in
            state.users -= 1
            return Self.closes(&state)
        }
    }

    /// It is not to be used any more. Returns whether it is to be closed now.
    func retire() -> Bool {
        state.withLock { state in
            state.isRetired = true
            return Self.closes(&state)
        }
    }

    var isInUse: Bool { state.withLock { $0.users > 0 } }

    private static func closes(_ state: inout State) -> Bool {
        guard state.isRetired, state.users == 0, !state.isClosed else { return false }
        state.isClosed = true
        return true
    }
}

/// Where one resource is made and found: of one type, for one place or for all.
final class ResourceCell: Sendable {
    private struct State {
        var current: ResourceInstance?
        var isMaking = false
        var isClosed = false
        var waiters: [@Sendable (Result<ResourceInstance, any Error>) -> Void] = []
    }
    private enum Step {
        case take(ResourceInstance)
        case make
        case wait
        case refuse
    }

    private let provider: ResourceProvider
    private let state = Mutex(State())
    private let whenMade: @Sendable (ResourceInstance) -> Void

    init(
        _ provider: ResourceProvider, whenMade: @escaping @Sendable (ResourceInstance) -> Void
    ) {
        self.provider = provider
        self.whenMade = whenMade
    }

    /// Gives the resource to an attempt on this thread, which blocks while another one makes it.
    func take() throws -> ResourceInstance {
        guard case .sync(let make) = provider.make else {
            throw ResourceError.asynchronous(type: provider.name)
        }
        let made = Promise<Result<ResourceInstance, any Error>>()
        switch begin(waiter: { made.give($0) }) {
        case .take(let instance): return instance
        case .make: return try finish(Result { try make() })
        case .wait: return try made.wait().get()
        case .refuse: throw ResourceError.closed(type: provider.name)
        }
    }

    /// The same for a task.
    func takeAsync() async throws -> ResourceInstance {
        let given: Result<ResourceInstance, any Error>? = await withUnsafeContinuation {
            continuation in
            switch begin(waiter: { continuation.resume(returning: $0) }) {
            case .take(let instance): continuation.resume(returning: .success(instance))
            case .make: continuation.resume(returning: nil)
            case .wait: break
            case .refuse:
                continuation.resume(
                    returning: .failure(ResourceError.closed(type: provider.name)))
            }
        }
        if let given { return try given.get() }
        switch provider.make {
        case .sync(let make): return try finish(Result { try make() })
        case .async(let make):
            let result: Result<ResourceBox, any Error>
            do { result = .success(try await make()) } catch { result = .failure(error) }
            return try finish(result)
        }
    }

    private func begin(
        waiter: @escaping @Sendable (Result<ResourceInstance, any Error>) -> Void
    ) -> Step {
        state.withLock { state in
            if state.isClosed { return .refuse }
            if let current = state.current {
                current.use(by: 1)
                return .take(current)
            }
            if state.isMaking {
                state.waiters.append(waiter)
                return .wait
            }
            state.isMaking = true
            return .make
        }
    }

    /// What came of the making, for who made it and all that waited.
    private func finish(_ made: Result<ResourceBox, any Error>) throws -> ResourceInstance {
        let result = made.map { ResourceInstance($0, provider) }
        let waiters = state.withLock { state in
            state.isMaking = false
            defer { state.waiters = [] }
            if case .success(let instance) = result {
                instance.use(by: 1 + state.waiters.count)
                // Closed meanwhile, when an attempt did not heed the stop: its own, until it ends.
                if !state.isClosed { state.current = instance }
            }
            return state.waiters
        }
        if case .success(let instance) = result { whenMade(instance) }
        for waiter in waiters { waiter(result) }
        return try result.get()
    }

    /// The instance is broken: who asks next makes another. One made since stays.
    func forget(_ instance: ResourceInstance) {
        state.withLock { state in
            if state.current === instance { state.current = nil }
        }
    }

    /// Nothing more is made here.
    func close() { state.withLock { $0.isClosed = true } }
}
