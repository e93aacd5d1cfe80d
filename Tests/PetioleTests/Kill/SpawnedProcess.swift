import CPetiole
import Foundation
import Synchronization
import Testing

@testable import Petiole

/// A process that a test starts, by what starts commands.
///
/// Foundation's `Process` reads past the end of the list of this process's descriptors when there are thousands of them, as there
/// are when all tests run side by side.
/// - Source: swift-corelibs-foundation of Swift 6.3.1, `findMaximumOpenFromProcSelfFD`: it ended the tests now and then.
final class SpawnedProcess: Sendable {
    enum End: Equatable {
        case exit(Int32)
        case signal(Int32)
    }

    let pid: pid_t
    private let end = Mutex<End?>(nil)
    private let hasEnded = DispatchGroup()

    /// - Parameter output: where its standard output goes; its errors go nowhere.
    init(_ arguments: [String], environment: [String: String], output: Int32) throws {
        let strings = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in strings + variables { free(text) } }
        let nowhere = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(nowhere) }
        var started: pid_t = 0
        let code = strings.withUnsafeBufferPointer { strings in
            variables.withUnsafeBufferPointer { variables in
                var request = petiole_spawn_request(
                    arguments: strings.baseAddress!, environment: variables.baseAddress!,
                    directory: -1, input: nowhere, output: output < 0 ? nowhere : output,
                    error: nowhere, channel: -1, starting_name: nil, niceness: 0)
                return petiole_spawn(&request, &started)
            }
        }
        if code != 0 { throw NotStarted(program: arguments[0], code: code) }
        let pid = started
        self.pid = pid
        hasEnded.enter()
        OSThread.start(named: "test-reap") { [self] in
            var end = petiole_end()
            let code = petiole_reap(pid, -1, &end)
            precondition(code == 0, "the end of a child that a test started was taken by another")
            self.end.withLock {
                $0 = end.signalled != 0 ? .signal(Int32(end.status)) : .exit(Int32(end.status))
            }
            hasEnded.leave()
        }
    }

    func kill() {
        // What has ended has given its number back.
        end.withLock { if $0 == nil { _ = Foundation.kill(pid, SIGKILL) } }
    }

    /// Blocks the thread.
    func waitForEnd() -> End {
        hasEnded.wait()
        return end.withLock { $0! }
    }

    private struct NotStarted: Error, CustomStringConvertible {
        var program: String
        var code: Int32
        var description: String { "\(program) could not be started: error \(code)" }
    }
}

/// Writes a program, by another process: while a file is open for writing here, every child that is started meanwhile holds it
/// open until it executes its own program, and the system starts no file that is open for writing.
func writeProgram(_ text: String, to path: String) throws {
    let line = #"printf '%s' "$1" > "$0" && chmod 700 "$0""#
    let writer = try SpawnedProcess(
        ["/bin/sh", "-c", line, path, text], environment: [:], output: -1)
    try #require(writer.waitForEnd() == .exit(0))
}
