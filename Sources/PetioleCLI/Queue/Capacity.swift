import ArgumentParser
import Petiole

/// `petiole capacity`: how much a queue, or the store, may hold.
struct CapacityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capacity",
        abstract:
            "Show or set how many jobs, and how many bytes of them, a queue or the store may hold.",
        discussion: """
            What counts are jobs that have not ended. When it is full, an enqueue is refused, waits until there is room, \
            or drops jobs of the queue that have not started: those of the lowest priority first, of these the oldest. \
            Without a queue it is the store's. What is set holds for all processes at once, and replaces what was set \
            before; without options, what is set is shown. The store's data file has a limit of its own; when what has ended \
            fills half of it, the oldest goes before its time.

            With --json one object a line: v, queue (null for the store), jobs, bytes, whenFull (refuse, wait, drop), \
            waitUpTo (seconds), heldJobs, heldBytes; of the store also fileBytes, fileLimit, keep (seconds).

            EXAMPLES
              petiole capacity images --jobs 10000 --when-full wait --wait-up-to 30s
              petiole capacity telemetry --bytes 64M --when-full drop
              petiole capacity images --none
              petiole capacity --file 8G
              petiole capacity --keep 30d
            """)

    enum WhenFull: String, CaseIterable, ExpressibleByArgument {
        case refuse, wait, drop
    }

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Jobs that have not ended, 1 or more.", valueName: "n"))
    var jobs: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of them: a number and K, M, G or T, or none: 512, 64M.", valueName: "size"))
    var bytes: String?

    @Option(help: ArgumentHelp("refuse (unless given), wait or drop.", valueName: "what"))
    var whenFull: WhenFull?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("With wait: at most so long: 90s, 12h.", valueName: "time"))
    var waitUpTo: String?

    @Flag(help: "Take the capacity away.")
    var none = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The store's alone: bytes that its data file may take, 64M or more.", valueName: "size")
    )
    var file: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The store's alone: how long what has ended is kept, 90s, 12h, 30d. A run knows by it which inputs are done; a store that this tool made keeps it for 365d.",
            valueName: "time"))
    var keep: String?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("A queue; without one, the store.", valueName: "queue"))
    var queue: String?

    private var sets: Bool { jobs != nil || bytes != nil }

    func validate() throws {
        if let jobs, jobs < 1 { throw ValidationError("--jobs takes 1 and more") }
        for (name, text, least) in [("--bytes", bytes, 1), ("--file", file, 64 << 20)] {
            guard let text else { continue }
            guard let size = SizeText.bytes(text), size >= least else {
                throw ValidationError(
                    "\(name) takes a number and one of K, M, G, T, or none, \(SizeText.text(least)) and more"
                )
            }
        }
        if let waitUpTo {
            guard let time = TimeText.age(waitUpTo), time > .zero else {
                throw ValidationError(
                    "--wait-up-to takes a number, 1 and more, and one of s, m, h, d, w: 90s, 12h")
            }
            guard whenFull == .wait else {
                throw ValidationError("--wait-up-to goes with --when-full wait")
            }
        }
        if none, sets || whenFull != nil {
            throw ValidationError("--none takes the capacity away; it goes with no other option")
        }
        if whenFull != nil, !sets {
            throw ValidationError("--when-full goes with --jobs or --bytes")
        }
        if file != nil || keep != nil, queue != nil {
            throw ValidationError("--file and --keep are the store's, not a queue's")
        }
        if let keep, TimeText.age(keep) == nil {
            throw ValidationError("--keep takes a number and one of s, m, h, d, w: 12h, 30d")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        if let queue {
            try CommandQueue.check(queue)
            // The library lets one set it in advance; what is typed is more likely a slip.
            guard try store.queues().contains(where: { $0.name == queue }) else {
                throw Failure(
                    """
                    there is no queue "\(visible(queue))"
                    see which there are with: petiole status
                    """, status: 66)
            }
        }
        if sets {
            try await store.setCapacity(
                Capacity(
                    jobs: jobs, bytes: bytes.flatMap { SizeText.bytes($0) }, whenFull: policy),
                queue: queue)
        } else if none {
            try await store.setCapacity(nil, queue: queue)
        }
        var options = StoreOptions()
        options.byteLimit = file.flatMap { SizeText.bytes($0) }
        options.retention = keep.flatMap { TimeText.age($0) }
        if file != nil || keep != nil { try await store.change(options) }
        try show(store)
    }

    private var policy: Capacity.WhenFull {
        switch whenFull {
        case nil, .refuse: .refuse
        case .drop: .dropOldest
        case .wait: .wait(upTo: waitUpTo.flatMap { TimeText.age($0) })
        }
    }

    /// What is asked about, or was set; without either, all that have a capacity.
    private func show(_ store: JobStore) throws {
        let queues = try store.queues()
        for status in queues where queue == status.name || queue == nil && !changes {
            guard queue != nil || status.capacity != nil else { continue }
            line(status.name, status.capacity, status.counts, file: nil)
        }
        if queue == nil {
            try line(
                nil, store.capacity(), store.counts(), file: store.fileSize,
                keep: store.retention)
        }
    }

    private var changes: Bool { sets || none || file != nil || keep != nil }

    private func line(
        _ name: String?, _ capacity: Capacity?, _ counts: JobCounts,
        file: (bytes: Int, limit: Int)?, keep: Duration? = nil
    ) {
        guard json else {
            let place = name.map { visible($0) } ?? "store"
            var text = "\(place): \(CapacityText.line(capacity, counts))"
            if let file {
                text += "; file: \(SizeText.text(file.bytes)) of \(SizeText.text(file.limit))"
            }
            if let keep { text += "; what has ended is kept \(TimeText.duration(keep))" }
            return Standard.output.line(text)
        }
        var line = JSONLine()
        line.add("queue", name)
        CapacityText.add(capacity, to: &line)
        line.add("heldJobs", counts.unfinished)
        line.add("heldBytes", counts.unfinishedBytes)
        if let file {
            line.add("fileBytes", file.bytes)
            line.add("fileLimit", file.limit)
        }
        if let keep { line.add("keep", Int(clamping: keep.components.seconds)) }
        Standard.output.line(line.line)
    }
}

