import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A process that runs for an attempt whose owner may be dead.
package struct LeftoverProcess: Sendable, Equatable {
    package let pid: pid_t
    package let startTime: UInt64
    package let processGroup: pid_t
    package let mark: AttemptMark

    package init(pid: pid_t, startTime: UInt64, processGroup: pid_t, mark: AttemptMark) {
        self.pid = pid
        self.startTime = startTime
        self.processGroup = processGroup
        self.mark = mark
    }
}

/// What a dead owner's commands left running, found and ended by the new one, so that two attempts
/// of a job never overlap.
///
/// Not found are processes that changed their user, made themselves unreadable (`PR_SET_DUMPABLE`),
/// or wiped the memory in which their first environment lay; members of a group that is found by
/// other means are ended with it all the same. On macOS the environment of processes protected by
/// the system cannot be read.
package enum Leftovers {
    /// How long a process has after SIGTERM.
    package static let softGrace: Duration = .seconds(1)
    /// How often, a millisecond apart, a process is looked at that is between two programs. A
    /// second is long for an `exec`, even from a slow disk.
    private static let execLooks = 1000
    /// Linux gives arguments and environment together a quarter of the stack, at most 6 MiB.
    private static let environmentBound = 6 * 1024 * 1024

    /// The living processes whose environment bears the mark of a store. All of its queues: a store
    /// may have several owners, so the caller picks those of the queues it took over by `mark.job`,
    /// and none that it started itself.
    package static func find(storeID: String) -> [LeftoverProcess] {
        let own = getpid()
        let ownGroup = getpgrp()
        let user = geteuid()
        let prefix = Array("\(AttemptMark.variableName)=\(storeID):".utf8)
        var found: [LeftoverProcess] = []
        var buffer: [UInt8] = []
        for pid in ProcessIdentity.allPIDs() where pid != own {
            // Our own group is us and whoever started us: an owner may itself run as a job.
            guard let info = ProcessIdentity.info(of: pid), info.user == user,
                info.group != ownGroup, readEnvironment(of: pid, into: &buffer),
                let mark = mark(in: buffer, prefix: prefix)
            else { continue }
            found.append(
                LeftoverProcess(
                    pid: pid, startTime: info.start_time, processGroup: info.group, mark: mark))
        }
        return found
    }

    /// Ends the children of dead runners that have not become their programs yet, and waits for their
    /// end. Called before ``find(storeID:)``.
    ///
    /// Between its birth and `exec` a child shares its parent's memory, and so shows the runner's
    /// environment, without the mark. It is no member of its own group yet either, and goes on when
    /// the runner is killed. What it has from its birth on is the name of the thread that made it,
    /// which that thread takes for the time of the call, and which `exec` replaces after the memory:
    ///
    ///     | child                    | name     | mark in its environment | found     |
    ///     |--------------------------|----------|-------------------------|-----------|
    ///     | born                     | starting | no                      | here      |
    ///     | has its new memory       | starting | yes                     | here      |
    ///     | has become its program   | its own  | yes                     | by `find` |
    ///
    /// An owner that died makes no more children, and the states only go downwards; so whom this
    /// look misses, because he has become his program, the later look at environments finds. On
    /// macOS `posix_spawn` makes the child in one call of the kernel, with its program's memory.
    ///
    /// A lock that the child inherits and `exec` drops would tell the same; but all descriptors are
    /// closed before `exec`, and who waited for such a lock would wait for the disk that the program
    /// is read from.
    /// - Parameter parents: living runners of the store. Their children are theirs.
    /// - Source: Linux, kernel/fork.c, dup_task_struct; fs/exec.c, begin_new_exec.
    package static func endStarting(storeID: String, parents: Set<pid_t>) {
        #if os(Linux)
            let name = AttemptMark.startingName(storeID: storeID)
            let own = getpid()
            let user = geteuid()
            let starting: [ProcessIdentity] = ProcessIdentity.allPIDs().compactMap { pid in
                guard pid != own, let info = ProcessIdentity.info(of: pid), info.user == user,
                    info.hasName(name), !parents.contains(info.parent)
                else { return nil }
                return ProcessIdentity(pid: pid, startTime: info.start_time)
            }
            // No softer signal: it has run nothing of its program yet.
            for process in starting { process.signal(SIGKILL) }
            _ = ProcessIdentity.awaitEnds(starting, until: nil)
        #endif
    }

    /// Ends the child that a slot names, and its group with it, and waits for their end. Does
    /// nothing if that process is gone; members of its group that outlived it are found by their
    /// mark.
    package static func endAndAwait(pid: pid_t, startTime: UInt64, processGroup: pid_t) {
        end([(ProcessIdentity(pid: pid, startTime: startTime), processGroup)])
    }

    /// Ends these and their groups, and waits for their end.
    package static func endAndAwait(all leftovers: [LeftoverProcess]) {
        end(
            leftovers.map {
                (ProcessIdentity(pid: $0.pid, startTime: $0.startTime), $0.processGroup)
            })
    }

    private struct Group: Hashable {
        let number: pid_t
        let session: pid_t
    }

    private static func end(_ targets: [(process: ProcessIdentity, group: pid_t)]) {
        let ownGroup = getpgrp()
        var processes: [ProcessIdentity] = []
        var groups: Set<Group> = []
        for target in targets {
            guard let info = ProcessIdentity.info(of: target.process.pid),
                info.start_time == target.process.startTime
            else { continue }
            processes.append(target.process)
            // A living member keeps the number of its group. Session and number together tell it
            // from one that comes later.
            if info.group == target.group, info.group > 1, info.group != ownGroup {
                groups.insert(Group(number: info.group, session: info.session))
            }
        }
        func living() -> [ProcessIdentity] {
            let members = groups.flatMap {
                ProcessIdentity.living(in: $0.number, session: $0.session)
            }
            return Array(Set(members + processes.filter(\.isAlive)))
        }
        func signal(_ number: Int32, _ members: [ProcessIdentity]) {
            // One by one, each by a handle that was checked. A process that a member starts
            // meanwhile is found when the living are counted again.
            for member in members { member.signal(number) }
        }
        func killGroups() {
            // At once, so that one that starts others faster than they are counted ends too. A
            // member that lives at this moment keeps the number; it would have to be given out anew
            // in between.
            for group in groups
            where !ProcessIdentity.living(in: group.number, session: group.session).isEmpty {
                kill(-group.number, SIGKILL)
            }
        }

        var members = living()
        signal(SIGTERM, members)
        signal(SIGCONT, members)
        let deadline = ContinuousClock.now + softGrace
        while !members.isEmpty, ProcessIdentity.awaitEnds(members, until: deadline) {
            members = living()
        }
        while true {
            members = living()
            if members.isEmpty { return }
            killGroups()
            signal(SIGKILL, members)
            _ = ProcessIdentity.awaitEnds(members, until: nil)
        }
    }

    private static func readEnvironment(of pid: pid_t, into buffer: inout [UInt8]) -> Bool {
        var capacity = max(buffer.capacity, 64 * 1024)
        var looks = 0
        while true {
            var count = 0
            buffer = [UInt8](unsafeUninitializedCapacity: capacity) { bytes, initialized in
                count = bytes.withMemoryRebound(to: CChar.self) {
                    petiole_process_environment(pid, $0.baseAddress!, capacity)
                }
                initialized = max(0, count)
            }
            if count == -Int(EAGAIN), looks < execLooks {
                // In the middle of `exec`: passed over, it would come out on the other side
                // unfound.
                looks += 1
                poll(nil, 0, 1)
                continue
            }
            // Gone meanwhile, or not ours to read.
            if count < 0 { return false }
            if count < capacity || capacity >= environmentBound { return true }
            capacity = environmentBound
        }
    }

    private static func mark(in environment: [UInt8], prefix: [UInt8]) -> AttemptMark? {
        for entry in environment.split(separator: 0) where entry.starts(with: prefix) {
            let name = AttemptMark.variableName.utf8.count + 1
            return AttemptMark(String(decoding: entry.dropFirst(name), as: UTF8.self))
        }
        return nil
    }
}

extension petiole_process_info {
    fileprivate func hasName(_ wanted: String) -> Bool {
        withUnsafeBytes(of: name) { $0.prefix { $0 != 0 }.elementsEqual(wanted.utf8) }
    }
}
