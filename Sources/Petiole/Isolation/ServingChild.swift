import CPetiole
import PetioleDispatch
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// One request, or none
//
// A child that has died while nobody looked must not cost a job an attempt. A request that is written may still be in the
// channel when the child dies. So the child sets a bit in the attempt's slot, which both have mapped, before it runs anything of
// the job; and the runner, which learns of the death from the kernel, looks at it then:
//
//     runner                         child
//     clears the bit (prepares the slot)
//     writes the request
//                                    reads it
//                                    sets the bit
//                                    runs the job, and dies
//     finds the channel at its end
//     reads the bit: set, the attempt has failed; else another child is given the job
//
// A stop against the end of an attempt: who asks does so under `asked`, and only while the job is the current one, which the
// worker ends under the same lock before it gives the child another. A message that is under way by then names its job.
//
// What ends a child is the end of its control pipe, which the kernel closes with the runner. `PR_SET_PDEATHSIG` would not do: it
// is sent when the *thread* ends that started the child, is not there on macOS, and is not sent to a child whose parent was gone
// before it asked for it.

/// A child process that runs jobs one after the other, as its runner sees it.
///
/// Used by one thread at a time, which its owner, ``WarmChildren``, sees to; any thread may ask it to stop.
final class ServingChild: @unchecked Sendable {
    // What guards it: everything but `asked` is touched by whoever has the child, one thread at a time.
    let settings: ChildSettings
    let process: ChildProcess
    private let running: RunningCommands
    private let channel: Descriptor
    private let control: Descriptor
    private let errorOutput: Descriptor
    /// Jobs that it was given.
    private(set) var jobs = 0
    private var tail = OutputTail()
    private var received = ByteWriter(capacity: 4_096)
    private var hasEnded = false
    /// The pipe of its standard error is at its end: it may have closed it, and goes on all the same.
    private(set) var errorsHaveEnded = false
    /// Our standard error, but in tests.
    var errorsGoTo: Int32 = 2
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    private struct Asked {
        /// The job that it runs.
        var job: UInt64 = 0
        /// When it is killed, having been asked to stop.
        var killAt: ContinuousClock.Instant?
        var isKilled = false
    }
    private let asked = Mutex(Asked())

    /// How long a program may take from its start to its first line: it may have to be read from a slow disk.
    static let startLimit: Duration = .seconds(60)
    /// A child may make its pipe larger than one read takes, by default up to 1 MiB.
    private static let readsOfFullPipe = 16
    /// How long a child that has closed its channel may take to be gone.
    private static let endGrace: Duration = .seconds(1)

    private init(
        _ settings: ChildSettings, _ process: ChildProcess, _ running: RunningCommands,
        channel: consuming Descriptor, control: consuming Descriptor,
        errorOutput: consuming Descriptor
    ) {
        self.settings = settings
        self.process = process
        self.running = running
        self.channel = channel
        self.control = control
        self.errorOutput = errorOutput
    }

    deinit { buffer.deallocate() }

    // MARK: Starting

    /// Starts a child and waits until it serves.
    static func start(
        _ settings: ChildSettings, _ store: OpenStore, among running: RunningCommands = .shared
    ) throws -> ServingChild {
        let command = try Command(serving: store, settings)
        let mark = AttemptMark(storeID: store.mark, owner: RunnerIdentity.own)
        var channels: (Int32, Int32) = (-1, -1)
        let code = withUnsafeMutablePointer(to: &channels) { pair in
            pair.withMemoryRebound(to: Int32.self, capacity: 2) { petiole_channel($0) }
        }
        guard code == 0 else { throw SpawnError.outOfResources(code: code) }
        let ours = Descriptor(owning: channels.0)
        let theirs = Descriptor(owning: channels.1)
        let control = try Pipe(ours: .writing)
        let errorOutput = try Pipe(ours: .reading)
        // What a job prints goes where the runner's own output does, if there is such a place.
        let null = Descriptor(owning: open("/dev/null", O_WRONLY | O_CLOEXEC))
        let output = fcntl(1, F_GETFD) >= 0 ? 1 : null.number
        let numbers = (control.reading.number, output, errorOutput.writing.number, theirs.number)
        let process = try running.start { () throws(SpawnError) in
            try ChildProcess { () throws(SpawnError) in
                try ChildProcess.spawn(
                    command, mark, input: numbers.0, output: numbers.1, error: numbers.2,
                    channel: numbers.3)
            }
        }
        // Only the child has these from now on: their other ends end with it.
        _ = consume theirs
        _ = consume null
        let child = ServingChild(
            settings, process, running, channel: ours, control: control.writing,
            errorOutput: errorOutput.reading)
        try child.awaitReady()
        return child
    }

