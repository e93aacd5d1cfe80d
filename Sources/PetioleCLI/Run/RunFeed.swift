import Petiole

/// What a run makes jobs of, as it comes.
protocol RunFeed: Sendable {
    /// How many there are, when it is known beforehand.
    var total: Int? { get }
    /// Whether ``next(_:)`` may have to wait for somebody who writes.
    var mayWait: Bool { get }

    /// Waits for the first. True when there is none.
    mutating func isEmpty() throws -> Bool

    /// Called before any job of the queue is run or enqueued; not at all where none is to be.
    /// - Parameter places: how many commands run at once, now.
    mutating func begin(
        _ store: JobStore, queue: String, places: @escaping @Sendable () -> Int) throws

    /// Called when none is run any more, if ``begin(_:queue:)`` was.
    func end() async

    /// Waits for some. Nil at the end.
    /// - Throws: `CancellationError` when reading was stopped.
    mutating func next(_ known: inout KnownInputs) throws -> RunChunk?
}

/// Some of what a run makes jobs of.
struct RunChunk {
    var listed = 0
    /// For those that have no job yet.
    var requests: [JobStore.CommandRequest] = []
    /// Where ended jobs run once more: of each input that is run its job, in their order; nil: one of the requests.
    var order: [UInt64?] = []

    /// Takes an input that is listed.
    /// - Returns: which of its equals it is, when it has no job yet.
    mutating func list(_ key: InputMark.Key, _ known: inout KnownInputs) throws -> Int? {
        listed += 1
        if let occurrence = try known.list(key) {
            if known.keepsJobs { order.append(nil) }
            return occurrence
        }
        if let job = known.lastEnded { order.append(job) }
        return nil
    }
}

/// Inputs, each of which a template makes a command of.
struct InputFeed: RunFeed {
    private var reader: InputReader
    private let template: CommandTemplate
    private var first: [Input]?
    private var hasBegun = false

    init(_ reader: InputReader, _ template: CommandTemplate) {
        self.reader = reader
        self.template = template
    }

    var total: Int? { reader.total.map { $0 + (first?.count ?? 0) } }
    var mayWait: Bool { reader.mayWait }

    mutating func isEmpty() throws -> Bool {
        if !hasBegun { first = try reader.next() }
        hasBegun = true
        return first == nil
    }

    func begin(_ store: JobStore, queue: String, places: @escaping @Sendable () -> Int) {}
    func end() async {}

    mutating func next(_ known: inout KnownInputs) throws -> RunChunk? {
        let taken = first
        first = nil
        guard let inputs = try taken ?? reader.next() else { return nil }
        hasBegun = true
        var chunk = RunChunk()
        chunk.requests.reserveCapacity(inputs.count)
        for input in inputs {
            let key = InputMark.Key(input)
            guard let occurrence = try chunk.list(key, &known) else { continue }
            do {
                chunk.requests.append(
                    JobStore.CommandRequest(
                        command: try template.command(for: input),
                        input: InputMark.bytes(key, occurrence: occurrence)))
            } catch {
                throw Failure("\(error)", status: 125)
            }
        }
        return chunk
    }
}
