#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Ends and awaits what a dead runner's commands left running.
enum ChildrenOfTheDead {
    static func end(
        _ named: [(pid: pid_t, startTime: UInt64, group: pid_t)], _ store: OpenStore
    ) {
    }
}
