import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A command that runs as a child of this process, in a process group of its own.
///
/// One thread starts it and waits for its end; any thread may signal, stop, suspend and resume it.
///
/// **No signal goes astray.** A pid, and with it the number of the group, is taken anew only after
/// the child has been reaped. Reaping and signalling both happen under `state`, and signalling
/// looks at `isReaped` first: so a signal goes to this child's group or nowhere. The waiting thread
/// leaves the ended child unreaped until the pipes are read, so that what it left behind in its
/// group can be reached as well. Only if the embedding program ignores SIGCHLD, or reaps children
/// that are not its own, is the number out of our hands; then the end descriptor, which cannot mean
/// another process, is asked first.
package final class ChildProcess: Sendable {
    /// How long a process that the command left behind may hold its output open after the command's
    /// end: long enough for a pipeline's last member to finish, short enough that a daemon does not
    /// hold a worker.
    package static let pipeGrace: Duration = .milliseconds(500)
    /// How long a stopped command has to end by itself.
    package static let stopGrace: Duration = .seconds(10)

    package let pid: pid_t
    /// In the system's own unit, to be compared alone; 0 if the child was gone before it could be
    /// read.
    package let startTime: UInt64
    package var processGroup: pid_t { pid }

    let startedAt: ContinuousClock.Instant
    /// -1 when the child had been reaped by somebody else before it could be opened.
    let endDescriptor: Int32
    private let wake: Wake
    private let pipes: Mutex<ChildPipes?>
    private let state = Mutex(State())

    private struct State {
        var isReaped = false
        var stop: Stop?
    }

    /// A stop that was asked for, and the signal that follows if the first is not enough.
    struct Stop {
        var hardAt: ContinuousClock.Instant
        var hard: Int32
        var hardIsSent = false
    }

    /// Starts the command. What it will say is read by ``awaitEnd()``, which must follow.
    /// - Parameter endByThread: waits without a process handle, as on systems that have none; for
    ///   tests.
    convenience init(
        spawning command: Command, mark: AttemptMark?, limits: CaptureLimits,
        watcher: OutputWatcher? = nil, endByThread: Bool = false
    ) throws(SpawnError) {
        try self.init(endByThread: endByThread) { () throws(SpawnError) in
            try Self.spawn(command, mark: mark, limits: limits, watcher: watcher)
        }
    }

    /// Starts what the closure starts. Without pipes of a command, its end is taken by ``takeEnd()``.
    init(
        endByThread: Bool = false, _ spawn: () throws(SpawnError) -> Started
    ) throws(SpawnError) {
        wake = try Wake()
        startedAt = .now
        let started = try spawn()
        let pid = started.pid
        self.pid = pid
        pipes = Mutex(started.pipes)
        let descriptor = petiole_end_descriptor(pid, endByThread ? 1 : 0)
        endDescriptor = descriptor >= 0 ? descriptor : -1
        var info = petiole_process_info()
        startTime = petiole_process_info(pid, &info) == 0 ? info.start_time : 0
        if descriptor < 0 && descriptor != -ESRCH {
            // Its end could not be waited for: better no child than one that nobody stops.
            kill(-pid, SIGKILL)
            var end = petiole_end()
            _ = petiole_reap(pid, -1, &end)
            state.withLock { $0.isReaped = true }
            throw .outOfResources(code: -descriptor)
        }
    }

    deinit {
        precondition(
            state.withLock { $0.isReaped }, "a child process was started and its end not awaited")
        if endDescriptor >= 0 { closeDescriptor(endDescriptor) }
    }

    /// Runs a command from its start to its end on the calling thread.
    /// - Parameter onStart: called once the child is there, before its end is awaited.
    package static func run(
        _ command: Command, mark: AttemptMark? = nil, limits: CaptureLimits = CaptureLimits(),
        watcher: OutputWatcher? = nil, among running: RunningCommands = .shared,
        live: LiveOutput? = nil,
        onStart: (ChildProcess) -> Void = { _ in }
    ) throws(SpawnError) -> CommandEnd {
        let child = try running.start { () throws(SpawnError) in
            try ChildProcess(spawning: command, mark: mark, limits: limits, watcher: watcher)
        }
        defer { running.remove(child) }
        onStart(child)
        let end = child.awaitEnd(live: live)
        if let fault = end.inputFault { throw fault }
        return end
    }

    /// The same for a command that is no attempt of a job.
    package static func runAside(
        _ command: Command, onStart: (ChildProcess) -> Void
    ) throws(SpawnError) -> CommandEnd {
        try run(command, onStart: onStart)
    }

    /// Sends a signal to the child's process group.
    /// - Returns: whether there was still one to send it to.
    @discardableResult
    package func signalGroup(_ signal: Int32) -> Bool {
        state.withLock { state in !state.isReaped && send(signal) }
    }

    /// Asks the command to end: its group gets `soft`, and `hard` if it, or what it left in its
    /// group, is still there after the given time. Comes back at once. A second call can only bring
    /// the hard signal forward.
    package func stop(
        soft: Int32 = SIGTERM, after grace: Duration = ChildProcess.stopGrace, hard: Int32 = SIGKILL
    ) {
        state.withLock { state in
            guard !state.isReaped else { return }
            let hardAt = ContinuousClock.now + grace
            if let earlier = state.stop {
                state.stop?.hardAt = min(earlier.hardAt, hardAt)
                state.stop?.hard = hard
            } else {
                state.stop = Stop(hardAt: hardAt, hard: hard)
            }
            _ = send(soft)
            // A suspended process takes no other signal before it goes on.
            _ = send(SIGCONT)
            wake.ring()
        }
    }

    package func suspend() { signalGroup(SIGSTOP) }
    package func resume() { signalGroup(SIGCONT) }

    /// Waits, in one `poll` without a clock, until the command has ended and its outputs are read
    /// to their ends. To be called once, by the thread that started it.
    /// - Parameter live: by which others may read meanwhile what it writes.
    package func awaitEnd(live: LiveOutput? = nil) -> CommandEnd {
        guard let pipes = self.pipes.withLock({ $0.take() }) else {
            preconditionFailure("the end of a child process is awaited once")
        }
        var conversation = ChildConversation(pipes: pipes, child: self, live: live)
        conversation.run()
        if let stop = state.withLock({ $0.stop }) { endGroup(stop) }
        let cause = takeEnd()
        return conversation.finish(cause: cause)
    }

    /// The stop that was asked for; if its time has come, the hard signal is sent. For the waiting
    /// thread.
    func performStop() -> Stop? {
        state.withLock { state in
            guard var stop = state.stop else { return nil }
            if !stop.hardIsSent && stop.hardAt <= .now {
                stop.hardIsSent = true
                _ = send(stop.hard)
                state.stop = stop
            }
            return stop
        }
    }

    var wakeDescriptor: Int32 { wake.reading }
    func drainWake() { wake.drain() }
    /// Makes the waiting thread look again.
    func wakeWaiter() { wake.ring() }

    /// After a stop the group ends with the command: members that outlived it get the rest of the
    /// time to end by themselves. The unreaped child keeps the number of the group theirs.
    private func endGroup(_ stop: Stop) {
        while true {
            let members = ProcessIdentity.living(in: processGroup)
            if members.isEmpty { return }
            if !ProcessIdentity.awaitEnds(members, until: stop.hardAt) {
                signalGroup(SIGKILL)
                // One by one too: where somebody else reaped the child, the group is no longer
                // signalled.
                for member in members { member.signal(SIGKILL) }
                _ = ProcessIdentity.awaitEnds(members, until: nil)
            }
        }
    }

    /// Waits for the child's end if need be, and says how it was. Once; no signal reaches it after that.
    func takeEnd() -> CommandEnd.Cause {
        state.withLock { state in
            state.isReaped = true
            var end = petiole_end()
            switch petiole_reap(pid, endDescriptor, &end) {
            case 0 where end.signalled != 0:
                return .signalled(end.status, coreDumped: end.core_dumped != 0)
            case 0:
                return .exited(code: end.status)
            case ECHILD:
                return .lost(.takenByOthers)
            case let code:
                return .lost(.system(code: code))
            }
        }
    }

    /// Under `state`, and only while the child is not reaped.
    private func send(_ signal: Int32) -> Bool {
        // Signal 0 asks only: ESRCH means that somebody else reaped the child, and that the number
        // is free.
        if endDescriptor < 0 || petiole_signal(pid, endDescriptor, 0) == ESRCH { return false }
        return kill(-pid, signal) == 0
    }
}

