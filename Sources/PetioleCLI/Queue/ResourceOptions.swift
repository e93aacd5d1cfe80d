import ArgumentParser
import Petiole

/// What each command of a run, or of a worker, takes of the store's resources.
struct ResourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What each command takes of the store's resources while it runs: gpu=1,disk=2. How many there are is said with `petiole limit --resource gpu=2`, for all processes.",
            valueName: "needs"))
    var resources: String?

    func validate() throws {
        if let resources, ResourceText.needs(resources) == nil {
            throw ValidationError(
                "--resources takes names with numbers, each name once: gpu=1,disk=2")
        }
    }

    var needs: [ResourceNeed] { resources.flatMap { ResourceText.needs($0) } ?? [] }

    /// Refuses what could never be had as things are.
    func check(in store: JobStore) throws {
        if needs.isEmpty { return }
        let known = try store.resources()
        for need in needs {
            let resource = known.first { $0.name == need.name }
            if let failure = Self.problem(need, of: resource?.count) { throw failure }
        }
    }

    /// Why it can never be had; nil: it can.
    /// - Parameter count: how many there are; nil: the store knows none of that name.
    private static func problem(_ need: ResourceNeed, of count: Int?) -> Failure? {
        let name = visible(need.name)
        guard let count else {
            return Failure(
                """
                this store knows no resource "\(name)"
                say how many there are: petiole limit --resource \(name)=\(need.count)
                """, status: 66)
        }
        if count >= need.count { return nil }
        return Failure(
            """
            a command is to take \(grouped(need.count)) of "\(name)", and there are \(grouped(count))
            say how many there are: petiole limit --resource \(name)=\(need.count)
            """, status: 75)
    }

    /// Says why no command is started.
    @Sendable static func sayMissing(_ need: ResourceNeed, of count: Int?) {
        if let failure = problem(need, of: count) { return say(failure.message) }
        say(
            "no command is started: \(grouped(need.count)) of \(grouped(count ?? 0)) \"\(visible(need.name))\" \(need.count == 1 ? "is" : "are") wanted, and others have them"
        )
    }
}
