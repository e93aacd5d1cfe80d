import Petiole

/// `petiole run --set-jobs`: another number of commands at once for a run that goes on in another terminal.
enum SetJobs {
    /// - Parameter identity: of the line that was given; nil: none was.
    static func set(_ jobs: JobsAtOnce, _ identity: RunIdentity?, _ store: JobStore) throws {
        let pid = try running(identity, store)
        let wanted = jobs.count()
        switch store.setPlaces(wanted, ofRunner: pid) {
        case .now(wanted): say("process \(pid) runs \(counted(wanted, "command")) at once now")
        case .now(let other):
            throw Failure(
                """
                process \(pid) runs \(counted(other, "command")) at once, and that cannot be changed now
                what follows a run is one command
                """, status: 75)
        case .noRunner: throw ended(pid)
        case .noAnswer:
            throw Failure(
                "process \(pid) does not answer: it may be suspended\nlet it go on: kill -CONT \(pid)",
                status: 75)
        }
    }

    private static func running(_ identity: RunIdentity?, _ store: JobStore) throws -> Int {
        let runs = try store.queues().filter {
            RunIdentity.isRun($0.name) && (identity?.owns($0.name) ?? true)
        }
        let pids = Set(runs.compactMap { $0.ownerPID }).sorted()
        if let pid = pids.first, pids.count == 1 { return pid }
        if pids.isEmpty {
            throw Failure(
                """
                \(identity == nil ? "no run" : "this line") is running now
                petiole run --runs lists the runs; -j says how many commands a start begins with
                """, status: 66)
        }
        throw Failure.usage(
            """
            \(pids.count) runs go on, in processes \(pids.map(String.init).joined(separator: ", "))
            say which: give its line behind --set-jobs, or send SIGUSR1 for one command more, SIGUSR2 for one less
            """)
    }

    private static func ended(_ pid: Int) -> Failure {
        Failure("process \(pid) has just ended its run", status: 66)
    }
}
