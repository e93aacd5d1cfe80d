import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A process told from all others that ever had its pid, by when it started.
struct ProcessIdentity: Hashable, Sendable {
    let pid: pid_t
    let startTime: UInt64

    /// Asks about a process that has not ended; `nil` if it has, be it reaped or not.
    static func info(of pid: pid_t) -> petiole_process_info? {
        var info = petiole_process_info()
        guard petiole_process_info(pid, &info) == 0, info.has_ended == 0 else { return nil }
        return info
    }

    var isAlive: Bool { Self.info(of: pid)?.start_time == startTime }

    /// The living members of a process group that this process may signal.
    static func living(in group: pid_t, session: pid_t? = nil) -> [ProcessIdentity] {
        let user = geteuid()
        return allPIDs().compactMap { pid in
            guard let info = info(of: pid), info.group == group,
                user == 0 || info.user == user, session == nil || info.session == session
            else { return nil }
            return ProcessIdentity(pid: pid, startTime: info.start_time)
        }
    }

    static func allPIDs() -> [pid_t] {
        // More room than there were processes; those that start meanwhile are not ours to find.
        var capacity = 4096
        while true {
            var count = 0
            let pids = [pid_t](unsafeUninitializedCapacity: capacity) { buffer, initialized in
                count = petiole_list_processes(buffer.baseAddress!, buffer.count)
                initialized = max(0, min(count, buffer.count))
            }
            if count < capacity { return pids }
            capacity = count * 2
        }
    }

    /// Sends a signal to this very process. The handle is opened first and the start time compared
    /// then: if it is the same, the handle means this process, and goes on meaning it.
    func signal(_ signal: Int32) {
        let descriptor = petiole_end_descriptor_of_other(pid)
        if descriptor == -ESRCH { return }
        if isAlive { _ = petiole_signal(pid, descriptor, signal) }
        if descriptor >= 0 { closeDescriptor(descriptor) }
    }

    /// Waits for the ends of all, reaped or not.
    /// - Returns: false if the time was up before.
    static func awaitEnds(
        _ processes: [ProcessIdentity], until deadline: ContinuousClock.Instant?
    ) -> Bool {
        for process in processes where !process.awaitEnd(until: deadline) { return false }
        return true
    }

    private func awaitEnd(until deadline: ContinuousClock.Instant?) -> Bool {
        let descriptor = petiole_end_descriptor_of_other(pid)
        defer { if descriptor >= 0 { closeDescriptor(descriptor) } }
        while isAlive {
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // Without a handle (Linux before 5.3, or none left) there is only looking again.
            let timeout = pollTimeout(until: deadline)
            let step: Int32 = descriptor >= 0 ? timeout : timeout < 0 ? 10 : min(timeout, 10)
            let count = poll(&watched, 1, step)
            if count > 0 && descriptor >= 0 { return true }
            if let deadline, deadline <= .now { return !isAlive }
        }
        return true
    }
}