    private func awaitReady() throws {
        let limit = ContinuousClock.now + Self.startLimit
        var reason = "it did not say that it serves within \(Self.startLimit)"
        switch next(until: limit) {
        case .frame(let frame) where frame.kind == .ready:
            if frame.number == ChildProtocol.version { return }
            reason = "it was built with another version of Petiole"
        case .frame(let frame) where frame.kind == .cannot:
            reason = String(decoding: frame.rest, as: UTF8.self)
        case .frame, .garbled: reason = "it said what is no answer"
        case .ended:
            let how = end(by: .now + Self.endGrace)
            reason = "\(how.withoutLines); does it begin with `Petiole.serveChild(jobs:)`?"
            throw unfit(reason)
        case .timeIsUp: break
        }
        kill()
        _ = end(by: .now)
        throw unfit(reason)
    }

    private func unfit(_ reason: String) -> ChildProcessEnded {
        let path = visible(settings.executable ?? OwnExecutable.path)
        return ChildProcessEnded(
            .unfit(reason: "\(path) does not serve as a child process: \(reason)"),
            lastLines: tail.lines)
    }

    // MARK: An attempt

    enum Answer {
        case succeeded(ChildFrame)
        case threw(ThrownInChild)
        /// Asked to stop, it did.
        case stopped
        /// It cannot run this job.
        case cannot(String)
        /// What it said cannot be read; it is ended.
        case garbled
        /// It is gone; ``end(by:)`` says how.
        case ended
    }

    /// The child is about to be given a job; it can be asked to stop from now on.
    func begin(_ job: UInt64) {
        jobs += 1
        tail.removeAll()
        asked.withLock { $0 = Asked(job: job) }
    }

    /// The attempt has ended: nothing that is asked now is meant for the next job.
    func finish() { asked.withLock { $0.job = 0 } }

    /// Whether it may be given another job.
    var isFit: Bool {
        if asked.withLock({ $0.isKilled }) || hasEnded { return false }
        if let maxJobs = settings.maxJobs, jobs >= maxJobs { return false }
        if let limit = settings.maxResidentBytes {
            return petiole_resident_bytes(process.pid) <= UInt64(limit)
        }
        return true
    }

    /// Asks the job to stop, and kills the child if it has not within a time. Does nothing when another job runs by now.
    /// - Parameter grace: nil: a hard limit sees to that.
    func ask(_ order: ChildOrder, grace: Duration?) {
        asked.withLock { asked in
            guard asked.job == order.job else { return }
            tell(order)
            if let grace, asked.killAt == nil {
                asked.killAt = .now + grace
                process.wakeWaiter()
            }
        }
    }

    /// Ends the child, and with it the job, at once. Does nothing when another job runs by now.
    func kill(_ job: UInt64) {
        asked.withLock { asked in
            guard asked.job == job else { return }
            asked.isKilled = true
            process.signalGroup(SIGKILL)
        }
    }

    private func kill() {
        asked.withLock { $0.isKilled = true }
        process.signalGroup(SIGKILL)
    }

