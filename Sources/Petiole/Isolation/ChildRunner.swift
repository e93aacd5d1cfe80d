import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Runs jobs in a child process, one after the other, on the thread that calls ``run()``.
final class ChildRunner: @unchecked Sendable {
    // What guards it: `entries` and `result` are touched by the thread of `run` alone, all else guards itself.
    private let core: RunnerCore
    private let store: OpenStore
    private let channel: ChildChannel
    private let clock: RunnersClock
    /// By the store's number of their name, as far as they were met.
    private var entries: [UInt32: JobEntry] = [:]
    private var result = ByteWriter(capacity: 1_024)
    private let waiting = Mutex(Waiting())
    /// What is waited for from the control pipe: whether the attempt may wait.
    private let answer = Mutex<Promise<Bool>?>(nil)

    private struct Waiting {
        var job: UInt64 = 0
        /// Threads and tasks of it that wait for other jobs.
        var count = 0
    }

    init(_ core: RunnerCore, _ channel: ChildChannel, _ clock: RunnersClock) {
        self.core = core
        store = core.store
        self.channel = channel
        self.clock = clock
    }

    func run() throws -> Never {
        petiole_block_sigpipe()
        let reader = try store.environment.makeReader()
        reader.end()
        while true {
            let request = channel.request()
            clock.shift(to: request.clocks)
            waiting.withLock { $0 = Waiting(job: request.job) }
            let frame = attempt(request, reader)
            reader.end()
            waiting.withLock { $0 = Waiting() }
            // What the job has printed is not to wait for the next one.
            fflush(nil)
            channel.send(frame)
            result.removeAll()
            result.shrink(toCapacity: 1 << 20)
        }
    }

    // MARK: An attempt

    private func attempt(_ request: ChildRequest, _ reader: Reader) -> ChildFrame {
        do {
            return try found(request, reader)
        } catch let reason as Unfit {
            var frame = ChildFrame(kind: .cannot)
            frame.rest = Array(reason.text.utf8)
            frame.job = request.job
            return frame
        } catch {
            // The store could not be read: the attempt has failed, and another one may be luckier.
            return threw(error, request, .never)
        }
    }

    private struct Unfit: Error { var text: String }

    private func found(_ request: ChildRequest, _ reader: Reader) throws -> ChildFrame {
        guard let slot = store.slots.slot(at: Int(request.slot)), slot.job == request.job else {
            throw Unfit(text: "the runner's slot does not name job \(request.job)")
        }
        try reader.begin()
        guard let block = try Lookup.block(request.job, reader, store.tables) else {
            throw Unfit(text: "there is no job \(request.job) any more")
        }
        let job = try block.entry(request.job)
        let options = try job.options()
        let entry = try entry(job.meta.name)
        let place = AttemptPlace(slot, core)
        place.effects.begin(job: request.job)
        var context = JobContext(
            id: JobID(rawValue: request.job), attempt: Int(request.attempt), root: options.root,
            metadata: options.metadata, planned: options.planned,
            priority: try Lookup.active(request.job, reader, store.tables)?.priority
                ?? block.priority, place: place)
        context.member = options.workflow
        slot.noteBegun()
        let codec: UInt8
        do {
            codec = try perform(entry, job, context, reader)
        } catch {
            if error is CancellationError, context.isCancelled {
                return ChildFrame(kind: .stopped, job: request.job)
            }
            return threw(error, request, entry.retryPolicy)
        }
        var frame = ChildFrame(kind: .succeeded, codec: codec, job: request.job)
        frame.result = result.withBytes { Array($0) }
        if let effects = place.effects.take(job: request.job, attempt: Int(request.attempt)) {
            frame.rest = ChildEffects.encode(effects)
        }
        return frame
    }

    private func threw(
        _ error: any Error, _ request: ChildRequest, _ policy: RetryPolicy
    ) -> ChildFrame {
        var frame = ChildFrame(kind: .threw, job: request.job)
        frame.rest = ThrownInChild(error, policy).bytes
        return frame
    }

