import Logging
import PetioleDispatch
import Synchronization

/// What a runner's attempts share: found by type and place, closed at the end.
final class ResourcePool: Sendable {
    private struct Key: Hashable {
        let type: ObjectIdentifier
        /// The number of a slot; -1: for all.
        let place: Int
    }
    private struct State {
        var cells: [Key: ResourceCell] = [:]
        /// In the order in which they were made.
        var instances: [ResourceInstance] = []
        var isClosed = false
    }

    private let providers: [ObjectIdentifier: ResourceProvider]
    private let logger: Logger
    private let state = Mutex(State())

    /// Nil when nothing is provided.
    init?(_ providers: [ResourceProvider], _ logger: Logger) {
        if providers.isEmpty { return nil }
        self.providers = Dictionary(providers.map { ($0.type, $0) }) { first, _ in first }
        self.logger = logger
    }

    /// Where a resource is found that attempts in a place use.
    func cell(_ type: Any.Type, place: Int) throws(ResourceError) -> ResourceCell {
        guard let provider = providers[ObjectIdentifier(type)] else {
            throw .notProvided(type: "\(type)")
        }
        let key = Key(type: provider.type, place: provider.isPerWorker ? place : -1)
        return state.withLock { state in
            if let cell = state.cells[key] { return cell }
            let cell = ResourceCell(provider) { [self] instance in
                self.state.withLock { $0.instances.append(instance) }
            }
            if state.isClosed { cell.close() }
            state.cells[key] = cell
            return cell
        }
    }

    /// An attempt that used an instance has ended.
    func letGo(_ instance: ResourceInstance) {
        if instance.letGo() { close(instance) }
    }

    /// An instance is broken: it is closed when the last attempt that uses it has ended.
    func retire(_ instance: ResourceInstance) {
        if instance.retire() { close(instance) }
    }

    /// Closes one that nobody uses: here, or in a task when it is closed by asynchronous code.
    private func close(_ instance: ResourceInstance) {
        state.withLock { $0.instances.removeAll { $0 === instance } }
        switch instance.provider.close {
        case .sync(let close):
            do { try close(instance.box) } catch { report(error, instance) }
        case .async(let close):
            Task {
                do { try await close(instance.box) } catch { report(error, instance) }
            }
        }
    }

    /// Closes all, the last made first. What attempts use that have not heeded the stop is left to the end of the process.
    /// - Returns: when that is done, or the limit has passed: what is left is named in the log, and goes on closing.
    func closeAll(limit: Duration) async {
        let instances = state.withLock { state in
            state.isClosed = true
            for cell in state.cells.values { cell.close() }
            // They refer to this pool.
            state.cells = [:]
            defer { state.instances = [] }
            return state.instances
        }
        if instances.isEmpty { return }
        let isOver = TaskWaiter()
        let hasClosed = SharedFlag()
        let closing = Mutex<String?>(nil)
        let holder = Holder(closing)
        OSThread.start(named: "petiole-close") { [self] in
            for instance in instances.reversed() {
                if instance.isInUse {
                    logger.warning(
                        "a resource is not closed: an attempt that did not stop uses it",
                        metadata: ["resource": "\(instance.provider.name)"])
                    continue
                }
                guard instance.retire() else { continue }
                holder.name.withLock { $0 = instance.provider.name }
                closeNow(instance)
            }
            hasClosed.set()
            isOver.wake()
        }
        let timer = Task {
            // Cancelled when all is closed.
            try? await Task.sleep(for: limit)
            isOver.wake()
        }
        await withUnsafeContinuation { isOver.wait($0) }
        timer.cancel()
        if !hasClosed.isSet {
            logger.warning(
                "a resource did not close in time; the runner ends without it",
                metadata: [
                    "resource": "\(holder.name.withLock { $0 } ?? "?")", "limit": "\(limit)",
                ])
        }
    }

    private final class Holder: Sendable {
        let name: Mutex<String?>
        init(_ name: consuming Mutex<String?>) { self.name = name }
    }

    private func closeNow(_ instance: ResourceInstance) {
        switch instance.provider.close {
        case .sync(let close):
            do { try close(instance.box) } catch { report(error, instance) }
        case .async(let close):
            let closed = Promise<Bool>()
            Task {
                do { try await close(instance.box) } catch { report(error, instance) }
                closed.give(true)
            }
            _ = closed.wait()
        }
    }

    private func report(_ error: any Error, _ instance: ResourceInstance) {
        logger.warning(
            "closing a resource failed",
            metadata: ["resource": "\(instance.provider.name)", "error": "\(error)"])
    }
}