    /// Gives the child its job and waits for what it comes to.
    func run(_ request: ChildRequest, _ core: RunnerCore) -> Answer {
        let bytes = request.bytes
        while true {
            let count = bytes.withUnsafeBytes {
                petiole_channel_send(channel.number, $0.baseAddress!, $0.count)
            }
            if count == -Int(EINTR) { continue }
            // So few bytes go at once or not at all.
            if count == bytes.count { break }
            return .ended
        }
        return converse(request.job, core, isWaiting: false) ?? .garbled
    }

    /// - Returns: nil when it waited for another job and goes on.
    private func converse(_ job: UInt64, _ core: RunnerCore, isWaiting: Bool) -> Answer? {
        while true {
            switch next(until: nil) {
            case .ended: return .ended
            case .garbled, .timeIsUp: return .garbled
            case .frame(let frame):
                // Of a task that outlived its job.
                guard frame.job == job else { continue }
                switch frame.kind {
                case .ready: return .garbled
                case .succeeded: return .succeeded(frame)
                case .stopped: return .stopped
                case .cannot: return .cannot(String(decoding: frame.rest, as: UTF8.self))
                case .threw: return ThrownInChild(frame.rest).map { .threw($0) } ?? .garbled
                case .goesOn:
                    if isWaiting { return nil }
                case .waits:
                    guard !isWaiting else { continue }
                    if let answer = withoutPlace(job, core) { return answer }
                }
            }
        }
    }

    /// The job waits for another one: this thread's place in the pool goes to a spare thread meanwhile, as when a job on a thread
    /// waits.
    /// - Returns: nil when it goes on, or was refused.
    private func withoutPlace(_ job: UInt64, _ core: RunnerCore) -> Answer? {
        core.flushOutcomes(of: Worker.current)
        let waited: Answer?? = core.pool.blocking { () -> Answer? in
            // A job that was run by this process before may be a suspect.
            core.letOthersBegin(beside: job)
            tell(ChildOrder(.waitOn, job: job))
            return converse(job, core, isWaiting: true)
        }
        if waited == nil { tell(ChildOrder(.doNotWait, job: job)) }
        return waited ?? nil
    }

    /// The pipe holds 4,096 of them; a child that reads none any more is not told.
    private func tell(_ order: ChildOrder) {
        order.bytes.withUnsafeBytes {
            _ = petiole_write_quietly(control.number, $0.baseAddress!, $0.count)
        }
    }

    // MARK: What it says

    private enum Step {
        case frame(ChildFrame)
        case ended
        case garbled
        case timeIsUp
    }

    /// The next thing that it says. Passes on meanwhile what it writes to its standard error, and kills it when the time for that
    /// has come.
    private func next(until limit: ContinuousClock.Instant?) -> Step {
        while true {
            do throws(FormatError) {
                if let frame = try takeFrame() { return .frame(frame) }
            } catch { return .garbled }
            if hasEnded { return .ended }
            let killAt = asked.withLock { $0.killAt }
            if let killAt, killAt <= .now {
                asked.withLock { $0.killAt = nil }
                kill()
                continue
            }
            if let limit, limit <= .now { return .timeIsUp }
            wait(until: [killAt, limit].compactMap { $0 }.min())
        }
    }

    private func wait(until deadline: ContinuousClock.Instant?) {
        let events = Int16(POLLIN)
        var watched = (
            pollfd(fd: channel.number, events: events, revents: 0),
            pollfd(fd: errorNumber, events: events, revents: 0),
            pollfd(fd: process.endDescriptor, events: events, revents: 0),
            pollfd(fd: process.wakeDescriptor, events: events, revents: 0)
        )
        let count = withUnsafeMutablePointer(to: &watched) { watched in
            watched.withMemoryRebound(to: pollfd.self, capacity: 4) {
                poll($0, 4, pollTimeout(until: deadline))
            }
        }
        // Interrupted, or out of memory for a moment: the loop looks again.
        guard count > 0 else { return }
        if watched.3.revents != 0 { process.drainWake() }
        if watched.1.revents != 0 { passErrorsOn() }
        let isGone = watched.2.revents != 0
        // What it said before it ended counts.
        if watched.0.revents != 0 || isGone { receive(all: isGone) }
        if isGone { hasEnded = true }
    }

