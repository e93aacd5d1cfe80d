import ArgumentParser
import Petiole

/// `petiole cancel`: asks that jobs not run, or stop.
struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Cancel jobs: one that waits will not start, one that runs is asked to stop.",
        discussion: """
            Says of each job what came of it: cancelled (it never starts, which is recorded), stopping (it runs and was \
            asked to stop), ended (it had ended before). A command that is asked to stop gets SIGTERM, and SIGKILL \
            after 10 s.

            EXAMPLES
              petiole cancel 17 18
            """)

    @Flag(
        help: "Print a JSON object for each: v, id, result (cancelled, stopping, ended, missing).")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Ids of jobs.", valueName: "id"))
    var ids: [JobNumber]

    func run() async throws {
        let store = try location.openExisting()
        var missing: [JobID] = []
        for id in ids.map(\.id) {
            let result = try await Self.cancel(id, store)
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
}

extension Cancel {
    private static func cancel(_ id: JobID, _ store: JobStore) async throws -> String {
        do throws(StoreError) {
            switch try await store.cancel(id) {
            case .cancelled: return "cancelled"
            case .stopping: return "stopping"
            case .alreadyEnded: return "ended"
            }
        } catch {
            if case .noSuchJob = error { return "missing" }
            throw error
        }
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
