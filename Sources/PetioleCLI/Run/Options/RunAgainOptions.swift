import ArgumentParser
import Petiole

/// What a run does with what earlier starts of the same line have left.
struct RunAgainOptions: ParsableArguments {
    @Flag(help: "Start anew, whatever was done before. What had not ended is cancelled.")
    var fresh = false

    @Flag(help: "Run once more what has not succeeded.")
    var retryFailed = false

    @Flag(
        help:
            "Run once more all that is listed, also what has succeeded. Unlike --fresh it stays the same jobs, with what they came to before."
    )
    var redo = false

    func validate() throws {
        if fresh, retryFailed || redo {
            throw ValidationError("--fresh runs all anew; leave the others out")
        }
        if retryFailed, redo {
            throw ValidationError("--redo runs all once more; leave --retry-failed out")
        }
    }
}
