import ArgumentParser
import Petiole

/// `petiole requeue`: lets jobs that have ended run once more.
struct Requeue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let jobs that have ended run once more.",
        discussion: """
            By their ids, however they ended; or all that the options let pass: those that failed and dead letters, \
            unless --state says otherwise. What they came to before stays in their history. A fingerprint is that of \
            `show --json`: the same for failures that differ in numbers alone.

            EXAMPLES
              petiole requeue 17 18
              petiole requeue --queue nightly --dry-run
              petiole requeue --fingerprint 3f2a9c0d41b7e658
            """)

    @Option(help: ArgumentHelp("Only jobs that ended in this state.", valueName: "state"))
    var state: [JobFilter.State] = []

    @Option(help: ArgumentHelp("Only jobs of this name.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("Only jobs of this queue.", valueName: "name"))
    var queue: String?

    @Option(help: ArgumentHelp("Only jobs that failed like this.", valueName: "digits"))
    var fingerprint: String?

    @Flag(help: "All that failed and all dead letters of the store.")
    var all = false

    @Flag(help: "Only say how many there are.")
    var dryRun = false

    @Flag(
        help: """
            Print JSON: for each id v, id, result (requeued, not ended, missing); else v, requeued, or v, found.
            """)
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber] = []

    private var hasFilter: Bool {
        all || !state.isEmpty || name != nil || queue != nil || fingerprint != nil
    }

    func validate() throws {
        guard ids.isEmpty || !hasFilter && !dryRun else {
            throw ValidationError("give ids, or say which jobs by options; not both")
        }
        guard !ids.isEmpty || hasFilter else {
            throw ValidationError(
                "say which jobs: ids, --queue, --name, --state, --fingerprint, --all")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        if !ids.isEmpty { return try await requeueIDs(store) }
        var filter = JobFilter()
        filter.states = state.isEmpty ? [.failed, .deadLetter] : Set(state)
        filter.name = name
        filter.queue = queue
        filter.fingerprint = fingerprint
        var line = JSONLine()
        if dryRun {
            var count = 0
            try store.forEachJob(filter) { summary in
                if summary.state.isEnded { count += 1 }
                return true
            }
            line.add("found", count)
            return Standard.output.line(
                json ? line.line : "\(counted(count, "job")) would run once more")
        }
        let count = try await store.requeue(matching: filter)
        line.add("requeued", count)
        Standard.output.line(
            json ? line.line : "\(counted(count, "job")) \(count == 1 ? "is" : "are") ready again")
    }

    private func requeueIDs(_ store: JobStore) async throws {
        var missing: [JobID] = []
        for id in ids.map(\.id) {
            let result = try await Self.requeue(id, store)
            if result == "missing" { missing.append(id) }
            if json {
                var line = JSONLine()
                line.add("id", Int(clamping: id.rawValue))
                line.add("result", result)
                Standard.output.line(line.line)
            } else if result != "missing" {
                Standard.output.line("\(id) \(result)")
            }
        }
        if let first = missing.first { throw Failure(StoreError.noSuchJob(first)) }
    }

    private static func requeue(_ id: JobID, _ store: JobStore) async throws -> String {
        do throws(StoreError) {
            switch try await store.requeue(id) {
            case .requeued: return "requeued"
            case .notEnded: return "not ended"
            }
        } catch {
            if case .noSuchJob = error { return "missing" }
            throw error
        }
    }
}
