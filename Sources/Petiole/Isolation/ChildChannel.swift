import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The child's end of the channel. One thread reads requests; any thread sends frames, each whole.
final class ChildChannel: Sendable {
    private let number: Int32
    private let isSending = Mutex(())

    init(_ number: Int32) { self.number = number }

    /// The next request. Ends the process when the runner has let go of it.
    func request() -> ChildRequest {
        withUnsafeTemporaryAllocation(byteCount: ChildRequest.size, alignment: 8) { buffer in
            var filled = 0
            while filled < buffer.count {
                let count = recv(number, buffer.baseAddress! + filled, buffer.count - filled, 0)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { ChildExit.idle() }
                filled += count
            }
            return ChildRequest(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Ends the process when there is no runner any more.
    func send(_ frame: ChildFrame) {
        var writer = ByteWriter(
            capacity: ChildFrame.headerSize + frame.result.count + frame.rest.count)
        frame.write(to: &writer)
        isSending.withLock { _ in
            writer.withBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let slice = UnsafeRawBufferPointer(rebasing: rest)
                    let count = petiole_channel_send(number, slice.baseAddress!, slice.count)
                    if count == -Int(EINTR) { continue }
                    guard count > 0 else { ChildExit.orphaned() }
                    rest = rest.dropFirst(count)
                }
            }
        }
    }
}

/// How a child leaves. Without `exit`: nothing of the program's own was begun that it could end, and jobs' threads may still run.
enum ChildExit {
    /// The runner has let it go.
    static func idle() -> Never {
        fflush(nil)
        _exit(0)
    }

    /// The runner is gone: the job that runs, if any, ends here, and what jobs have started in this process group.
    static func orphaned() -> Never {
        // Started by hand it may be in somebody's group.
        if getpgrp() == getpid() { kill(0, SIGKILL) }
        _exit(75)
    }
}