/// A capacity in words and in JSON.
enum CapacityText {
    /// "12 of 100 jobs, 1.5 KiB of any; when it is full, enqueues are refused".
    static func line(_ capacity: Capacity?, _ counts: JobCounts) -> String {
        let jobs = capacity?.jobs.map { grouped($0) } ?? "any"
        let bytes = capacity?.bytes.map { SizeText.text($0) } ?? "any"
        var text =
            "\(grouped(counts.unfinished)) of \(jobs) jobs, "
            + "\(SizeText.text(counts.unfinishedBytes)) of \(bytes)"
        guard let capacity else { return text }
        text += isFull(capacity, counts) ? ": full, and " : "; when it is full, "
        switch capacity.whenFull {
        case .refuse: text += "enqueues are refused"
        case .wait(nil): text += "enqueues wait"
        case .wait(let limit?): text += "enqueues wait up to \(TimeText.duration(limit))"
        case .dropOldest: text += "the oldest are dropped"
        }
        return text
    }

    static func isFull(_ capacity: Capacity, _ counts: JobCounts) -> Bool {
        capacity.jobs.map { counts.unfinished >= $0 } ?? false
            || capacity.bytes.map { counts.unfinishedBytes >= $0 } ?? false
    }

    static func add(_ capacity: Capacity?, to line: inout JSONLine) {
        line.add("jobs", capacity?.jobs)
        line.add("bytes", capacity?.bytes)
        switch capacity?.whenFull {
        case nil: line.add("whenFull", nil as String?)
        case .refuse: line.add("whenFull", "refuse")
        case .wait: line.add("whenFull", "wait")
        case .dropOldest: line.add("whenFull", "drop")
        }
        var seconds: Int?
        if case .wait(let limit?)? = capacity?.whenFull {
            seconds = Int(clamping: limit.components.seconds)
        }
        line.add("waitUpTo", seconds)
    }
}
