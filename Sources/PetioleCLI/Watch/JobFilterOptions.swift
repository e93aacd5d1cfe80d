import ArgumentParser
import Petiole

/// Options that let jobs pass, the same for each command that is about many.
struct JobFilterOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Only jobs in this state; may be given several times.", valueName: "state"))
    var state: [JobFilter.State] = []

    @Option(help: ArgumentHelp("Only jobs of this name.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("Only jobs of this queue.", valueName: "name"))
    var queue: String?

    @Option(help: ArgumentHelp("Only jobs with this tag.", valueName: "tag"))
    var tag: String?

    @Option(help: ArgumentHelp("Only jobs that failed like this.", valueName: "digits"))
    var fingerprint: String?

    @Option(help: ArgumentHelp("Only jobs whose failure says this.", valueName: "text"))
    var error: String?

    @Option(
        help: ArgumentHelp(
            "Only jobs accepted since: an age (2h), or a time (2026-11-23T22:06:04Z, 2026-11-23).",
            valueName: "time"), transform: Moment.past)
    var since: Moment?

    @Option(
        help: ArgumentHelp("Only jobs accepted before.", valueName: "time"),
        transform: Moment.past)
    var before: Moment?

    @Option(
        help: ArgumentHelp("Only jobs that ended since.", valueName: "time"),
        transform: Moment.past)
    var endedSince: Moment?

    @Option(
        help: ArgumentHelp("Only jobs that ended before.", valueName: "time"),
        transform: Moment.past)
    var endedBefore: Moment?

    var isEmpty: Bool {
        state.isEmpty && name == nil && queue == nil && tag == nil && fingerprint == nil
            && error == nil && since == nil && before == nil && endedSince == nil
            && endedBefore == nil
    }

    /// - Parameter states: without `--state`.
    func filter(_ store: JobStore, states: Set<JobFilter.State> = []) -> JobFilter {
        var filter = JobFilter()
        let now = store.now
        filter.error = error
        filter.acceptedSince = since?.instant(now)
        filter.acceptedBefore = before?.instant(now)
        filter.endedSince = endedSince?.instant(now)
        filter.endedBefore = endedBefore?.instant(now)
        filter.states = state.isEmpty ? states : Set(state)
        filter.name = name
        filter.queue = queue
        filter.tag = tag
        filter.fingerprint = fingerprint
        return filter
    }
}
