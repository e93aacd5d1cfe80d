import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What the waiting thread does with a running child: feeds its input, reads its outputs, looks for
/// its end.
struct ChildConversation: ~Copyable {
    /// What a pipe holds on Linux: one read empties it.
    private static let readSize = 65_536
    /// A child may make its pipe larger, by default up to 1 MiB.
    private static let readsOfFullPipe = 16

    /// A disk that is full tells nobody when it has room: it is tried again each second.
    private static let fullDiskTick = Duration.seconds(1)

    private let child: ChildProcess
    private let watcher: OutputWatcher?
    private var isToldOfFullDisk = false
    private let live: LiveOutput?
    private var isFollowed = false
    private var pipes: ChildPipes
    private var output: OutputCapture
    private var errorOutput: OutputCapture
    private var inputPosition = 0
    /// Whether no more of the part of a file is to be written.
    private var rangeIsOver = false
    private var endedAt: ContinuousClock.Instant?
    /// -1, which `poll` skips, once the pipe is at its end.
    private var outputNumber: Int32
    private var errorNumber: Int32
    private var outputHeldOpen = false
    /// Why not all of the input was had.
    private var inputFault: SpawnError?

    init(pipes: consuming ChildPipes, child: ChildProcess, live: LiveOutput?) {
        self.child = child
        watcher = pipes.watcher
        self.live = live
        output = OutputCapture(limits: pipes.limits, suffix: "out")
        errorOutput = OutputCapture(limits: pipes.limits, suffix: "err")
        outputNumber = pipes.output.number
        errorNumber = pipes.errorOutput.number
        self.pipes = pipes
    }

