/// What a runner does around its attempts. Nil in a runner that was told nothing of the kind, so that its attempts pay one branch.
final class AttemptHooks: Sendable {
    private let chain: RunMiddlewareChain
    /// Nil when nobody listens.
    private let events: EventHub?
    let store: OpenStore
    /// With which payloads are decrypted and results encrypted.
    let cipher: PayloadCipher?
    /// Nil when none is provided.
    let resources: ResourcePool?

    init?(_ options: JobRunner.Options, _ core: RunnerCore) {
        let isListening = !options.listeners.isEmpty || core.store.events.isListening
        resources = ResourcePool(options.resources, core.logger)
        cipher = core.jobStore.setup?.cipher
        if options.middleware.isEmpty, !isListening, resources == nil, cipher == nil { return nil }
        chain = RunMiddlewareChain(middleware: options.middleware, logger: core.logger)
        events = isListening ? core.store.events : nil
        store = core.store
    }

    /// An attempt on this thread.
    func perform(
        _ entry: JobEntry, _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        _ info: @autoclosure () -> AttemptInfo, into result: inout ByteWriter,
        endView: () -> Void
    ) throws -> JobEntry.Performance {
        begin(context)
        defer { end(context) }
        guard !chain.middleware.isEmpty else {
            return try performSealed(
                entry, payload, codec: codec, context, into: &result, endView: endView)
        }
        var made: Result<JobEntry.Performance, any Error>?
        let end = chain.run(info()) {
            let performance = Result {
                try performSealed(
                    entry, payload, codec: codec, context, into: &result, endView: endView)
            }
            made = performance
            return AttemptEnd(performance, context)
        }
        if let made { return try made.get() }
        guard case .failed(let control) = end else {
            preconditionFailure("an attempt that was not made was decided by a control")
        }
        throw control
    }

    /// Decrypts the payload and encrypts the result, where that is to be done.
    private func performSealed(
        _ entry: JobEntry, _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> JobEntry.Performance {
        guard let cipher, !entry.isCommand else {
            return try entry.perform(
                payload, codec: codec, context, into: &result, endView: endView)
        }
        let performance = try withOpened(payload, codec: codec, name: entry.name) {
            try entry.perform($0, codec: $1, context, into: &result, endView: endView)
        }
        guard case .succeeded(let codec) = performance else { return performance }
        cipher.seal(
            &result, from: 0, codec: codec,
            .result(of: entry.name, context.id.rawValue, store))
        return .succeeded(codec: SealedBytes.codec)
    }

    /// What an asynchronous attempt does, within all that is done around it.
    func around(
        _ body: @escaping @Sendable () async throws -> AsyncAttempt.Result, _ context: JobContext,
        _ info: AttemptInfo
    ) -> @Sendable () async throws -> AsyncAttempt.Result {
        begin(context)
        return { [self] in
            defer { end(context) }
            func sealed(_ result: AsyncAttempt.Result) -> AsyncAttempt.Result {
                self.sealed(result, name: info.name, id: context.id.rawValue)
            }
            if chain.middleware.isEmpty { return sealed(try await body()) }
            var made: Result<AsyncAttempt.Result, any Error>?
            let end = await chain.runAsync(info) {
                do {
                    made = .success(try await body())
                    return .succeeded
                } catch {
                    made = .failure(error)
                    return AttemptEnd(error, context)
                }
            }
            if let made { return sealed(try made.get()) }
            guard case .failed(let control) = end else {
                preconditionFailure("an attempt that was not made was decided by a control")
            }
            throw control
        }
    }

    /// The attempts of a batch: the middleware of each item around those of the next, and all around the batch.
    /// - Parameter body: runs those that no middleware has decided about, whose indices it is given.
    func perform(
        _ contexts: [JobContext], _ infos: [AttemptInfo],
        _ body: (_ excepted: Set<Int>) -> [Result<AsyncAttempt.Result, any Error>]
    ) -> [Result<AsyncAttempt.Result, any Error>] {
        var results: [Result<AsyncAttempt.Result, any Error>] = []
        for context in contexts { begin(context) }
        defer { for context in contexts { end(context) } }
        func sealed() -> [Result<AsyncAttempt.Result, any Error>] {
            zip(results, infos).map { result, info in
                result.map { self.sealed($0, name: info.name, id: info.id.rawValue) }
            }
        }
        if chain.middleware.isEmpty {
            results = body([])
            return sealed()
        }
        func around(_ index: Int, _ excepted: Set<Int>) {
            guard index < infos.count else {
                results = body(excepted)
                return
            }
            var isMade = false
            let end = chain.run(infos[index]) {
                isMade = true
                around(index + 1, excepted)
                switch results[index] {
                case .success: return .succeeded
                case .failure(let error): return AttemptEnd(error, contexts[index])
                }
            }
            if isMade { return }
            around(index + 1, excepted.union([index]))
            if case .failed(let control) = end { results[index] = .failure(control) }
        }
        around(0, [])
        return sealed()
    }

    private func begin(_ context: JobContext) {
        if resources != nil { context.resourceUse.begin(context) }
        events?.started(context.id.rawValue, attempt: context.attempt, at: store.clock.now)
    }

    private func end(_ context: JobContext) {
        guard let resources else { return }
        for instance in context.resourceUse.end() { resources.letGo(instance) }
    }
}

extension AttemptEnd {
    init(_ error: any Error, _ context: JobContext) {
        self = error is CancellationError && context.isCancelled ? .stopped : .failed(error)
    }

    init(_ performance: Result<JobEntry.Performance, any Error>, _ context: JobContext) {
        switch performance {
        case .success(.succeeded): self = .succeeded
        case .success(.failed(_, let failure)):
            self = .failed(CommandFailure(description: failure.message))
        case .success(.stopped): self = .stopped
        case .failure(let error): self.init(error, context)
        }
    }
}
