import ArgumentParser
import Petiole

/// Which jobs a command is to come after.
struct AfterOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Not before these jobs have succeeded, in any queue; may be given several times.",
            valueName: "id,…"), transform: Self.ids)
    var after: [JobIDs] = []

    @Option(
        help: ArgumentHelp(
            "Not before these jobs have ended, however they end.", valueName: "id,…"),
        transform: Self.ids)
    var afterAny: [JobIDs] = []

    /// Ids that were given in one word.
    struct JobIDs: Sendable {
        let list: [JobID]
    }

    func validate() throws {
        if predecessors.count > Predecessor.limit {
            throw ValidationError("a job comes after \(Predecessor.limit) others at most")
        }
    }

    var predecessors: [Predecessor] {
        after.flatMap { $0.list.map { .success(of: $0) } }
            + afterAny.flatMap { $0.list.map { .end(of: $0) } }
    }

    private static func ids(_ text: String) throws -> JobIDs {
        let words = text.split(separator: ",", omittingEmptySubsequences: false)
        let ids = words.compactMap { JobID(String($0)) }
        guard ids.count == words.count, !ids.contains(where: { $0.rawValue == 0 }) else {
            throw ValidationError("'\(visible(text))' is not a list of ids: 17 or 17,18")
        }
        return JobIDs(list: ids)
    }
}
