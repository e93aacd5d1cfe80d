import Petiole

/// A command that follows a run: a job in a queue beside the run's own.
///
/// It is known by when it runs, by the command, and by how many inputs the run had accepted: so it runs once for these, however
/// often the line is started, and once more when others have come.
struct FollowUp: Sendable {
    /// When it runs. The word is the job's tag, and the option's name.
    enum Occasion: String, Sendable {
        /// All inputs have succeeded.
        case then
        /// All have ended, and one has not succeeded.
        case onFailure = "on-failure"
    }
    let occasion: Occasion
    let command: Command

    /// - Parameter line: for `/bin/sh`.
    init(_ occasion: Occasion, line: [UInt8], directory: [UInt8]) throws {
        guard !line.isEmpty else {
            throw Failure.usage(
                """
                --\(occasion.rawValue) has no command
                for example: petiole run --then 'cat *.sum > all' 'sha256sum {} > {}.sum' ::: *.iso
                """)
        }
        self.occasion = occasion
        do {
            command = try Command(
                arguments: [Array("/bin/sh".utf8), Array("-c".utf8), line],
                workingDirectory: directory)
        } catch {
            throw Failure.usage("\(error)")
        }
    }

    /// The name of the header that says how many inputs there were.
    private static let inputsHeader = "inputs"

    /// A job that ended long ago is still to be known when the run's dead letters, which are kept for good, are: ten years.
    private static let retention = Duration.seconds(3_650 * 86_400)

    func enqueue(
        after inputs: Int, queue: String, retries: Int, _ store: JobStore
    ) async throws -> JobID {
        var options = EnqueueOptions(queue: queue)
        options.maxAttempts = retries + 1
        options.resultRetention = Self.retention
        options.metadata = JobMetadata(
            tags: [occasion.rawValue], headers: [Self.inputsHeader: String(inputs)])
        let ids = try await store.enqueue(
            commands: [JobStore.CommandRequest(command: command)], options: options)
        return JobID(rawValue: ids[0].lowerBound)
    }

    /// A job of a follow-up.
    struct Known {
        let id: JobID
        let state: JobState
        private let occasion: String?
        private let inputs: String?
        private let command: Command?

        init(_ summary: JobSummary, payload: [UInt8]) {
            id = summary.id
            state = summary.state
            occasion = summary.metadata.tags.first
            inputs = summary.metadata.headers[inputsHeader]
            command = JobText.command(name: summary.name, payload: payload)
        }

        func isOf(_ followUp: FollowUp, after inputs: Int) -> Bool {
            occasion == followUp.occasion.rawValue && self.inputs == String(inputs)
                && command == followUp.command
        }
    }

    /// All of a queue's, in the order in which they were accepted.
    static func known(in queue: String, _ store: JobStore) throws -> [Known] {
        var filter = JobFilter()
        filter.queue = queue
        var known: [Known] = []
        try store.forEachRecord(filter) { summary, _, payload in
            known.append(Known(summary, payload: Array(payload)))
            return true
        }
        return known
    }
}
