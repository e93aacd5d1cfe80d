import Logging
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The built-in job type whose attempts are child processes.
package enum CommandJob {
    /// The name of its jobs in the store.
    package static let name = "petiole.command"
    /// The codec number of its payloads and results.
    package static let codec: UInt8 = 3
}

/// Runs commands on the pool's threads: each waits there for its child.
// What guards it: as its superclass; what it adds never changes.
final class CommandEntry: JobEntry, @unchecked Sendable {
    /// Bytes of each output that lie in the outcome; more goes to a file of the store's folder `outputs`.
    private let memoryBound: Int
    private let onEnd: (@Sendable (JobID, CommandEnd) -> Void)?
    private let onStart: (@Sendable (JobID) -> Void)?
    private let running: CommandRunOptions
    private let medianLimit: MedianLimit?

    init(
        queue: String, retryPolicy: RetryPolicy, memoryBound: Int = 1 << 20,
        running: CommandRunOptions = CommandRunOptions(),
        onStart: (@Sendable (JobID) -> Void)? = nil,
        onEnd: (@Sendable (JobID, CommandEnd) -> Void)? = nil
    ) {
        self.memoryBound = memoryBound
        self.onStart = onStart
        self.onEnd = onEnd
        self.running = running
        medianLimit = running.medianPercent.map { MedianLimit(percent: $0) }
        super.init(name: CommandJob.name, queue: queue, retryPolicy: retryPolicy, kind: .command)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        let bytes = Array(payload)
        endView()
        let command: Command
        do throws(CompactFault) {
            let stored = try Command.decode(bytes)
            let number = context.resourcePlace % RunningSlots.slotsPerSeat + 1
            let own = [Command.Variable("PETIOLE_SLOT", String(number))]
            command = stored.with(own + (context.told?.planned.map { $0.variables } ?? []))
        } catch {
            throw UndecodablePayload("\(error)")
        }
        if context.isCancelled { return .stopped }
        onStart?(context.id)
        var end: CommandEnd
        do { end = try run(command, context) } catch {
            if !context.isCancelled, isLast(context) { running.onLastEnd?(false) }
            throw error
        }
        onEnd?(context.id, end)
        let passed = context.runner.deadlines.hasPassed(context.id.rawValue)
        if let medianLimit {
            // Its own limit, if it has one, ends with it.
            _ = context.runner.deadlines.end(context.id.rawValue)
            medianLimit.end(
                context.id.rawValue, end.runTime, succeeded: end.succeeded,
                context.runner.deadlines, context.runner.stoppables)
        }
        if context.isCancelled, !end.succeeded, passed == nil {
            // No outcome will name them.
            for output in [end.output, end.errorOutput] {
                guard case .spilled(let name, _) = output.wanted else { continue }
                unlink("\(context.runner.store.outputsPath)/\(name)")
            }
            return .stopped
        }
        // Behind the look at what was asked of this one: the answer may be to stop the runner.
        if let onLastEnd = running.onLastEnd, end.succeeded || isLast(context) {
            onLastEnd(end.succeeded)
        }
        if !end.succeeded { end.passedLimit = passed?.limit }
        var encoded: [UInt8] = []
        end.encode(into: &encoded)
        encoded.withUnsafeBytes { result.append(contentsOf: $0) }
        if end.succeeded { return .succeeded(codec: CommandJob.codec) }
        return .failed(codec: CommandJob.codec, FailureRecord(type: "Command", message: end.reason))
    }

    /// Whether no attempt follows this one when it fails.
    private func isLast(_ context: JobContext) -> Bool {
        let most = context.mostAttempts == 0 ? retryPolicy.maxAttempts : Int(context.mostAttempts)
        return context.attempt >= most
    }

