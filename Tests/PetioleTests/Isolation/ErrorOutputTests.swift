import CPetiole
import Synchronization
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Standard error of child processes", .timeLimit(.minutes(10))) struct ErrorOutputTests {
    /// A child that has said that it serves, and has been let go.
    private func withChild<Value: Sendable>(
        that lines: String, _ body: @Sendable @escaping (ServingChild, SlowSink) -> Value
    ) async throws -> Value {
        let program = try ScriptedProgram.serving(then: lines)
        defer { program.remove() }
        return try await ScriptedProgram.$path.withValue(program.path) {
            try await withStore { store in
                let settings = ChildSettings(executable: program.path)
                let open = store.open
                return try await onThread("test-child") {
                    let child = try ServingChild.start(settings, open)
                    let slow = try SlowSink()
                    defer { slow.close() }
                    child.errorsGoTo = slow.number
                    try program.letGo()
                    defer { _ = child.end(by: .now) }
                    return body(child, slow)
                }
            }
        }
    }

    @Test("a child that writes to its standard error without end is left to itself, and ended")
    func endless() async throws {
        let most = try await withChild(that: "exec yes >&2") { child, sink in
            var most = 0
            while sink.taken < 16 << 20, child.passOn() {
                let before = sink.taken
                guard child.passOn() else { break }
                most = max(most, sink.taken - before)
            }
            return most
        }
        // What a pipe may hold, and the sink beside it.
        #expect(most > 0 && most <= 1 << 20 + 65_536)
    }

    @Test("a child that closes its standard error has written nothing, and lives")
    func closed() async throws {
        let (stirs, lives) = try await withChild(
            that: "exec 2>&-; head -c 24 <&3 >/dev/null"
        ) { child, _ in
            while !child.errorsHaveEnded { _ = child.passOn() }
            return (child.hasStirred, child.passOn())
        }
        #expect(!stirs)
        #expect(lives)
    }
}

/// Takes what is written to it in small pieces, so that a child that writes without end has filled its pipe anew meanwhile.
private final class SlowSink: Sendable {
    let number: Int32
    private let isDry = Gate()
    private let count = Atomic<Int>(0)

    /// How many bytes it has taken.
    // Sequentially consistent: not worth an argument.
    var taken: Int { count.load(ordering: .sequentiallyConsistent) }

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(petiole_pipe(&ends, 0) == 0)
        number = ends[1]
        let end = ends[0]
        OSThread.start(named: "test-sink") { [self] in
            var piece = [UInt8](repeating: 0, count: 256)
            while true {
                let read = read(end, &piece, piece.count)
                if read <= 0 { break }
                // Sequentially consistent: as above.
                count.add(read, ordering: .sequentiallyConsistent)
            }
            _ = closeEnd(end)
            isDry.open()
        }
        // Full from now on: whatever is written waits until as much was taken.
        let filling = [UInt8](repeating: 0, count: 65_536)
        try #require(write(number, filling, filling.count) == filling.count)
    }

    func close() {
        _ = closeEnd(number)
        isDry.block()
    }
}

private func closeEnd(_ number: Int32) -> Int32 { close(number) }
