import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Record locks and threads
//
// Record locks exclude processes from each other and nothing else: to the kernel all threads of a process are one owner. So
// who holds what among the threads is told by `held`, and three things follow.
//
// One object a file. Two objects would not know of each other's `held`, and the end of one would drop the other's locks,
// since closing any descriptor of the file drops all that the process holds in it. See `ByteLocks.shared`.
//
// A grant is not yet ours. While a thread waits in the kernel nothing of the byte is in `held`:
//
//     waits for the byte                      another thread
//     is granted it by the kernel
//                                             tries the byte: the kernel says yes, `held` has it
//                                             gives it back: the kernel drops it
//     puts it into `held`                     ← which would be a lock that nobody has
//
// Therefore what the wait brought counts for nothing: under `held`, which every change of a kernel's lock is made under but
// for such grants, the byte is asked for once more. To an owner that has it the kernel says yes again; if it went meanwhile
// and another process has it, the wait begins anew.
//
// Processes that wait for each other. The kernel refuses a wait with EDEADLK when the holder waits itself for something that
// we hold. It looks at processes, and what looks like a circle mostly is none: a process that runs queue *a* and stands by
// for *b*, and another one that runs *b* and stands by for *a*, wait on threads that hold nothing. Real circles are kept out
// by order: a runner takes its queues' bytes in ascending order and the recovery byte after them, and under the recovery byte
// nobody waits. So EDEADLK is no answer for anybody: the thread waits by a lock of the open file instead, which the kernel
// does not search for circles, and asks again when that wait is over. Such a lock is had for an instant, and nobody's pid is
// told for it: who meets it yields and looks again.
//
// - Source: POSIX, `fcntl`, on `F_SETLK` and `close`; Linux, fs/locks.c, posix_locks_deadlock.

/// Exclusive locks, a byte each of one file, that the kernel drops with the process: no lease, no clock.
///
/// POSIX record locks: a forked child does not inherit them (`flock` and open-file locks it would, and keep a dead
/// owner's queue locked), and the kernel names the holder.
package final class ByteLocks: Sendable {
    /// How often who meets a standby's passing lock yields to it. A standby that is stopped at that point (SIGSTOP) is not
    /// waited for.
    private static let yields = 10_000

    private let file: Int32
    private struct Held {
        /// What this process has alone.
        var alone: Set<Int64> = []
        /// What it shares with others, and how many of its threads do.
        var shared: [Int64: Int] = [:]
    }
    private let held = Mutex(Held())

    /// Of a file that this process has open nowhere else: see ``shared(path:)``.
    private init(owning file: Int32) { self.file = file }

    deinit { _ = close(file) }

    package enum Attempt: Sendable, Equatable {
        case taken
        /// Somebody holds it; his pid, which is our own when this process does, and -1 when it is a standby that is just
        /// about to take it.
        case heldBy(pid_t)
    }

    /// Takes a byte's lock if nobody holds it.
    package func tryLock(_ byte: Int64) throws(StorageError) -> Attempt {
        var looks = 0
        while true {
            switch take(byte) {
            case nil: return .heldBy(getpid())
            case 0: return .taken
            case EAGAIN: break
            case let code?: throw .system(call: "fcntl F_SETLK", code: code)
            }
            let holder = petiole_byte_holder(file, byte)
            looks += 1
            // 0: given back in between, the next try will tell.
            if holder > 0 || (holder < 0 && looks > Self.yields) {
                return .heldBy(pid_t(truncatingIfNeeded: max(holder, -1)))
            }
            if holder < 0 { sched_yield() }
        }
    }

    /// Waits in the kernel until another process gives the byte's lock back, and takes it. Blocks the thread.
    /// - Returns: false when this process itself holds it.
    package func lockWaiting(_ byte: Int64) throws(StorageError) -> Bool {
        while true {
            if held.withLock({ $0.alone.contains(byte) }) { return false }
            var code = petiole_lock_byte(file, byte, 1)
            if code == EDEADLK { code = petiole_await_byte(file, byte) }
            if code != 0 { throw .system(call: "fcntl F_SETLKW", code: code) }
            switch take(byte) {
            case nil: return false
            case 0: return true
            case EAGAIN: continue
            case let code?: throw .system(call: "fcntl F_SETLK", code: code)
            }
        }
    }

    /// Waits in the kernel until nobody holds a byte's lock exclusively, and shares it with whoever does the same, threads and
    /// processes. Blocks the thread. Given back by ``unshare(_:)``. A byte that is shared by this process is never locked by it.
    /// - Returns: false when this process itself holds it exclusively.
    package func share(_ byte: Int64) throws(StorageError) -> Bool {
        while true {
            // Under the mutex: as in `lockWaiting`.
            let code = held.withLock { held -> Int32? in
                if held.alone.contains(byte) { return nil }
                let count = held.shared[byte] ?? 0
                let code = count > 0 ? 0 : petiole_share_byte(file, byte)
                if code == 0 { held.shared[byte] = count + 1 }
                return code
            }
            switch code {
            case nil: return false
            case 0: return true
            case EAGAIN: break
            case let code?: throw .system(call: "fcntl F_SETLK", code: code)
            }
            // By a lock of the open file: one of the process would make a shared one of what another thread has alone by then.
            let wait = petiole_await_byte(file, byte)
            if wait != 0 { throw .system(call: "fcntl F_OFD_SETLKW", code: wait) }
        }
    }

    package func unshare(_ byte: Int64) {
        held.withLock { held in
            guard let count = held.shared[byte] else { return }
            held.shared[byte] = count > 1 ? count - 1 : nil
            if count == 1 { _ = petiole_unlock_byte(file, byte) }
        }
    }

    /// Asks the kernel for a byte, without waiting. Nil when this process holds it, 0 when it is taken, else an errno.
    private func take(_ byte: Int64) -> Int32? {
        held.withLock { held in
            // To the kernel a shared one of ours is no hindrance: it would become an exclusive one.
            guard !held.alone.contains(byte), held.shared[byte] == nil else { return nil }
            let code = petiole_lock_byte(file, byte, 0)
            if code == 0 { held.alone.insert(byte) }
            return code
        }
    }

    package func unlock(_ byte: Int64) {
        held.withLock { held in
            guard held.alone.remove(byte) != nil else { return }
            _ = petiole_unlock_byte(file, byte)
        }
    }

    /// The pid that holds a byte's lock, nil when nobody does.
    package func holder(of byte: Int64) -> pid_t? {
        if held.withLock({ $0.alone.contains(byte) }) { return getpid() }
        let holder = petiole_byte_holder(file, byte)
        return holder > 0 ? pid_t(truncatingIfNeeded: holder) : nil
    }

    /// Whether anybody, this process or another, holds a lock in a range of bytes.
    package func isAnyHeld(in bytes: Range<Int64>) -> Bool {
        if held.withLock({ $0.alone.contains { bytes.contains($0) } }) { return true }
        return petiole_range_holder(file, bytes.lowerBound, Int64(bytes.count)) != 0
    }

    fileprivate var holdsNothing: Bool {
        held.withLock { $0.alone.isEmpty && $0.shared.isEmpty }
    }
}

