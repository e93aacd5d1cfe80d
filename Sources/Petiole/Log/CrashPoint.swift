#if DEBUG
    import Synchronization

    #if canImport(Darwin)
        import Darwin
    #else
        import Glibc
    #endif
#endif

/// Named places at which a test lets a process die: `PETIOLE_CRASH_AT=name:n` ends it without a word at the *n*-th pass.
/// Where a task passes, the task's own `observer` may let others go first.
/// In a release build there is nothing of it.
enum CrashPoint: String {
    case beforeCommit, afterCommit, beforeBell, afterBell
    case takeoverCollected, takeoverApplied, takeoverCleared
    case cancelRequested
    case changeMarked, typeResumed, purgePart
    case backupCopied, backupFilled, backupRenamed, compactCopied, compactRenamed
    case stagePart, stagePublish
    case workflowResumed

    #if DEBUG
        private static let wanted: (name: String, pass: Int)? = {
            guard let value = getenv("PETIOLE_CRASH_AT") else { return nil }
            let parts = String(cString: value).split(separator: ":")
            guard parts.count == 2, let pass = Int(parts[1]) else { return nil }
            return (String(parts[0]), pass)
        }()
        private static let passes = Atomic<Int>(0)

        @TaskLocal static var observer: (@Sendable (CrashPoint) -> Void)?

        static func pass(_ point: CrashPoint) {
            observer?(point)
            guard let wanted, wanted.name == point.rawValue else { return }
            // Relaxed: a count, nothing is published by it.
            if passes.add(1, ordering: .relaxed).newValue == wanted.pass { _exit(9) }
        }
    #else
        @inline(__always) static func pass(_ point: CrashPoint) {}
    #endif
}