    /// Until the child has ended and its pipes have too, or the time is up that they have after it; and what they held has room
    /// on the disk, unless a stop was asked for.
    mutating func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.readSize, alignment: 16)
        defer { buffer.deallocate() }
        // Nobody to watch: somebody else reaped it before we looked.
        if child.endDescriptor < 0 { endedAt = .now }
        showIfFollowed()
        feed()
        while endedAt == nil || outputNumber >= 0 || errorNumber >= 0 || isWaiting {
            let stop = child.performStop()
            var deadline = deadline(stop)
            if isWaiting, awaitsRoom(stop) {
                // The command, or what it has written before its end, waits with us.
                let tick = ContinuousClock.now + Self.fullDiskTick
                deadline = stop.map { $0.hardIsSent ? tick : min($0.hardAt, tick) } ?? tick
            } else if endedAt != nil, let deadline, deadline <= .now {
                // This process may have been suspended since: what is there is read first.
                drain(buffer, isLast: stop != nil)
                if isWaiting, stop == nil { continue }
                outputHeldOpen = outputNumber >= 0 || errorNumber >= 0
                return
            }
            step(until: deadline, buffer)
        }
    }

    private var isWaiting: Bool { output.isWaiting || errorOutput.isWaiting }

    /// Tries what found no room on the disk once more.
    /// - Returns: whether it is still to be waited for: not when a stop was asked for and the command has ended.
    private mutating func awaitsRoom(_ stop: ChildProcess.Stop?) -> Bool {
        if !isToldOfFullDisk {
            isToldOfFullDisk = true
            watcher?.onFullDisk(false)
        } else {
            output.tryAgain()
            errorOutput.tryAgain()
        }
        if !isWaiting {
            isToldOfFullDisk = false
            if !output.isLost, !errorOutput.isLost { watcher?.onFullDisk(true) }
            return false
        }
        return stop == nil || endedAt == nil
    }

    /// Lets the outputs be written where others read them, if somebody wants to.
    private mutating func showIfFollowed() {
        guard let live else { return }
        isFollowed = live.isFollowed
        guard isFollowed else { return }
        output.show()
        errorOutput.show()
        tellFollowers()
    }

    private func tellFollowers() {
        guard isFollowed, let live else { return }
        live.tell(output: output.fileNumber, errorOutput: errorOutput.fileNumber)
    }

    consuming func finish(cause: CommandEnd.Cause) -> CommandEnd {
        let fault = inputFault ?? pipes.range?.fault
        var end = CommandEnd(
            cause: cause, runTime: (endedAt ?? .now) - child.startedAt,
            output: output.finish(), errorOutput: errorOutput.finish(),
            outputHeldOpen: outputHeldOpen)
        end.inputFault = fault
        return end
    }

    /// Until when nothing may happen: the hard signal of a stop, or, after the child's end, the end
    /// of the grace of its pipes, which begins anew with the hard signal.
    private func deadline(_ stop: ChildProcess.Stop?) -> ContinuousClock.Instant? {
        if let stop, !stop.hardIsSent { return stop.hardAt }
        guard let endedAt else { return nil }
        return max(endedAt, stop?.hardAt ?? endedAt) + ChildProcess.pipeGrace
    }

    private mutating func step(
        until deadline: ContinuousClock.Instant?, _ buffer: UnsafeMutableRawBufferPointer
    ) {
        let events = Int16(POLLIN)
        var watched = (
            // Of one that finds no room on the disk nothing more is read, and the command waits.
            pollfd(fd: output.isWaiting ? -1 : outputNumber, events: events, revents: 0),
            pollfd(fd: errorOutput.isWaiting ? -1 : errorNumber, events: events, revents: 0),
            pollfd(fd: pipes.input?.number ?? -1, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: endedAt == nil ? child.endDescriptor : -1, events: events, revents: 0),
            pollfd(fd: child.wakeDescriptor, events: events, revents: 0)
        )
        let count = withUnsafeMutablePointer(to: &watched) { watched in
            watched.withMemoryRebound(to: pollfd.self, capacity: 5) {
                poll($0, 5, pollTimeout(until: deadline))
            }
        }
        // Interrupted, or out of memory for a moment: the loop looks again.
        guard count > 0 else { return }
        if watched.4.revents != 0 {
            child.drainWake()
            showIfFollowed()
        }
        if watched.2.revents != 0 { feed() }
        if watched.0.revents != 0, Self.read(outputNumber, into: &output, buffer, tell(.output)) {
            outputNumber = -1
        }
        if watched.1.revents != 0,
            Self.read(errorNumber, into: &errorOutput, buffer, tell(.errorOutput))
        {
            errorNumber = -1
        }
        if watched.0.revents != 0 || watched.1.revents != 0 { tellFollowers() }
        if watched.3.revents != 0 {
            endedAt = .now
            // Nobody reads it any more, or only what the command left behind.
            pipes.input = nil
        }
    }

    /// Reads what the pipes hold, without waiting, and not for ever from one that is filled again
    /// meanwhile.
    /// - Parameter isLast: whether what finds no room on the disk is read as well, since nobody comes back for it.
    private mutating func drain(_ buffer: UnsafeMutableRawBufferPointer, isLast: Bool) {
        for _ in 0..<Self.readsOfFullPipe {
            if outputNumber >= 0, isLast || !output.isWaiting,
                Self.read(outputNumber, into: &output, buffer, tell(.output))
            {
                outputNumber = -1
            }
            if errorNumber >= 0, isLast || !errorOutput.isWaiting,
                Self.read(errorNumber, into: &errorOutput, buffer, tell(.errorOutput))
            {
                errorNumber = -1
            }
        }
    }

    private typealias Listener = (
        CommandStream, @Sendable (CommandStream, UnsafeRawBufferPointer) -> Void
    )

    private func tell(_ stream: CommandStream) -> Listener? {
        (watcher?.onOutput).map { (stream, $0) }
    }

    /// Reads once. True at the end of the pipe.
    private static func read(
        _ number: Int32, into capture: inout OutputCapture,
        _ buffer: UnsafeMutableRawBufferPointer, _ listener: Listener?
    ) -> Bool {
        let count = systemRead(number, buffer)
        if count > 0 {
            let wanted = capture.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            if let (stream, tell) = listener, wanted > 0 {
                tell(stream, UnsafeRawBufferPointer(rebasing: buffer[..<wanted]))
            }
        }
        return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
    }

    /// Writes what the pipe takes of the input; closes it after the last byte, or when nobody
    /// reads.
    private mutating func feed() {
        guard let number = pipes.input?.number else { return }
        if !rangeIsOver {
            switch pipes.range?.write(to: number) {
            case .full: return
            case .failed(let fault): inputFault = fault
            case .finished, nil: break
            }
            rangeIsOver = true
        }
        while inputPosition < pipes.inputBytes.count {
            let count = pipes.inputBytes.withUnsafeBytes {
                petiole_write_quietly(
                    number, $0.baseAddress! + inputPosition, $0.count - inputPosition)
            }
            if count == -Int(EINTR) { continue }
            if count == -Int(EAGAIN) { return }
            // EPIPE: a command need not read its input, and what it came to is for it to say.
            if count < 0 { break }
            inputPosition += count
        }
        pipes.input = nil
    }
}

private func systemRead(_ number: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    read(number, buffer.baseAddress, buffer.count)
}