    private func run(_ command: Command, _ context: JobContext) throws -> CommandEnd {
        let store = context.runner.store
        var command = command
        if case .stored(let name) = command.standardInput {
            let directory = "\(store.path)/\(StoredInputs.folder)"
            command = command.reading(from: directory)
            let path = "\(directory)/\(String(decoding: name, as: UTF8.self))"
            guard access(path, F_OK) == 0 else { throw SpawnError.removedInput }
        }
        let limits = CaptureLimits(
            memoryBound: memoryBound,
            spill: SpillPlace(
                directory: Array(store.outputsPath.utf8), name: "\(context.id)-\(context.attempt)"),
            outputLimit: running.outputLimit)
        let mark = AttemptMark(
            storeID: store.mark, job: context.id.rawValue, attempt: context.attempt)
        let stoppables = context.runner.stoppables
        let slot = context.slot
        defer { stoppables.remove(context.id.rawValue) }
        let live = LiveOutput(store.slots, job: context.id.rawValue, attempt: context.attempt)
        return try ChildProcess.run(
            command, mark: mark, limits: limits, watcher: watcher(context), live: live
        ) { child in
            slot.setChild(
                pid: child.pid, group: child.processGroup, startTime: child.startTime)
            stoppables.add(context.id.rawValue, startedAt: slot.startedAt) {
                child.stop()
            } kill: {
                child.stop(after: .zero)
            } look: {
                child.wakeWaiter()
            }
            medianLimit?.begin(
                context.id.rawValue, slot, context.runner.deadlines, stoppables)
            // Asked to stop before it could be found.
            if context.isCancelled { child.stop() }
        }
    }

    private func watcher(_ context: JobContext) -> OutputWatcher {
        let id = context.id
        let core = context.runner
        let tell = running.onFullDisk
        var watcher = OutputWatcher { isOver in
            if let tell { return tell(id, isOver) }
            let text: Logger.Message =
                isOver
                ? "the output of a command has room again"
                : "a command waits: the disk has no room for its output"
            core.logger.warning(text, metadata: ["job": "\(id)"])
        }
        if let onOutput = running.onOutput {
            watcher.onOutput = { stream, bytes in onOutput(id, stream, bytes) }
        }
        return watcher
    }
}

extension PlannedRun {
    /// What a command finds in its environment.
    fileprivate var variables: [Command.Variable] {
        [
            Command.Variable("PETIOLE_SCHEDULE", schedule),
            Command.Variable("PETIOLE_PLANNED", WallTime(microseconds: time).description),
        ]
    }
}

extension CommandEnd {
    /// The end in words: "it exited with status 3".
    package var reason: String {
        if let passedLimit { return TimeLimitExceeded(limit: passedLimit).description }
        return switch cause {
        case .exited(0): lossOfOutput ?? "it exited with status 0"
        case .exited(let code): "it exited with status \(code)"
        case .signalled(let signal, let dumped):
            "it was ended by signal \(signal)\(dumped ? ", and left a core" : "")"
        case .lost(.takenByOthers):
            "its end was taken by somebody else: this program ignores SIGCHLD or waits for children"
        case .lost(.system(let code)): "its end could not be awaited: \(systemMessage(code))"
        }
    }
}

extension CommandEnd {
    /// What is lost of the output, in words; nil when all of it is kept.
    private var lossOfOutput: String? {
        for part in [output, errorOutput] {
            if case .incomplete(_, let lost, let reason) = part.wanted {
                return "\(lost) bytes of its output could not be kept: \(reason.text)"
            }
        }
        return nil
    }
}

extension CapturedOutput.LossOfOutput {
    /// Why, in words.
    package var text: String {
        switch self {
        case .noSpillDirectory: "there was no place for them"
        case .overSpillBound: "there were more than are kept"
        case .diskFull: "the disk was full"
        case .system(let code): systemMessage(code)
        }
    }
}

extension OpenStore {
    /// Where outputs of commands go that are too large for an outcome; made when first asked for.
    var outputsPath: String {
        let path = self.path + "/outputs"
        // Already there, or the spill itself will say why not.
        mkdir(path, 0o700)
        return path
    }
}

extension JobStore {
    /// A command to be enqueued, with the bytes of the input that it was made for.
    package struct CommandRequest: Sendable {
        package let command: Command
        package let input: [UInt8]
        /// The job of another store that it is imported as.
        package let origin: JobOrigin?
        package init(command: Command, input: [UInt8] = [], origin: JobOrigin? = nil) {
            self.command = command
            self.input = input
            self.origin = origin
        }
    }

