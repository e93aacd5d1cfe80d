import ArgumentParser
import Petiole

/// What a run does with what earlier starts of the same line have left.
struct RunAgainOptions: ParsableArguments {
    @Flag(help: "Start anew, whatever was done before. What had not ended is cancelled.")
    var fresh = false

    @Flag(help: "Run once more what has not succeeded.")
    var retryFailed = false

    func validate() throws {
        if fresh, retryFailed {
            throw ValidationError("--fresh runs all anew; leave --retry-failed out")
        }
    }
}
