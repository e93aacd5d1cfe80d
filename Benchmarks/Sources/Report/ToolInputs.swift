import Foundation
import Petiole

/// What `petiole run` does with many inputs, and with a large one.
extension Family {
    static func inputs(_ setup: Setup) throws -> [Row] {
        try accepted(setup) + blocks(setup)
    }

    // MARK: Many inputs

    /// Inputs from a pipe, until all of them are accepted, while one command runs.
    private static func accepted(_ setup: Setup) throws -> [Row] {
        let count = setup.count(1_000_000, quick: 50_000)
        var rate = 0.0
        var memory = 0.0
        var beside: [Row] = []
        for round in 0..<setup.rounds {
            try setup.withPath("accept") { path in
                let run = try Accepting(setup.tool, store: path, count: count)
                rate = max(rate, Double(count) / run.seconds)
                memory = max(memory, run.mebibytes)
                if round == 0 { beside = try Self.beside(setup, store: path, count: count) }
            }
        }
        let name = "seq \(count.formatted()) | petiole run -j1 'sleep 1000'"
        var rows = [
            Row(
                name: "\(name), inputs accepted", figure: Figure(rate, .perSecond),
                target: .atLeast(Figure(500_000, .perSecond)))
        ]
        if memory > 0 {
            rows.append(
                Row(
                    name: "\(name), private memory at most", figure: Figure(memory, .mebibytes),
                    target: .atMost(Figure(64, .mebibytes))))
        }
        return rows + beside
    }

    /// Whole processes that work on a store with so many jobs.
    private static func beside(_ setup: Setup, store path: String, count: Int) throws -> [Row] {
        func row(_ name: String, _ words: [String]) throws -> Row {
            let times = try Latencies(
                nanoseconds: (0..<setup.count(100, quick: 10)).map { _ in
                    try Yardsticks.run(setup.tool.path, [words[0], "--store", path] + words[1...])
                })
            return Row(
                name: "\(name), \(count.formatted()) jobs in the store, p50",
                figure: times.percentile(50).inMilliseconds,
                target: .atMost(Figure(15, .milliseconds)))
        }
        return [
            try row("petiole add -- true", ["add", "--", "true"]),
            try row("petiole status", ["status"]),
        ]
    }

    /// One run whose inputs come from `seq`.
    private struct Accepting {
        let seconds: Double
        /// 0 where the system does not tell.
        let mebibytes: Double

        init(_ tool: URL, store path: String, count: Int) throws {
            let numbers = Process()
            numbers.executableURL = URL(filePath: "/usr/bin/seq")
            numbers.arguments = [String(count)]
            let pipe = Pipe()
            numbers.standardOutput = pipe
            let run = Process()
            run.executableURL = tool
            run.arguments = ["run", "-j1", "--store", path, "sleep 1000"]
            run.standardInput = pipe
            run.standardOutput = FileHandle.nullDevice
            run.standardError = FileHandle.nullDevice
            let start = ContinuousClock.now
            try run.run()
            try numbers.run()
            try pipe.fileHandleForWriting.close()
            var most = 0.0
            var store: JobStore?
            var options = StoreOptions()
            options.createsStore = false
            while run.isRunning {
                most = max(most, Self.privateMemory(run.processIdentifier) ?? 0)
                // There is none before the tool has made it.
                store = store ?? (try? JobStore(at: path, options: options))
                if let store, try store.counts().accepted >= count { break }
                usleep(2_000)
            }
            let elapsed = ContinuousClock.now - start
            let accepted = try store?.counts().accepted ?? 0
            store?.close()
            // Let it end, ask it to, kill its command.
            while run.isRunning {
                run.terminate()
                usleep(100_000)
            }
            guard accepted == count else { throw NotAccepted(expected: count, accepted: accepted) }
            seconds = elapsed / .seconds(1)
            mebibytes = most
        }

        private static func privateMemory(_ pid: Int32) -> Double? {
            // Gone, or a system without it.
            guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
                let line = text.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }),
                let kibibytes = Int(line.filter(\.isNumber))
            else { return nil }
            return Double(kibibytes) / 1_024
        }
    }

    // MARK: A large input

    /// Blocks of a file that is in memory, counted by `wc`.
    private static func blocks(_ setup: Setup) throws -> [Row] {
        let size = setup.count(1 << 30, quick: 64 << 20)
        return try setup.withPath("blocks") { folder in
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            let (file, halves) = try makeFiles(in: folder, size: size)
            let parallel = ["/usr/bin/parallel", "/usr/local/bin/parallel"].first {
                FileManager.default.isExecutableFile(atPath: $0)
            }
            if parallel == nil {
                let line = "skipped: blocks beside GNU parallel, which is not installed\n"
                FileHandle.standardError.write(Data(line.utf8))
            }
            var ours: [UInt64] = []
            var cats: [UInt64] = []
            var theirs: [UInt64] = []
            for round in 0..<setup.rounds {
                cats.append(
                    try Yardsticks.run(
                        "/bin/sh",
                        ["-c", "(cat \(halves[0]) | wc -l) & (cat \(halves[1]) | wc -l) & wait"]))
                ours.append(
                    try Yardsticks.run(
                        setup.tool.path,
                        [
                            "run", "--pipe", "--block", "10M", "--store", "\(folder)/\(round)",
                            "wc",
                            "-l",
                        ], input: file))
                if let parallel {
                    theirs.append(
                        try Yardsticks.run(
                            parallel, ["--will-cite", "--pipe", "--block", "10M", "wc", "-l"],
                            input: file))
                }
            }
            let name = "petiole run --pipe --block 10M wc -l, \(size >> 20) MiB"
            func row(_ yardstick: String, _ times: [UInt64], _ most: Double) -> Row {
                Row(
                    name: name, figure: Figure(Double(ours.min()!) / 1e9, .seconds),
                    yardstick: Yardstick(
                        yardstick, Figure(Double(times.min()!) / 1e9, .seconds)),
                    target: .timesYardstickAtMost(most))
            }
            return [row("cat half | wc -l, twice side by side", cats, 1 / 0.8)]
                + (theirs.isEmpty ? [] : [row("parallel, the same words", theirs, 0.5)])
        }
    }

    /// A file of lines, and its halves, all of them read once.
    private static func makeFiles(
        in folder: String, size: Int
    ) throws -> (String, halves: [String]) {
        let line = "the quick brown fox jumps over the lazy dog, and is away\n"
        let part = Data(String(repeating: line, count: (1 << 20) / line.utf8.count).utf8)
        let paths = ["all", "one", "two"].map { "\(folder)/\($0)" }
        for (path, size) in zip(paths, [size, size / 2, size / 2]) {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
            let file = try FileHandle(forWritingTo: URL(filePath: path))
            var written = 0
            while written < size {
                try file.write(contentsOf: part)
                written += part.count
            }
            try file.synchronize()
            try file.close()
        }
        return (paths[0], Array(paths[1...]))
    }
}

private struct NotAccepted: Error, CustomStringConvertible {
    var expected: Int
    var accepted: Int
    var description: String { "\(accepted) of \(expected) inputs were accepted" }
}
