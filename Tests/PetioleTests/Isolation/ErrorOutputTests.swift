import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Standard error of child processes", .timeLimit(.minutes(1))) struct ErrorOutputTests {
    /// A child that has said that it serves, and has been let go.
    private func withChild(
        that lines: String, _ body: @Sendable @escaping (ServingChild) throws -> Void
    ) async throws {
        let program = try ScriptedProgram.serving(then: lines)
        defer { program.remove() }
        try await ScriptedProgram.$path.withValue(program.path) {
            try await withStore { store in
                guard case .process(let settings) = ScriptedKind.isolation.place else { return }
                let open = store.open
                try await onThread("test-child") {
                    let child = try ServingChild.start(settings, open)
                    let null = openNull()
                    defer { close(null) }
                    child.errorsGoTo = null
                    try program.letGo()
                    try body(child)
                    _ = child.end(by: .now)
                }
            }
        }
    }

    @Test("a child that writes to its standard error without end is left to itself, and ended")
    func endless() async throws {
        try await withChild(that: "exec yes >&2") { child in
            while child.lastLines.isEmpty { #expect(child.passOn()) }
            for _ in 0..<100 { #expect(child.passOn()) }
        }
    }

    @Test("a child that closes its standard error has written nothing, and lives")
    func closed() async throws {
        try await withChild(that: "exec 2>&-; head -c 24 <&3 >/dev/null") { child in
            while !child.errorsHaveEnded { #expect(child.passOn()) }
            #expect(!child.hasStirred)
            #expect(child.passOn())
        }
    }
}

private func openNull() -> Int32 { open("/dev/null", O_WRONLY | O_CLOEXEC) }
