import Foundation
import Testing

@testable import Petiole

@Suite("Workflows of processes that die", .serialized, .timeLimit(.minutes(10)))
struct WorkflowKillTests {
    private func prepare() throws -> TestDirectory {
        let directory = try TestDirectory()
        try directory.open().close()
        return directory
    }

    private func id(_ arguments: [String]) async throws -> JobID {
        let child = try Child(arguments)
        let line = try #require(try await child.line())
        #expect(try await child.end() == .exit(0))
        return JobID(rawValue: try #require(UInt64(line)))
    }

    @Test(
        "a graph of 1,000 steps whose runner is killed 30 times ends each step once, and its last behind all others"
    )
    func graph() async throws {
        var random = SeededRandom(5)
        let directory = try prepare()
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let id = try await id(["graph", directory.store, "1000", "5"])
        for _ in 0..<30 {
            // At most 750 of 1,000, but for what runs on in the pause: the last step is not begun again and again.
            let child = try Child([
                "steps", directory.store, effects, "\(Int.random(in: 1...25, using: &random))",
                "\(Int.random(in: 1...2_000, using: &random))",
            ])
            #expect(try await child.end() == .signal(SIGALRM))
            let store = try directory.open()
            expectSound(store)
            store.close()
        }
        #expect(try await Child(["steps", directory.store, effects, "drain"]).end() == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        let audit = try Audit(store)
        #expect(audit.problems == [])
        #expect(audit.outcomes.count == 1_002)
        #expect(audit.outcomes.values.allSatisfy { $0 == .succeeded })
        let summary = try store.workflow(id)
        #expect(summary.ended == 1_001 && summary.failed == 0)
        // Each step has what the steps before it came to, whatever was cut short on the way.
        var sums: [String: Int] = [:]
        for step in summary.steps {
            let number = step.name == "last" ? 1_000 : Int(step.name.dropFirst())!
            let sum = step.after.reduce(number) { $0 + sums[summary.steps[$1].name]! }
            sums[step.name] = sum % 1_000_003
            let handle = store.handle(
                of: JobID(rawValue: step.ids[0].lowerBound), output: Int.self)
            #expect(try await handle.result == sums[step.name], "step \(step.name)")
        }
        let lines = try String(contentsOfFile: effects, encoding: .utf8).split(separator: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("start 1000 ") })
        let before = Set(
            lines[..<start].compactMap { line -> Int? in
                line.hasPrefix("end ") ? Int(line.split(separator: " ")[1]) : nil
            })
        #expect(before == Set(0..<1_000), "the last step began before others had ended")
    }

    @Test(
        "a chord that is killed while it is staged is there whole or not at all", arguments: 1...6)
    func staged(pass: Int) async throws {
        let directory = try prepare()
        defer { directory.remove() }
        let point = pass == 6 ? "beforeCommit:4" : "stagePart:\(pass)"
        let child = try Child(["chord", directory.store, "700000"], crashAt: point)
        let line = try await child.line()
        _ = try await child.end()
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        let jobs = try Audit(store).jobs.count
        if line == nil { #expect(jobs == 0) } else { #expect(jobs == 700_002) }
    }

    @Test("a requeue of many jobs of a workflow that is cut short is carried on by the next one")
    func resumed() async throws {
        let directory = try prepare()
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let id = try await id(["chord", directory.store, "5000"])
        let failing = try Child(
            ["steps", directory.store, effects, "drain"], environment: ["CRASH_CHILD_FAILS": "1"])
        #expect(try await failing.end() == .exit(0))
        do {
            let store = try directory.open()
            defer { store.close() }
            #expect(try store.outcome(of: id)?.kind == .failed)
            #expect(try store.workflow(id).failed > 2_000)
        }
        let cut = try Child(
            ["carry-on", directory.store, id.description], crashAt: "workflowResumed:2")
        #expect(try await cut.end() != .exit(0))
        do {
            let store = try directory.open()
            defer { store.close() }
            expectSound(store)
            #expect(try store.workflow(id).isResuming)
        }
        #expect(try await Child(["carry-on", directory.store, id.description]).end() == .exit(0))
        #expect(try await Child(["steps", directory.store, effects, "drain"]).end() == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        let handle = store.handle(of: id, output: Int.self)
        #expect(try await handle.result == (0..<5_000).reduce(0, +))
    }
}
