import ArgumentParser
import Petiole

/// `petiole limit`: shows and sets how many attempts run at once and start in a time.
struct Limit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show or set how many jobs run at once and start in a time in a queue, and what resources there are.",
        discussion: """
            Without an option it shows the limits that were set. With some, these hold from now on in place of those of the \
            runner's program, for the whole queue or with --job for one job type; what is not named is no limit. What runs \
            goes on. Commands of `petiole add` are the job type petiole.command.

            With --resource it is about a named resource of the store in place of a queue: how many there are, for the commands \
            of all processes that say what they take of it with `petiole run --resources`. Without =n, and without a queue, it \
            shows what there is and how much is in use; --json: v, resource, count, used. A process that dies gives back \
            what it had.

            With --json one object for each: v, queue, job (null: the queue itself), concurrency, rate, burst, \
            perKeyConcurrency, perKeyRate, perKeyBurst, ordered, fair; a rate is starts each second, null is no limit.

            EXAMPLES
              petiole limit commands --concurrency 1
              petiole limit commands --rate 100/m --burst 10
              petiole limit mail --job SendMail --key-concurrency 1
              petiole limit mail --job SendMail --remove
              petiole limit --resource gpu=2
            """)

    @Option(help: ArgumentHelp("Of this job type only.", valueName: "name"))
    var job: String?

    @Option(help: ArgumentHelp("At most so many at once.", valueName: "n"))
    var concurrency: Int?

    @Option(
        help: ArgumentHelp(
            "At most so many start in a time: 10/s, 100/m, 5/h, 1/d, 10/30s.", valueName: "rate"),
        transform: Limit.rate)
    var rate: RateLimit?

    @Option(help: ArgumentHelp("So many of the rate may gather.", valueName: "n"))
    var burst: Int?

    @Option(help: ArgumentHelp("At most so many at once of each key, with --job.", valueName: "n"))
    var keyConcurrency: Int?

    @Option(
        help: ArgumentHelp(
            "At most so many of each key start in a time, with --job.", valueName: "rate"),
        transform: Limit.rate)
    var keyRate: RateLimit?

    @Flag(help: "Jobs of one key one after another, with --job.")
    var ordered = false

    @Flag(help: "The keys take turns, with --job.")
    var fair = false

    @Option(
        help: ArgumentHelp(
            "A resource of the store, and how many there are of it, 0 to 1,024.",
            valueName: "name=n"))
    var resource: String?

    @Flag(help: "Take away what was set: the limits of the program hold.")
    var remove = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("The queue.", valueName: "queue"))
    var queue: String?

    private var limits: JobLimits {
        var rate = rate
        if let burst { rate?.burst = burst }
        return JobLimits(
            concurrency: concurrency, rate: rate, concurrencyPerKey: keyConcurrency,
            ratePerKey: keyRate, isOrderedPerKey: ordered, isFairPerKey: fair)
    }

    func validate() throws {
        if burst != nil, rate == nil { throw ValidationError("--burst goes with --rate") }
        let isPerKey = keyConcurrency != nil || keyRate != nil || ordered || fair
        if isPerKey, job == nil {
            throw ValidationError("limits of keys are those of a job type: name it with --job")
        }
        if resource != nil, queue != nil || job != nil || limits != JobLimits() {
            throw ValidationError("--resource is of the store: leave the queue and its limits out")
        }
        if queue == nil, job != nil || limits != JobLimits() || remove && resource == nil {
            throw ValidationError("which queue? petiole status shows them")
        }
        if let resource, ResourceText.pair(resource) == nil, !NameForm.isValid(resource) {
            throw ValidationError("--resource takes a name and 0 to 1,024: gpu=2")
        }
        if remove, limits != JobLimits() {
            throw ValidationError("--remove takes the limits away; leave the others out")
        }
    }

    func run() async throws {
        let store = try location.openExisting()
        guard let queue else { return try await runResource(store) }
        guard try store.queues().contains(where: { $0.name == queue }) else {
            throw Failure(
                """
                there is no queue "\(visible(queue))"
                see which there are with: petiole status
                """, status: 66)
        }
        let limits = limits
        if let problem = limits.problem { throw Failure(problem, status: 64) }
        if remove || limits != JobLimits() { try await set(store, queue, remove ? nil : limits) }
        try show(store, queue)
    }

    // MARK: Resources

    private func runResource(_ store: JobStore) async throws {
        let pair = resource.flatMap { ResourceText.pair($0) }
        let name = pair?.name ?? resource
        if let name, remove {
            try await store.setResource(name, count: nil)
        } else if let pair {
            try await store.setResource(pair.name, count: pair.count)
        }
        let known = try store.resources().filter { name == nil || $0.name == name }
        for resource in known {
            guard json else {
                Standard.output.line(
                    "\(visible(resource.name)): \(grouped(resource.count)), \(grouped(resource.used)) in use"
                )
                continue
            }
            var line = JSONLine()
            line.add("resource", resource.name)
            line.add("count", resource.count)
            line.add("used", resource.used)
            Standard.output.line(line.line)
        }
        if known.isEmpty, !json {
            Standard.output.line(
                name.map { "this store knows no resource \"\(visible($0))\"" }
                    ?? "this store knows no resources")
        }
    }

    // MARK: Limits

    private func set(_ store: JobStore, _ queue: String, _ limits: JobLimits?) async throws {
        if let job { return try await store.setLimits(limits, ofJob: job, queue: queue) }
        guard let limits else { return try await store.removeLimits(ofQueue: queue) }
        try await store.setLimits(
            concurrency: limits.concurrency, rate: limits.rate, ofQueue: queue)
    }

    private func show(_ store: JobStore, _ queue: String) throws {
        let all = try store.limits(inQueue: queue)
        if json {
            for (job, limits) in all { Standard.output.line(line(queue, job, limits)) }
            return
        }
        if all.isEmpty {
            return Standard.output.line("no limits are set in \(visible(queue))")
        }
        for (job, limits) in all {
            Standard.output.line("\(job.map { visible($0) } ?? "the queue"): \(Self.text(limits))")
        }
    }

    private static func text(_ limits: JobLimits) -> String {
        var parts: [String] = []
        if let bound = limits.concurrency { parts.append("\(grouped(bound)) at once") }
        if let rate = limits.rate { parts.append(text(rate)) }
        if let bound = limits.concurrencyPerKey {
            parts.append("\(grouped(bound)) at once of each key")
        }
        if let rate = limits.ratePerKey { parts.append(text(rate) + " of each key") }
        if limits.isOrderedPerKey { parts.append("each key in order") }
        if limits.isFairPerKey { parts.append("keys in turn") }
        return parts.isEmpty ? "none" : parts.joined(separator: ", ")
    }

    private static func text(_ rate: RateLimit) -> String {
        "\(grouped(rate.count)) each \(TimeText.duration(rate.per)), \(grouped(rate.burst)) may gather"
    }

    private func line(_ queue: String, _ job: String?, _ limits: JobLimits) -> String {
        var line = JSONLine()
        line.add("queue", queue)
        line.add("job", job)
        line.add("concurrency", limits.concurrency)
        for (prefix, rate) in [("rate", limits.rate), ("perKeyRate", limits.ratePerKey)] {
            let each = rate.map { Double($0.count) / ($0.per / .seconds(1)) }
            line.addRaw(prefix, each.map { "\($0)" } ?? "null")
            line.add(prefix == "rate" ? "burst" : "perKeyBurst", rate?.burst)
        }
        line.add("perKeyConcurrency", limits.concurrencyPerKey)
        line.addRaw("ordered", limits.isOrderedPerKey ? "true" : "false")
        line.addRaw("fair", limits.isFairPerKey ? "true" : "false")
        return line.line
    }

    /// Reads a rate: a number, a stroke, and one of s, m, h, d, before which how many of them may stand.
    @Sendable static func rate(_ text: String) throws -> RateLimit {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let count = Int(parts[0]), count > 0,
            let per = TimeText.age(parts[1].count == 1 ? "1" + parts[1] : String(parts[1])),
            per > .zero, per <= .seconds(86_400)
        else {
            throw ValidationError(
                "\"\(text)\" is no rate; write a number and a time, a day at most: 10/s, 100/m, 5/h, 1/d, 10/30s"
            )
        }
        return RateLimit(count, per: per)
    }
}
