import Foundation
import Petiole

/// The command-line tool: its start, and what a run of small commands takes.
extension Family {
    static let tool = Family(name: "tool") { setup in
        guard FileManager.default.isExecutableFile(atPath: setup.tool.path) else {
            let line = "skipped: there is no tool at \(setup.tool.path); `make build` makes it\n"
            FileHandle.standardError.write(Data(line.utf8))
            return []
        }
        return try [start(setup), commands(setup)] + inputs(setup)
    }

    private static func start(_ setup: Setup) throws -> Row {
        let count = setup.count(200, quick: 20)
        let tool = try Latencies(
            nanoseconds: (0..<count).map { _ in
                try Yardsticks.run(setup.tool.path, ["--version"])
            })
        let bare = try Latencies(
            nanoseconds: (0..<count).map { _ in try Yardsticks.run("/usr/bin/true") })
        return Row(
            name: "petiole --version, p50", figure: tool.percentile(50).inMilliseconds,
            yardstick: Yardstick("/usr/bin/true", bare.percentile(50).inMilliseconds),
            target: .atMost(Figure(10, .milliseconds)))
    }

    private static func commands(_ setup: Setup) throws -> Row {
        let inputs = (1...setup.count(10_000, quick: 200)).map(String.init)
        var xargs: [UInt64] = []
        var ours: [UInt64] = []
        for _ in 0..<setup.rounds {
            xargs.append(
                try setup.withPath("inputs") { path in
                    try (inputs.joined(separator: "\n") + "\n")
                        .write(toFile: path, atomically: false, encoding: .utf8)
                    return try Yardsticks.run(
                        "/usr/bin/xargs", ["-P2", "-n1", "true"], input: path)
                })
            ours.append(
                try setup.withPath("run") { path in
                    let nanoseconds = try Yardsticks.run(
                        setup.tool.path, ["run", "-j2", "--store", path, "true", ":::"] + inputs)
                    try checkOutcomes(path, inputs.count)
                    return nanoseconds
                })
        }
        return Row(
            name: "petiole run -j2 true, \(inputs.count.formatted()) inputs",
            figure: Figure(Double(ours.min()!) / 1e9, .seconds),
            yardstick: Yardstick(
                "xargs -P2 -n1 true", Figure(Double(xargs.min()!) / 1e9, .seconds)),
            target: .timesYardstickAtMost(1.05))
    }

    /// Every outcome is in the store, and is a success.
    private static func checkOutcomes(_ path: String, _ count: Int) throws {
        let store = try JobStore(at: path)
        defer { store.close() }
        let succeeded = try store.counts().succeeded
        if succeeded != count { throw MissingOutcomes(expected: count, succeeded: succeeded) }
    }
}

private struct MissingOutcomes: Error, CustomStringConvertible {
    var expected: Int
    var succeeded: Int
    var description: String { "\(succeeded) of \(expected) commands are recorded as succeeded" }
}

extension Figure {
    var inMilliseconds: Figure { Figure(value / 1000, .milliseconds) }
}
