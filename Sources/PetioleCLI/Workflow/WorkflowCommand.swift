import ArgumentParser

/// `petiole workflow`: what jobs that follow from each other have come to.
struct WorkflowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workflow",
        abstract: "List workflows, and show one: its steps, how far it is, what it failed of.",
        discussion: """
            A workflow is made by a program; a job stands for it, and its steps are jobs. `petiole cancel`, `petiole \
            requeue` and `petiole wait` take the id of either.

            EXAMPLES
              petiole workflow list
              petiole workflow show 17
            """,
        subcommands: [WorkflowShow.self, WorkflowList.self])
}