/// What one attempt at a time has taken, in one place.
final class ResourceUse: Sendable {
    private struct State {
        var job: UInt64 = 0
        var attempt = 0
        var taken: [ObjectIdentifier: (cell: ResourceCell, instance: ResourceInstance)] = [:]
    }
    private let state = Mutex(State())

    func begin(_ context: JobContext) {
        state.withLock { state in
            state.job = context.id.rawValue
            state.attempt = context.attempt
        }
    }

    /// The attempt has ended: gives what it has taken.
    func end() -> [ResourceInstance] {
        state.withLock { state in
            state.job = 0
            defer { state.taken = [:] }
            return state.taken.values.map { $0.instance }
        }
    }

    /// What the attempt has taken of a type.
    func taken(_ type: Any.Type, by context: JobContext) throws(ResourceError) -> ResourceInstance?
    {
        let found = state.withLock { state -> ResourceInstance?? in
            guard Self.isOf(context, state) else { return nil }
            return .some(state.taken[ObjectIdentifier(type)]?.instance)
        }
        guard let found else { throw .attemptIsOver(context.id) }
        return found
    }

    /// Notes what was taken. False: the attempt has ended meanwhile, or has one already, which a task of its took at the same time.
    func note(
        _ type: Any.Type, _ cell: ResourceCell, _ instance: ResourceInstance,
        by context: JobContext
    ) -> Bool {
        state.withLock { state in
            guard Self.isOf(context, state), state.taken[ObjectIdentifier(type)] == nil else {
                return false
            }
            state.taken[ObjectIdentifier(type)] = (cell, instance)
            return true
        }
    }

    /// Takes back what the attempt had taken of a type.
    func giveBack(
        _ type: Any.Type, by context: JobContext
    ) -> (cell: ResourceCell, instance: ResourceInstance)? {
        state.withLock { state in
            guard Self.isOf(context, state) else { return nil }
            return state.taken.removeValue(forKey: ObjectIdentifier(type))
        }
    }

    private static func isOf(_ context: JobContext, _ state: State) -> Bool {
        state.job == context.id.rawValue && state.attempt == context.attempt
    }
}

extension JobContext {
    /// What the runner's provider of this type makes: made now, if it is not there yet. The same for the rest of the attempt.
    ///
    /// For jobs on threads. While another attempt makes it, this one waits for that on its thread, and fails with the same error.
    /// - Throws: what making it throws; ``ResourceError`` when there is no provider, or one of asynchronous code.
    public func resource<Resource>(
        _ type: Resource.Type = Resource.self
    ) throws -> Resource {
        let (pool, use) = try resources(type)
        if let instance = try use.taken(type, by: self) { return instance.box.open(as: type) }
        let cell = try pool.cell(type, place: resourcePlace)
        return try keep(try cell.take(), of: cell, type, pool, use)
    }

    /// The same for an ``AsyncJob``.
    public func resource<Resource>(
        _ type: Resource.Type = Resource.self
    ) async throws -> Resource {
        let (pool, use) = try resources(type)
        if let instance = try use.taken(type, by: self) { return instance.box.open(as: type) }
        let cell = try pool.cell(type, place: resourcePlace)
        return try keep(try await cell.takeAsync(), of: cell, type, pool, use)
    }

    /// Says that what this attempt was given is broken: whoever asks next, this attempt too, is given a new one. It is closed when the
    /// attempts that use it have ended. Does nothing when the attempt has not asked for one.
    public func discardResource<Resource>(_ type: Resource.Type = Resource.self) {
        guard let (pool, use) = try? resources(type),  // Without a provider nothing was taken.
            let (cell, instance) = use.giveBack(type, by: self)
        else { return }
        cell.forget(instance)
        pool.retire(instance)
        // Its own use ends with that: it is closed here, if nobody else uses it.
        pool.letGo(instance)
    }

    private func resources(
        _ type: Any.Type
    ) throws(ResourceError) -> (ResourcePool, ResourceUse) {
        guard let pool = runner.hooks?.resources else { throw .notProvided(type: "\(type)") }
        return (pool, resourceUse)
    }

    private func keep<Resource>(
        _ instance: ResourceInstance, of cell: ResourceCell, _ type: Resource.Type,
        _ pool: ResourcePool, _ use: ResourceUse
    ) throws(ResourceError) -> Resource {
        if use.note(type, cell, instance, by: self) { return instance.box.open(as: type) }
        pool.letGo(instance)
        // Taken by a task of the same attempt at the same time, or the attempt is over.
        guard let taken = try use.taken(type, by: self) else {
            throw .attemptIsOver(id)
        }
        return taken.box.open(as: type)
    }
}
