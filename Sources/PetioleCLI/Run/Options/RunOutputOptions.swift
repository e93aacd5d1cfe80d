import ArgumentParser
import Petiole

/// What `run` prints, in which order, and what it writes beside that.
struct RunOutputOptions: ParsableArguments {
    @Flag(
        name: [.customShort("k"), .long],
        help: "Print what commands wrote in the order of the inputs.")
    var keepOrder = false

    @Flag(
        help:
            "Show on standard error how far the run is: a bar on a terminal, else a line now and then."
    )
    var bar = false

    @Option(
        name: .customLong("joblog"),
        help: ArgumentHelp(
            "Add a line for each command that ends to this file, in the columns of GNU parallel.",
            valueName: "file"))
    var jobLog: String?
}
