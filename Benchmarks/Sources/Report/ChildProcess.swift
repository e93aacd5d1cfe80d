import Foundation

/// This program once more, in a role of ``Child``.
final class ChildProcess {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    init(_ role: Child.Role, store: String, count: Int = 0) throws {
        process.executableURL = Bundle.main.executableURL
        process.arguments = ["child", role.rawValue, store, String(count)]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    var id: Int32 { process.processIdentifier }

    /// The next line that it says.
    func line() throws -> String {
        var line: [UInt8] = []
        while let byte = try output.fileHandleForReading.read(upToCount: 1)?.first {
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        throw ChildFailed(role: process.arguments![1])
    }

    /// Closes its input and waits for its end.
    func end() throws {
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw ChildFailed(role: process.arguments![1]) }
    }

    /// Ends it in the middle of what it does.
    func kill() {
        process.terminate()
        process.waitUntilExit()
    }

    /// Memory that is its own and no file's: what its heap and stacks take.
    func privateMemory() throws -> Figure {
        let kibibytes = try field("RssAnon", in: "/proc/\(id)/status")
        return Figure(Double(kibibytes) / 1_024, .mebibytes)
    }

    /// How often each of its threads gave up a core to wait for something, by thread.
    func waits() throws -> [String: Int] {
        let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/task")
        return try threads.reduce(into: [:]) { waits, thread in
            waits[thread] = try field(
                "voluntary_ctxt_switches", in: "/proc/\(id)/task/\(thread)/status")
        }
    }

    private func field(_ name: String, in path: String) throws -> Int {
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let words = lines.first { $0.hasPrefix(name + ":") }?.split { $0 == "\t" || $0 == " " }
        guard let words, words.count > 1, let number = Int(words[1]) else {
            throw ChildFailed(role: process.arguments![1])
        }
        return number
    }
}

struct ChildFailed: Error, CustomStringConvertible {
    var role: String
    var description: String { "the child process in the role \"\(role)\" failed" }
}
