import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Exclusive locks, a byte each of one file, that the kernel drops with the process: no lease, no clock.
///
/// POSIX record locks: a forked child does not inherit them (`flock` and open-file locks it would, and keep a dead
/// owner's queue locked), and the kernel names the holder. They belong to the process, not to the descriptor, so what
/// this process holds is kept in a set besides, and the file is opened once and never closed: closing any descriptor
/// of it would drop them all.
/// - Source: POSIX, `fcntl`, on `F_SETLK` and `close`.
package final class ByteLocks: Sendable {
    private let file: Int32
    private let held = Mutex<Set<Int64>>([])

    package init(path: String) throws(StorageError) {
        file = unsafe open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(call: "open \(path)", code: errno) }
    }

    package enum Attempt: Sendable, Equatable {
        case taken
        /// Somebody holds it; his pid, which is our own when this process does.
        case heldBy(pid_t)
    }

    /// Takes a byte's lock if nobody holds it.
    package func tryLock(_ byte: Int64) throws(StorageError) -> Attempt {
        let code: Int32? = held.withLock { held in
            guard !held.contains(byte) else { return nil }
            let code = petiole_lock_byte(file, byte, 0)
            if code == 0 { held.insert(byte) }
            return code
        }
        switch code {
        case nil: return .heldBy(getpid())
        case 0: return .taken
        case EAGAIN:
            let holder = petiole_byte_holder(file, byte)
            // Given back in between: the next try will tell.
            if holder == 0 { return try tryLock(byte) }
            return .heldBy(pid_t(truncatingIfNeeded: holder))
        case let code?: throw .system(call: "fcntl F_SETLK", code: code)
        }
    }

    /// Waits in the kernel until another process gives the byte's lock back, and takes it. Blocks the thread.
    /// - Returns: false when this process itself holds it.
    package func lockWaiting(_ byte: Int64) throws(StorageError) -> Bool {
        if held.withLock({ $0.contains(byte) }) { return false }
        let code = petiole_lock_byte(file, byte, 1)
        if code != 0 { throw .system(call: "fcntl F_SETLKW", code: code) }
        // Record locks do not exclude threads of one process from each other: the set does.
        return held.withLock { $0.insert(byte).inserted }
    }

    package func unlock(_ byte: Int64) {
        held.withLock { held in
            guard held.remove(byte) != nil else { return }
            _ = petiole_unlock_byte(file, byte)
        }
    }

    /// The pid that holds a byte's lock, nil when nobody does.
    package func holder(of byte: Int64) -> pid_t? {
        if held.withLock({ $0.contains(byte) }) { return getpid() }
        let holder = petiole_byte_holder(file, byte)
        return holder > 0 ? pid_t(truncatingIfNeeded: holder) : nil
    }
}