    private func entry(_ number: UInt32) throws -> JobEntry {
        if let entry = entries[number] { return entry }
        let name = try core.jobStore.jobName(number)
        guard let entry = core.registry.entries.first(where: { $0.name == name }) else {
            throw Unfit(
                text: "its process does not know the job type \"\(name ?? "?")\": "
                    + "`Petiole.serveChild(jobs:)` there does not name it")
        }
        entries[number] = entry
        return entry
    }

    /// - Returns: the codec of the result.
    private func perform(
        _ entry: JobEntry, _ job: JobBlockView.Entry, _ context: JobContext, _ reader: Reader
    ) throws -> UInt8 {
        guard entry.isAsync else {
            let performance = try entry.perform(
                job.payload, codec: job.meta.codec, context, into: &result,
                endView: { reader.end() })
            guard case .succeeded(let codec) = performance else {
                preconditionFailure("only commands end in other ways")
            }
            return codec
        }
        let body = try entry.prepare(job.payload, codec: job.meta.codec, context)
        reader.end()
        let done = Promise<Result<(codec: UInt8, result: [UInt8]), any Error>>()
        let place = AsyncPlace(core: core, job: context.id.rawValue)
        let task = Task.detached {
            await AsyncPlace.$current.withValue(place) {
                do {
                    done.give(.success(try await body()))
                } catch {
                    // A task that was cancelled may throw anything.
                    let wasStopped = Task.isCancelled && context.isCancelled
                    done.give(.failure(wasStopped ? CancellationError() : error))
                }
            }
        }
        core.stoppables.add(context.id.rawValue, startedAt: context.slot.startedAt) {
            task.cancel()
        }
        // Asked to stop before it could be found.
        if context.isCancelled { task.cancel() }
        let end = done.wait()
        core.stoppables.remove(context.id.rawValue)
        let (codec, bytes) = try end.get()
        bytes.withUnsafeBytes { result.append(contentsOf: $0) }
        return codec
    }

    // MARK: Waiting inside a job

    /// The job is about to wait for another one: the runner's thread gives its place in the pool away meanwhile.
    /// - Returns: false when so many jobs wait already that this one may not.
    func leavePlace(_ job: UInt64) -> Bool {
        waiting.withLock { waiting in
            // One that outlived its attempt has no place.
            guard waiting.job == job else { return true }
            if waiting.count == 0 {
                let promise = Promise<Bool>()
                answer.withLock { $0 = promise }
                channel.send(ChildFrame(kind: .waits, job: job))
                guard promise.wait() else { return false }
            }
            waiting.count += 1
            return true
        }
    }

    func comeBack(_ job: UInt64) {
        waiting.withLock { waiting in
            guard waiting.job == job, waiting.count > 0 else { return }
            waiting.count -= 1
            if waiting.count == 0 { channel.send(ChildFrame(kind: .goesOn, job: job)) }
        }
    }

    // MARK: Orders

    /// Takes orders from the control pipe until that ends with the runner, and the process ends with it.
    func takeOrders(_ control: Int32) -> Never {
        withUnsafeTemporaryAllocation(byteCount: ChildOrder.size, alignment: 8) { buffer in
            while true {
                let count = read(control, buffer.baseAddress, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count == buffer.count else { break }
                if let order = ChildOrder(UnsafeRawBufferPointer(buffer)) { carryOut(order) }
            }
        }
        ChildExit.orphaned()
    }

    private func carryOut(_ order: ChildOrder) {
        switch order.kind {
        case .stop: core.stoppables.stop(order.job)
        case .stopAll: core.stopNow()
        case .waitOn, .doNotWait:
            answer.withLock { answer in
                answer?.give(order.kind == .waitOn)
                answer = nil
            }
        }
    }
}
