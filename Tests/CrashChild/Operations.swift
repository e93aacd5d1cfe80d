import Petiole

//     CrashChild edit STORE ID PRIORITY       edits one job, and prints what that came to
//     CrashChild resume STORE NAME            lets a job type go on
//     CrashChild backup STORE PATH            copies the store
//     CrashChild compact STORE                compacts the store
//     CrashChild follow STORE                 says `follows`, then which jobs are accepted
//     CrashChild purge STORE ID               deletes all jobs with a greater id

/// What is done with jobs that are there. Returns false for a command of another kind.
func operate(_ arguments: [String], _ store: JobStore) async throws -> Bool {
    switch arguments[1] {
    case "edit":
        let result = try await store.edit(
            JobID(rawValue: UInt64(arguments[3])!), priority: Int(arguments[4])!)
        say("\(result)")
    case "resume":
        try await store.resume(jobType: arguments[3])
        say("resumed")
    case "purge":
        var filter = JobFilter()
        filter.after = JobID(rawValue: UInt64(arguments[3])!)
        say("\(try await store.purge(filter).deleted)")
    case "backup":
        try await store.backup(to: arguments[3])
        say("copied")
    case "compact":
        store.close()
        try await JobStore.compact(at: arguments[2])
        say("compacted")
    case "follow":
        let events = try await store.events()
        say("follows")
        for await event in events where event.kind == .accepted {
            say("accepted \(event.ids.lowerBound)")
        }
    default: return false
    }
    return true
}
