import ArgumentParser
import Petiole

/// `petiole env`: what a job's command finds in its environment.
struct Env: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the environment that is kept with a job's command.",
        discussion: """
            A line NAME=VALUE for each variable, as it was kept by `petiole add`; -0 ends each with a zero byte instead, for \
            values with line ends. In a terminal control characters are shown as such. A command of `petiole run` has that \
            of the run itself, of which nothing is kept: only what it adds is printed. What every command finds besides is \
            PETIOLE_ATTEMPT (store, job, attempt), and those of a schedule PETIOLE_SCHEDULE and PETIOLE_PLANNED.

            EXAMPLES
              petiole env 17
              petiole env -0 17 | xargs -0 -n1 echo
            """)

    @Flag(name: .customShort("0"), help: "End each with a zero byte.")
    var isZeroSeparated = false

    @Flag(
        help: "Print a JSON object: v, id, inherits, environment (a list of name and value).")
    var json = false

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("A job's id.", valueName: "id"))
    var number: JobNumber

    func run() throws {
        let store = try location.openExisting()
        let details = try store.details(of: number.id)
        guard
            let command = JobText.command(name: details.summary.name, payload: details.payload)
        else {
            throw Failure(
                "job \(number.id) is no command: see petiole show \(number.id)", status: 66)
        }
        let (variables, inherits): ([Command.Variable], Bool) =
            switch command.environment {
            case .exactly(let some): (some, false)
            case .inheritedWith(let some): (some, true)
            case .inherited: ([], true)
            }
        if json {
            var line = JSONLine()
            line.add("id", Int(clamping: number.id.rawValue))
            line.add("inherits", inherits)
            line.add(
                "environment",
                objects: variables.map { variable in
                    var part = JSONLine()
                    part.add("name", variable.name)
                    part.add("value", variable.value)
                    return part
                })
            return Standard.output.line(line.line)
        }
        for variable in variables {
            let bytes = variable.name + Array("=".utf8) + variable.value
            if Standard.output.isTerminal, !isZeroSeparated {
                Standard.output.line(visible(String(decoding: bytes, as: UTF8.self)))
            } else {
                let line = bytes + [isZeroSeparated ? 0 : UInt8(ascii: "\n")]
                line.withUnsafeBytes { _ = Standard.output.write($0) }
            }
        }
        if inherits { say("the rest is the environment of the process that runs it") }
    }
}
