import CPetiole
import Foundation
import Testing

@testable import Petiole

/// A process that a test starts, and kills: the target `CrashChild`.
final class Child: @unchecked Sendable {
    // What guards it: made, used and awaited by one task after another.
    private let process: SpawnedProcess
    private let output: FileHandle
    private var buffer = ""

    typealias End = SpawnedProcess.End

    /// - Parameter crashAt: where it is to die by itself, as `CrashPoint` reads it.
    init(
        _ arguments: [String], crashAt: String? = nil, environment more: [String: String] = [:]
    ) throws {
        var environment = ProcessInfo.processInfo.environment
        // A trap is to end the process at once, not after a look at its stack.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        environment["PETIOLE_CRASH_AT"] = crashAt
        environment.merge(more) { $1 }
        var ends: [Int32] = [-1, -1]
        try #require(petiole_pipe(&ends, 0) == 0)
        output = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        defer { close(ends[1]) }
        process = try SpawnedProcess(
            [try Self.executable()] + arguments, environment: environment, output: ends[1])
    }

    var pid: pid_t { process.pid }

    func kill() { process.kill() }

    /// Kills it once so much time has passed, by a thread of its own: on a busy machine a task would be late by seconds, in
    /// which the child goes on.
    func kill(after pause: Duration) async throws { try await Self.kill([self]) { pause } }

    /// Kills one after another, with a pause before each.
    static func kill(_ children: [Child], pause: () -> Duration) async throws {
        let pauses = children.map { _ in pause() }
        try await onThread("test-kill") {
            for (child, pause) in zip(children, pauses) {
                usleep(UInt32(pause / .microseconds(1)))
                child.kill()
            }
        }
    }

    /// The next line that it says; nil when it has ended.
    func line() async throws -> String? {
        try await onThread("test-line") { [self] in
            while true {
                if let end = buffer.firstIndex(of: "\n") {
                    defer { buffer.removeSubrange(...end) }
                    return String(buffer[..<end])
                }
                // Better a failure than a test that hangs.
                var entry = pollfd(
                    fd: output.fileDescriptor, events: Int16(POLLIN), revents: 0)
                if poll(&entry, 1, 180_000) == 0 {
                    kill()
                    throw Silent()
                }
                let data = output.availableData
                if data.isEmpty { return nil }
                buffer += String(decoding: data, as: UTF8.self)
            }
        }
    }

    /// What is left to read, to its end. Ranges of ids that were accepted, as it prints them.
    func acceptedIDs() async throws -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        while let line = try await line() {
            let numbers = line.split(separator: " ").compactMap { UInt64($0) }
            if numbers.count == 2 { ranges.append(numbers[0]...numbers[1]) }
        }
        return ranges
    }

    @discardableResult
    func end() async throws -> End {
        while try await line() != nil {}
        return try await onThread("test-end") { [self] in process.waitForEnd() }
    }

    /// It lies beside the test bundle, or some folders above the program in it.
    static func executable() throws -> String {
        let beginnings = [CommandLine.arguments[0]] + Bundle.allBundles.map { $0.bundlePath }
        for beginning in beginnings {
            var directory = URL(fileURLWithPath: beginning)
            for _ in 0..<5 {
                directory.deleteLastPathComponent()
                let candidate = directory.appendingPathComponent("CrashChild").path
                if FileManager.default.isExecutableFile(atPath: candidate),
                    !isDirectory(candidate)
                {
                    return candidate
                }
            }
        }
        throw Missing()
    }

    private static func isDirectory(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
            && isDirectory.boolValue
    }

    private struct Silent: Error, CustomStringConvertible {
        var description: String { "a child said nothing for three minutes" }
    }

    private struct Missing: Error, CustomStringConvertible {
        var description: String { "CrashChild is not beside the tests: build it with them" }
    }
}

/// The lines that jobs left when they started and when they ended.
struct Effects {
    struct Line: Equatable {
        var isStart: Bool
        var id: UInt64
        var attempt: Int
    }
    let lines: [Line]
    /// What each process has left, one after another.
    let lives: [[Line]]

    init(_ path: String) throws {
        let text =
            FileManager.default.fileExists(atPath: path)
            ? try String(contentsOfFile: path, encoding: .utf8) : ""
        let all: [Line] = text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 3, let id = UInt64(words[1]), let attempt = Int(words[2]) else {
                return nil
            }
            return Line(isStart: words[0] == "start", id: id, attempt: attempt)
        }
        // Each process begins with a line of no job.
        lives = all.split { $0.id == 0 }.map { Array($0) }
        lines = lives.flatMap { $0 }
    }

    var starts: [Line] { lines.filter { $0.isStart } }
    var ended: Set<UInt64> { Set(lines.filter { !$0.isStart }.map { $0.id }) }
}