    /// Enqueues commands all or nothing. Each keeps the bytes of its input beside it, by which a run that goes on knows it.
    /// - Parameter areImported: whether their origins are kept, which each then pays for.
    package func enqueue(
        commands: some Sequence<CommandRequest> & Sendable, options: EnqueueOptions,
        areImported: Bool = false
    ) async throws(EnqueueError) -> [ClosedRange<UInt64>] {
        let request = try request(
            name: CommandJob.name, options, codec: .raw, codecID: CommandJob.codec)
        var iterator = commands.makeIterator()
        // One for all.
        var bytes: [UInt8] = []
        func write(
            _ next: CommandRequest, _ writer: inout ByteWriter
        ) -> Int {
            next.input.withUnsafeBytes { writer.append(contentsOf: $0) }
            bytes.removeAll(keepingCapacity: true)
            next.command.encode(into: &bytes)
            bytes.withUnsafeBytes { writer.append(contentsOf: $0) }
            return next.input.count
        }
        guard areImported else {
            let jobs: EnqueuedJobs<[UInt8]> = try await acceptMany(request) {
                (writer) throws(CodecError) in
                iterator.next().map { write($0, &writer) }
            }
            return jobs.idRanges
        }
        var next: CommandRequest?
        let jobs: EnqueuedJobs<[UInt8]> = try await acceptMany(request) {
            () throws(EnqueueError) in
            next = iterator.next()
            return OwnOptions(origin: next?.origin)
        } next: { (writer) throws(CodecError) in
            next.map { write($0, &writer) }
        }
        return jobs.idRanges
    }

    /// The file that holds an output that was spilled.
    package func spillPath(_ name: String) -> String { open.path + "/outputs/" + name }
}

extension Schedule {
    /// A schedule of a command.
    package init(
        command: Command, name: String, _ rule: Rule, in zone: String, options: EnqueueOptions
    ) {
        self.init(name: name, rule: rule, zone: zone) { (store) throws(EnqueueError) in
            try ScheduledJob(
                job: CommandJob.name, options,
                request: { (options) throws(EnqueueError) in
                    try store.request(
                        name: CommandJob.name, options, codec: .raw, codecID: CommandJob.codec)
                },
                { (writer) throws(CodecError) in
                    var bytes: [UInt8] = []
                    command.encode(into: &bytes)
                    bytes.withUnsafeBytes { writer.append(contentsOf: $0) }
                })
        }
    }
}

extension JobStore {
    /// The command that a schedule enqueues; nil: its job is none, or cannot be read.
    /// - Throws: ``ScheduleError/noSuchSchedule(_:)``.
    package func command(ofSchedule name: String) throws(ScheduleError) -> Command? {
        let open = open
        let definition: ScheduleDefinition?
        do throws(StoreError) {
            definition = try open.read { (reader) throws(StorageError) in
                try ScheduleRows.definition(name, reader, open.tables)
            }
        } catch { throw .store(error) }
        guard let job = definition?.job else { throw .noSuchSchedule(name) }
        guard job.jobName == CommandJob.name, job.codec == CommandJob.codec else { return nil }
        // Shown as a job whose payload cannot be read.
        return try? Command.decode(Array(job.content.dropFirst(Int(job.extrasLength))))
    }
}

extension JobRunner {
    /// A runner of commands of one queue.
    package convenience init(
        commandsOf queue: String, in store: JobStore, retryPolicy: RetryPolicy, options: Options,
        running: CommandRunOptions = CommandRunOptions(),
        onStart: (@Sendable (JobID) -> Void)? = nil,
        onEnd: (@Sendable (JobID, CommandEnd) -> Void)? = nil
    ) throws(RunnerError) {
        var registry = try JobRegistry(types: [], closures: [])
        try registry.add(
            CommandEntry(
                queue: queue, retryPolicy: retryPolicy, running: running, onStart: onStart,
                onEnd: onEnd))
        try self.init(
            store, registry: registry, options: options, logger: Logger(label: "petiole"))
        core.mostPlaces = running.mostPlaces
        core.onPaused = running.onPaused
        guard !running.start.isEmpty else { return }
        var start = running.start
        start.onFailure = { [core] in core.fail(.store($0)) }
        core.startGate = StartGate(start, store: store.open)
    }
}
