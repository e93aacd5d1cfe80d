import Petiole

//     CrashChild tick STORE             stands by for the queue of the schedules; says `serving` when it runs it, until it is killed
//     CrashChild declare STORE RULE     runs a program that declares a schedule of that rule, until it is killed; says as above

/// Runs schedules; nil: the arguments name another thing.
func runSchedules(_ arguments: [String], _ store: JobStore) async throws -> Bool {
    var options = JobRunner.Options()
    options.workers = 1
    options.whenOwned = .standby
    switch arguments[1] {
    case "tick": break
    case "declare":
        options.program = "ticker"
        options.schedules = [
            Schedule(
                job: "tick", json: "1", .cron(arguments[3], seconds: true), in: "UTC",
                name: "declared")
        ]
    default: return false
    }
    let tick = JobClosure("tick") { (_: Int, context) in context.plannedTime?.microseconds }
    let runner = try JobRunner(store, jobs: [], closures: [tick], options: options)
    try await runner.run {
        say("serving")
        await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
    }
    return true
}
