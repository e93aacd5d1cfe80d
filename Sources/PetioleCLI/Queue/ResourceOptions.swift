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
            let name = visible(need.name)
            guard let resource = known.first(where: { $0.name == need.name }) else {
                throw Failure(
                    """
                    this store knows no resource "\(name)"
                    say how many there are: petiole limit --resource \(name)=\(need.count)
                    """, status: 66)
            }
            if resource.count < need.count {
                throw Failure(
                    """
                    a command is to take \(grouped(need.count)) of "\(name)", and there are \(grouped(resource.count))
                    say how many there are: petiole limit --resource \(name)=\(need.count)
                    """, status: 75)
            }
        }
    }
}
