import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The process of a command that runs, whichever runner started it: to be signalled from another process.
///
/// It is known by its pid and by when it started. A signal is sent while a handle of that very process is held and its start
/// time is the one that was noted, to the group that it leads: so none reaches a stranger that has got the number since. The
/// runner sees the end as any other.
package struct CommandProcess: Sendable {
    /// From 1.
    package let attempt: Int
    package let pid: Int32
    private let group: Int32
    private let startTime: UInt64

    fileprivate init(attempt: Int, pid: Int32, group: Int32, startTime: UInt64) {
        self.attempt = attempt
        self.pid = pid
        self.group = group
        self.startTime = startTime
    }

    private var identity: ProcessIdentity { ProcessIdentity(pid: pid, startTime: startTime) }

    /// Whether a signal has suspended it.
    package var isSuspended: Bool {
        guard let info = ProcessIdentity.info(of: pid), info.start_time == startTime else {
            return false
        }
        return info.is_suspended != 0
    }

    /// Sends a signal to its process group.
    /// - Returns: 0; ESRCH when it has ended; another errno, such as EPERM, when it was not sent.
    package func signalGroup(_ signal: Int32) -> Int32 {
        let descriptor = petiole_end_descriptor_of_other(pid)
        defer { if descriptor >= 0 { closeDescriptor(descriptor) } }
        if descriptor == -ESRCH { return ESRCH }
        // The handle is opened first, and goes on meaning this process.
        guard identity.isAlive, group > 1 else { return ESRCH }
        return petiole_signal_group_of_other(group, descriptor, signal)
    }

    /// Suspends its process group, and blocks the thread until the process itself has stopped, for a second at most.
    /// - Returns: as ``signalGroup(_:)``.
    package func suspend() -> Int32 {
        let code = signalGroup(SIGSTOP)
        // The kernel tells a parent alone that a process has stopped: anybody else has to look.
        var looks = 0
        while code == 0, looks < 1_000, !isSuspended, identity.isAlive {
            looks += 1
            poll(nil, 0, 1)
        }
        return code
    }

    /// Blocks the thread until it has ended.
    /// - Returns: false when the time was up before.
    package func awaitEnd(atMost time: Duration) -> Bool {
        ProcessIdentity.awaitEnds([identity], until: .now + time)
    }
}

extension JobStore {
    /// Whether a job runs as a command that a signal has suspended.
    package func isSuspended(_ id: JobID) -> Bool { commandProcess(of: id)?.isSuspended ?? false }

    /// The process in which an attempt of a job runs; nil when none does, when the job runs on a thread, and in the moment
    /// before its process is there.
    /// - Complexity: O(places for attempts).
    package func commandProcess(of id: JobID) -> CommandProcess? {
        guard let slot = open.slots.slot(of: id.rawValue), let child = slot.child else {
            return nil
        }
        let attempt = Int(slot.attempt)
        // Still the same job after the rest was read, and its runner has not died.
        guard slot.job == id.rawValue, slot.flags & AttemptSlot.command != 0,
            slot.flags & AttemptSlot.batch == 0,
            open.locks.holder(of: StoreFormat.queueLock(slot.queue)) == slot.runner
        else { return nil }
        return CommandProcess(
            attempt: attempt, pid: child.pid, group: child.group, startTime: child.startTime)
    }
}
