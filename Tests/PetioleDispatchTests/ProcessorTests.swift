import CPetiole
import Testing

@testable import PetioleDispatch

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Processors") struct ProcessorTests {
    @Test("there is at least one processor")
    func atLeastOne() { #expect(usableProcessors() >= 1) }

    @Test(
        "the smallest quota from the group up to the root counts, rounded up",
        arguments: [
            ("0::/a/b\n", ["a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"], 2),
            ("0::/a\n", ["a/cpu.max": "max 100000\n"], 0),
            ("0::/a\n", ["a/cpu.max": "10000 100000\n", "cpu.max": "300000 100000\n"], 1),
            ("0::/host/only\n", ["cpu.max": "300000 100000\n"], 3),
            (
                "5:memory:/m\n4:cpu,cpuacct:/a\n",
                [
                    "cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
                    "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
                ], 4
            ),
            (
                "4:cpu:/a\n",
                ["cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"], 0
            ),
            ("4:cpuset:/a\nnonsense\n", [:], 0),
        ])
    func quota(groups: String, files: [String: String], expected: CInt) throws {
        let root = "/tmp/petiole-groups-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        var directories = [root]
        mkdir(root, 0o700)
        var paths = ["\(root)/groups"]
        try write(groups, to: paths[0])
        for (name, text) in files {
            var path = root
            for part in name.split(separator: "/").dropLast() {
                path += "/\(part)"
                if mkdir(path, 0o700) == 0 { directories.append(path) }
            }
            paths.append("\(root)/\(name)")
            try write(text, to: "\(root)/\(name)")
        }
        #expect(petiole_quota_processors(paths[0], root) == expected)
        for path in paths { unlink(path) }
        for path in directories.sorted().reversed() { rmdir(path) }
    }

    private func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "we"))
        fputs(text, file)
        fclose(file)
    }
}
