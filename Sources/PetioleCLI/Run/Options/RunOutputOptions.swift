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
            "Print what a command wrote when it has ended, whole. This is what happens in any case."
    )
    var group = false

    @Flag(
        help:
            "Print whole lines as the commands write them, also those of attempts that fail and are made again."
    )
    var lineBuffer = false

    @Flag(help: "Begin each line that a command wrote with its input and a tab.")
    var tag = false

    @Option(
        name: .customLong("tagstring"), parsing: .unconditional,
        help: ArgumentHelp(
            "Begin each line with this text, in which {} {.} {/} {2} {name} stand for parts of the input as in the command, but for fields of --jsonl, and {#} for its job's number.",
            valueName: "text"))
    var tagText: String?

    @Flag(
        help:
            "Print what commands wrote to a terminal as it is; else what could steer the terminal is written out there."
    )
    var raw = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Keep so much of each of a command's two outputs: 10M; what comes behind it is counted and dropped, and the command goes on.",
            valueName: "size"))
    var outputLimit: String?

    @Option(
        name: .customLong("results"),
        help: ArgumentHelp(
            "Write what each command wrote and came to into files below this directory.",
            valueName: "directory"))
    var results: String?

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

    func validate() throws {
        if lineBuffer, keepOrder {
            throw ValidationError(
                "--line-buffer prints lines as they come, -k in the order of the inputs: leave one out"
            )
        }
        if lineBuffer, group {
            throw ValidationError(
                "--group prints outputs whole, --line-buffer lines: leave one out")
        }
        if tag, tagText != nil { throw ValidationError("--tag is --tagstring {}: leave one out") }
        if let outputLimit, SizeText.bytes(outputLimit) == nil {
            throw ValidationError("--output-limit takes a size: 64K, 10M, 1G")
        }
    }

    var limit: UInt64? { outputLimit.flatMap { SizeText.bytes($0) }.map { UInt64($0) } }

    /// - Parameter rules: which places a command has.
    func style(_ rules: PlaceRules) -> OutputStyle {
        let text = tagText.map { Arguments.bytes(of: $0) } ?? (tag ? Array("{}".utf8) : nil)
        return OutputStyle(tag: text.map { TagTemplate($0, rules) }, isRaw: raw)
    }
}