    private func receive(all: Bool) {
        while true {
            let count = petiole_channel_receive(
                channel.number, buffer.baseAddress!, buffer.count)
            if count > 0 {
                received.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                if !all, count < buffer.count { return }
            } else if count == -Int(EINTR) {
                continue
            } else {
                if count != -Int(EAGAIN) { hasEnded = true }
                return
            }
        }
    }

    private func takeFrame() throws(FormatError) -> ChildFrame? {
        guard
            let (frame, length) = try received.withBytes({ (bytes) throws(FormatError) in
                try ChildFrame.read(bytes)
            })
        else { return nil }
        received.removeFirst(length)
        // A large result does not stay in memory.
        received.shrink(toCapacity: 1 << 20)
        return frame
    }

    /// -1, which `poll` skips, when nothing more comes of it.
    private var errorNumber: Int32 { errorsHaveEnded ? -1 : errorOutput.number }

    /// Reads what is there of its standard error, without waiting: kept for a failure, and written to our own. No more than a
    /// pipe may hold: one that writes for ever does not keep the thread from looking at anything else.
    private func passErrorsOn() {
        for _ in 0..<Self.readsOfFullPipe where !errorsHaveEnded {
            let count = read(errorOutput.number, buffer.baseAddress, buffer.count)
            guard count > 0 else {
                errorsHaveEnded = count == 0 || (errno != EAGAIN && errno != EINTR)
                return
            }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            tail.append(bytes)
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = petiole_write_quietly(
                    errorsGoTo, UnsafeRawBufferPointer(rebasing: rest).baseAddress!, rest.count)
                if written == -Int(EINTR) { continue }
                // Nobody reads ours: then nobody reads a child's.
                guard written > 0 else { break }
                rest = rest.dropFirst(written)
            }
            if count < buffer.count { return }
        }
    }

    /// Whether an idle child has written something, or died.
    var hasStirred: Bool {
        var watched = (
            pollfd(fd: errorNumber, events: Int16(POLLIN), revents: 0),
            pollfd(fd: channel.number, events: Int16(POLLIN), revents: 0)
        )
        return withUnsafeMutablePointer(to: &watched) { watched in
            watched.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, 0) }
        } > 0
    }

    /// Passes on what an idle child has written. Returns whether it still lives.
    func passOn() -> Bool {
        passErrorsOn()
        var watched = pollfd(fd: channel.number, events: Int16(POLLIN), revents: 0)
        return poll(&watched, 1, 0) == 0
    }

    /// What it has written last, for whoever has it, or while nobody does.
    var lastLines: String { tail.lines }

    // MARK: The end

    /// Lets an idle child go: its pipe ends. Its end is awaited by ``end(by:)``.
    func letGo() {
        _ = shutdown(channel.number, Int32(SHUT_RDWR))
    }

    /// Waits until the child is gone, kills it when it is not by then, and with it whatever is left in its group. Once.
    func end(by deadline: ContinuousClock.Instant) -> ChildProcessEnded {
        var watched = pollfd(fd: process.endDescriptor, events: Int16(POLLIN), revents: 0)
        while process.endDescriptor >= 0, deadline > .now {
            let count = poll(&watched, 1, pollTimeout(until: deadline))
            if count > 0 || (count < 0 && errno != EINTR) { break }
        }
        // Unreaped, it keeps the number of its group: the signal reaches nobody else.
        process.signalGroup(SIGKILL)
        let cause = process.takeEnd()
        running.remove(process)
        passErrorsOn()
        hasEnded = true
        return ChildProcessEnded(cause, lastLines: tail.lines)
    }

    /// The same for one that has closed its channel, or is to.
    func end() -> ChildProcessEnded { end(by: .now + Self.endGrace) }
}

extension ChildProcessEnded {
    fileprivate var withoutLines: ChildProcessEnded { ChildProcessEnded(cause) }
}
