import Foundation

/// The command-line tool: its start, and what a run of small commands takes.
extension Family {
    static let tool = Family(name: "tool") { setup in
        guard FileManager.default.isExecutableFile(atPath: setup.tool.path) else {
            throw ToolMissing(path: setup.tool.path)
        }
        return try [start(setup), commands(setup)]
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
        let inputs = (1...setup.count(2_000, quick: 200)).map(String.init)
        let xargs = try setup.withPath("inputs") { path in
            try (inputs.joined(separator: "\n") + "\n")
                .write(toFile: path, atomically: false, encoding: .utf8)
            return try Yardsticks.run("/usr/bin/xargs", ["-P2", "-n1", "true"], input: path)
        }
        let ours = try setup.withPath("run") { store in
            try Yardsticks.run(
                setup.tool.path, ["run", "-j2", "--store", store, "true", ":::"] + inputs)
        }
        return Row(
            name: "petiole run -j2 true, \(inputs.count.formatted()) inputs",
            figure: Figure(Double(ours) / 1e9, .seconds),
            yardstick: Yardstick("xargs -P2 -n1 true", Figure(Double(xargs) / 1e9, .seconds)),
            target: .timesYardstickAtMost(1.15))
    }
}

struct ToolMissing: Error, CustomStringConvertible {
    var path: String
    var description: String { "no tool at \(path): run `make build`, or name it with --tool" }
}

extension Figure {
    fileprivate var inMilliseconds: Figure { Figure(value / 1000, .milliseconds) }
}