// MARK: One for a file

extension ByteLocks {
    private struct Identity: Hashable {
        let device: UInt64
        let inode: UInt64
        init(_ info: stat) {
            device = UInt64(truncatingIfNeeded: info.st_dev)
            inode = UInt64(info.st_ino)
        }
    }
    /// What this process has open. A file that is open keeps its inode's number: one that is deleted and made anew is
    /// another.
    private static let files = Mutex<[Identity: ByteLocks]>([:])

    /// The one object of this process for the locks in a file, which is made when there is none.
    ///
    /// What stays open: the files that somebody uses or that locks are held in, and at most one besides. Whenever another
    /// file is opened, those that nobody has and that hold nothing are closed: there is no lock that this could drop.
    package static func shared(path: String) throws(StorageError) -> ByteLocks {
        let result: Result<ByteLocks, StorageError> = files.withLock { files in
            var info = stat()
            // By name, not by opening it: the closing of a second descriptor would drop what is held.
            if unsafe stat(path, &info) == 0, let locks = files[Identity(info)] {
                return .success(locks)
            }
            // A list of the keys: a view of them would be a second user of every object.
            for identity in Array(files.keys) where isIdle(&files[identity]!) {
                files[identity] = nil
            }
            let file = unsafe open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard file >= 0, unsafe fstat(file, &info) == 0 else {
                return .failure(.system(call: "open \(path)", code: errno))
            }
            // Put in the place of what the name meant a moment ago: its descriptor has to stay open too.
            if let locks = files[Identity(info)] { return .success(locks) }
            let locks = ByteLocks(owning: file)
            files[Identity(info)] = locks
            return .success(locks)
        }
        return try result.get()
    }

    /// Whether nobody but the list has it. Under the list's mutex, so that nobody can get it meanwhile.
    private static func isIdle(_ locks: inout ByteLocks) -> Bool {
        isKnownUniquelyReferenced(&locks) && locks.holdsNothing
    }
}
