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

    var isEmpty: Bool {
        state.isEmpty && name == nil && queue == nil && tag == nil && fingerprint == nil
    }

    /// - Parameter states: without `--state`.
    func filter(states: Set<JobFilter.State> = []) -> JobFilter {
        var filter = JobFilter()
        filter.states = state.isEmpty ? states : Set(state)
        filter.name = name
        filter.queue = queue
        filter.tag = tag
        filter.fingerprint = fingerprint
        return filter
    }
}
