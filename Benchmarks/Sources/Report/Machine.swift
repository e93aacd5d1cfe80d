import CYardsticks
import Foundation

/// Where the figures come from: without it they say nothing.
struct Machine {
    var lines: [(String, String)]

    /// `folder` is where the files of the run went.
    init(folder: URL) {
        lines = [
            ("processor", Machine.processor()),
            ("cores in use", "\(ProcessInfo.processInfo.activeProcessorCount)"),
            ("load at the end, this run included", Machine.load()),
            ("kernel", Machine.kernel()),
            ("file system", Machine.fileSystem(of: folder.path)),
            ("Swift", Machine.swift()),
            ("LMDB", String(cString: lmdb_version_text())),
            ("date", Date().formatted(.iso8601)),
        ]
    }

    private static func processor() -> String {
        field("model name", in: "/proc/cpuinfo") ?? output(
            "/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
            ?? "unknown"
    }

    /// How many threads wanted a core, over 1, 5 and 15 minutes: far above 1 means a shared machine.
    private static func load() -> String {
        var averages = [0.0, 0.0, 0.0]
        guard getloadavg(&averages, 3) == 3 else { return "unknown" }
        return averages.map { TextTable.rounded($0, digits: 2) }.joined(separator: ", ")
    }

    private static func kernel() -> String {
        var names = utsname()
        uname(&names)
        func text<Bytes>(_ bytes: Bytes) -> String {
            withUnsafeBytes(of: bytes) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(names.sysname)) \(text(names.release)) \(text(names.machine))"
    }

    /// Type and mount point: the entry of the mount table with the longest path above `path`.
    private static func fileSystem(of path: String) -> String {
        // Absent on macOS; the report then says so.
        guard let table = try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8) else {
            return "unknown"
        }
        let mounts = table.split(separator: "\n").map { $0.split(separator: " ") }
        let above = mounts.filter { mount in
            mount.count > 3
                && (path == mount[1] || mount[1] == "/" || path.hasPrefix("\(mount[1])/"))
        }
        guard let mount = above.max(by: { $0[1].count <= $1[1].count }) else { return "unknown" }
        return "\(mount[2]) on \(mount[1]) (\(mount[3]))"
    }

    /// Whether files under `path` would lie in memory, where a sync costs nothing.
    static func isInMemory(_ path: String) -> Bool {
        ["tmpfs ", "ramfs "].contains { fileSystem(of: path).hasPrefix($0) }
    }

    private static func swift() -> String {
        output("/usr/bin/env", "swift", "--version")?
            .split(separator: "\n").first.map(String.init) ?? "unknown"
    }

    private static func field(_ name: String, in path: String) -> String? {
        // Absent on macOS.
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces)
    }

    private static func output(_ program: String, _ arguments: String...) -> String? {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
            let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            let text = String(decoding: data, as: UTF8.self)
            return process.terminationStatus == 0
                ? text.trimmingCharacters(in: .whitespacesAndNewlines) : nil
        } catch {
            // A description that cannot be had is no reason to lose the figures.
            return nil
        }
    }
}
