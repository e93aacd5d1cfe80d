import ArgumentParser
import Petiole

/// Which jobs a command is about: by their ids, or all that options let pass.
struct JobChoice: ParsableArguments {
    @OptionGroup var passing: JobFilterOptions

    @Flag(help: "All of the store, whatever their queue.")
    var all = false

    @Flag(help: "Only say how many there are.")
    var dryRun = false

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber] = []

    private var hasFilter: Bool { all || !passing.isEmpty }

    func validate() throws {
        guard ids.isEmpty || !hasFilter && !dryRun else {
            throw ValidationError("give ids, or say which jobs by options; not both")
        }
        guard !ids.isEmpty || hasFilter else {
            throw ValidationError(
                "say which jobs: ids, --queue, --name, --tag, --state, --since, --error, --all and others"
            )
        }
    }

    /// How many there are of a kind.
    static func count(
        _ filter: JobFilter, ended: Bool, _ store: JobStore
    ) throws -> Int {
        var count = 0
        try store.forEachJob(filter) { summary in
            if summary.state.isEnded == ended { count += 1 }
            return true
        }
        return count
    }

    /// What came of one job.
    struct Answer: ExpressibleByStringLiteral {
        /// In the words that are documented.
        let result: String
        /// What else there is to say to people.
        var note: String?

        init(result: String, note: String? = nil) {
            self.result = result
            self.note = note
        }

        init(stringLiteral result: String) { self.init(result: result) }
    }

    /// Answers for each id, a line each; the first that no job has ends the command with an error.
    func answer(_ store: JobStore, json: Bool, _ body: (JobID) async throws -> Answer) async throws
    {
        var missing: [JobID] = []
        for id in ids.map(\.id) {
            var answer: Answer
            do { answer = try await body(id) } catch StoreError.noSuchJob {
                missing.append(id)
                answer = "missing"
            }
            let result = answer.result
            if json {
                var line = JSONLine()
                line.add("id", Int(clamping: id.rawValue))
                line.add("result", result)
                Standard.output.line(line.line)
            } else if result != "missing" {
                Standard.output.line("\(id) \(result)\(answer.note.map { ", \($0)" } ?? "")")
            }
        }
        if let first = missing.first { throw Failure(StoreError.noSuchJob(first)) }
    }
}

/// An id in a command line.
struct JobNumber: ExpressibleByArgument {
    let id: JobID

    init?(argument: String) {
        guard let id = JobID(argument) else { return nil }
        self.id = id
    }
}