/// Our ends of a child's pipes.
struct ChildPipes: ~Copyable {
    var output: Descriptor
    var errorOutput: Descriptor
    /// There when the command's input is bytes that have not all been written.
    var input: Descriptor?
    var inputBytes: [UInt8]
    /// What goes there in place of bytes.
    var range: FileRangeFeed?
    var limits: CaptureLimits
    var watcher: OutputWatcher?
}

extension ChildProcess {
    struct Started: ~Copyable {
        let pid: pid_t
        /// Those of a command.
        var pipes: ChildPipes?
    }

    private static func spawn(
        _ command: Command, mark: AttemptMark?, limits: CaptureLimits, watcher: OutputWatcher?
    ) throws(SpawnError) -> Started {
        var directory: Descriptor?
        if let path = command.workingDirectory {
            let number = withCString(path) { petiole_open_directory($0) }
            guard number >= 0 else {
                throw .badWorkingDirectory(Command.quoted(path), code: -number)
            }
            directory = Descriptor(owning: number)
        }
        let directoryNumber = directory?.number ?? -1

        let null = petiole_null_input()
        guard null >= 0 else { throw .outOfResources(code: -null) }
        var childInput: Descriptor?
        var input: Descriptor?
        var inputBytes: [UInt8] = []
        var range: FileRangeFeed?
        switch command.standardInput {
        case .null:
            break
        case .file(let path):
            let number = withCString(path) { petiole_open_input(directoryNumber, $0) }
            guard number >= 0 else { throw .unreadableInput(Command.quoted(path), code: -number) }
            childInput = Descriptor(owning: number)
        case .bytes(let bytes):
            let pipe = try Pipe(ours: .writing)
            childInput = .some(pipe.reading)
            input = .some(pipe.writing)
            inputBytes = bytes
        case .range(let part):
            range = .some(try FileRangeFeed(part, directory: directoryNumber))
            let pipe = try Pipe(ours: .writing)
            petiole_enlarge_pipe(pipe.writing.number, FileRangeFeed.pipeSize)
            childInput = .some(pipe.reading)
            input = .some(pipe.writing)
        case .stored:
            // Who runs it names the file.
            throw .removedInput
        }
        let inputNumber = childInput?.number ?? null
        let output = try Pipe(ours: .reading)
        let errorOutput = try Pipe(ours: .reading)

        var arguments = SpawnArguments(command, mark: mark)
        var pid: pid_t = -1
        let outputs = (output.writing.number, errorOutput.writing.number)
        let name = mark.map { AttemptMark.startingName(storeID: $0.storeID) } ?? ""
        let code = name.withCString { name in
            arguments.withPointers { arguments, environment in
                var request = petiole_spawn_request(
                    arguments: arguments, environment: environment, directory: directoryNumber,
                    input: inputNumber, output: outputs.0, error: outputs.1, channel: -1,
                    starting_name: name, niceness: Int32(command.niceness))
                return petiole_spawn(&request, &pid)
            }
        }
        guard code == 0 else {
            throw error(code, command, byteCount: arguments.byteCount)
        }
        _ = consume directory
        _ = consume childInput
        let pipes = ChildPipes(
            output: output.reading, errorOutput: errorOutput.reading, input: input,
            inputBytes: inputBytes, range: range, limits: limits, watcher: watcher)
        return Started(pid: pid, pipes: pipes)
    }

    static func error(_ code: Int32, _ command: Command, byteCount: Int) -> SpawnError {
        let name = Command.quoted(command.arguments[0])
        switch code {
        case ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP: return .noSuchProgram(name)
        case EACCES, ENOEXEC, EPERM, EISDIR: return .notExecutable(name, code: code)
        case ELIBBAD: return .noInterpreter(name)
        case E2BIG: return .tooLong(byteCount: byteCount)
        case EAGAIN, ENOMEM, EMFILE, ENFILE: return .outOfResources(code: code)
        default: return .system(code: code)
        }
    }

    private static func withCString<Value>(
        _ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Value
    ) -> Value {
        (bytes + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
    }
}
