import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What isolated jobs of the tests do: by a word of their payload, in this program as a child process. The tests' own types of
/// the same names have the options.
struct Isolated: Job {
    static let isolation = Isolation.process
    static let retryPolicy = RetryPolicy(
        maxAttempts: 6, backoff: .constant(.milliseconds(1))
    ) { error in
        switch error {
        case Fault.hopeless: .deadLetter
        case Fault.dropped: .discard
        default: .retry
        }
    }

    var kind: String
    var number = 0
    var path = ""

    enum Fault: Error { case plain, hopeless, dropped }

    func run(_ context: JobContext) throws -> Int {
        switch kind {
        case "plain": break
        case "trap": fatalError("it traps on purpose")
        case "signal": kill(getpid(), Int32(number))
        case "exit": exit(Int32(number))
        case "lines": writeLines()
        case "grow": Memory.keep(megabytes: number)
        case "fault": throw [Fault.plain, .hopeless, .dropped][number]
        case "control": try control(context)
        case "heed":
            context.progress(done: 1)
            while !context.isCancelled { sched_yield() }
            try context.checkCancellation()
        case "hang":
            context.progress(done: 1)
            while true { pause() }
        case "flaky": if context.attempt <= number { fatalError("attempt \(context.attempt)") }
        case "add": try add(context)
        case "chatter":
            // Mostly when the job has ended.
            Task.detached {
                try await Task.sleep(for: .milliseconds(20))
                say("one more line", to: 2)
            }
        case "later":
            try context.enqueue(
                name: "receipt", payload: number,
                options: EnqueueOptions(due: .after(.seconds(number))))
        case "spawn": return Int(startSleeper())
        case "wait":
            let handle = context.store.handle(
                of: JobID(rawValue: UInt64(number)), output: Int.self)
            return try context.result(of: handle)
        case "work": return try work(context)
        case "runner": _ = try JobRunner(context.store, jobs: [Isolated.self])
        case "garble":
            // The channel's number.
            _ = write(3, String(repeating: "x", count: 64), 64)
            while true { pause() }
        default: throw Fault.hopeless
        }
        return Int(getpid())
    }

    private func writeLines() {
        for line in 1...max(number, 1) { say("line \(line)", to: 2) }
        abort()
    }

    private func control(_ context: JobContext) throws {
        switch number {
        case 0: throw JobControl.discard("not wanted")
        case 1: throw JobControl.deadLetter("gone")
        case 2 where context.attempt == 1: throw JobControl.retry(after: .milliseconds(2))
        case 3:
            let row = try context.store.table("t").value(for: "snoozed", as: Int.self)
            if row == nil { throw JobControl.snooze(for: .milliseconds(2)) }
        default: break
        }
    }

    private func add(_ context: JobContext) throws {
        let table = try context.table("sums")
        let before = try table.value(for: "sum", as: Int.self) ?? 0
        try table.put(value: before + number, for: "sum")
        try table.put(value: context.attempt, for: "by-\(context.id)")
        try table.delete("nothing")
        try context.enqueue(
            name: "receipt", payload: number,
            options: EnqueueOptions(
                queue: "receipts", priority: 7, keepsResult: false,
                metadata: JobMetadata(tags: ["of-\(number)"])))
        if path == "trap", context.attempt == 1 { fatalError("with effects") }
    }

    /// Leaves a line when it starts and one when it ends, and says when it finds another attempt of its job that has not ended.
    private func work(_ context: JobContext) throws -> Int {
        let log = open(path + "/log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(log) }
        // Left to what the job starts, so that the lock tells of that too.
        let lock = open(path + "/lock-\(context.id)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if flock(lock, LOCK_EX | LOCK_NB) != 0 { say("overlap \(context.id)", to: log) }
        say("start \(context.id) \(context.attempt)", to: log)
        let sleeper = startSleeper(inSession: getenv("CRASH_CHILD_SESSION") != nil)
        if getenv("CRASH_CHILD_HANGS") != nil {
            say("started \(context.id) \(getpid()) \(sleeper)")
            while true { pause() }
        }
        try add(context)
        usleep(UInt32(number) * 1_000)
        kill(sleeper, SIGKILL)
        waitpid(sleeper, nil, 0)
        say("end \(context.id) \(context.attempt)", to: log)
        close(lock)
        return number
    }
}

struct IsolatedTask: AsyncJob {
    static let isolation = Isolation.process

    var kind: String
    var number = 0

    func run(_ context: JobContext) async throws -> Int {
        switch kind {
        case "sleep":
            context.progress(done: 1)
            try await Task.sleep(for: .seconds(3_600))
        case "trap": fatalError("a task traps")
        case "fault": throw Isolated.Fault.plain
        case "wait":
            let handle = context.store.handle(
                of: JobID(rawValue: UInt64(number)), output: Int.self)
            async let once = handle.result
            return try await handle.result + once
        case "put": try context.table("t").put([UInt8(number)], for: "task")
        default: await Task.yield()
        }
        return Int(getpid())
    }
}

/// Gives back its payload and its own length.
enum IsolatedBytes: RawJob {
    static let isolation = Isolation.process

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: UInt64(payload.byteCount))
        result.append(payload)
    }
}

/// A process in the group of this one, or in a session of its own, which ends by a signal alone.
private func startSleeper(inSession: Bool = false) -> pid_t {
    var pid: pid_t = 0
    #if canImport(Darwin)
        var attributes: posix_spawnattr_t?
        let session = Int16(POSIX_SPAWN_SETSID)
    #else
        var attributes = posix_spawnattr_t()
        // POSIX_SPAWN_SETSID, which Swift is not shown.
        let session: Int16 = 0x80
    #endif
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    if inSession { posix_spawnattr_setflags(&attributes, session) }
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("100000"), nil]
    defer { for argument in arguments { free(argument) } }
    let code = posix_spawn(&pid, "/bin/sleep", nil, &attributes, &arguments, environ)
    precondition(code == 0, "a process could not be started: \(code)")
    return pid
}

/// Memory that is never given back.
enum Memory {
    private static let kept = Mutex<[[UInt8]]>([])
    static func keep(megabytes: Int) {
        kept.withLock { $0.append([UInt8](repeating: 7, count: megabytes << 20)) }
    }
}
