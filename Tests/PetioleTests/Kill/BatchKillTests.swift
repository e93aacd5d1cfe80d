import Foundation
import Testing

@testable import Petiole

@Suite("Batches of processes that die", .serialized, .timeLimit(.minutes(10)))
struct BatchKillTests {
    private func prepare(_ kinds: [String]) async throws -> TestDirectory {
        let directory = try TestDirectory()
        let store = try directory.open { $0.durability = .durable }
        for kind in kinds { try await store.enqueue(name: "Together", payload: ["kind": kind]) }
        store.close()
        return directory
    }

    @Test("a batch that ends its process makes suspects of all its items, which then run alone")
    func trap() async throws {
        var kinds = [String](repeating: "plain", count: 8)
        kinds[3] = "trap"
        let directory = try await prepare(kinds)
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        var ends: [Child.End] = []
        repeat {
            ends.append(try await Child(["run", directory.store, effects, "2"]).end())
        } while ends.last != .exit(0) && ends.count < 8
        #expect(ends.last == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        #expect(try store.counts().succeeded == 7)
        #expect(try store.outcome(of: JobID(rawValue: 4))?.kind == .deadLetter)
        // Each process begins with a line of job 0.
        let starts = try Effects(effects).starts.filter { $0.id > 0 }
        // All of it together, then each by itself.
        #expect(starts.prefix(8).map(\.id).sorted() == Array(1...8))
        for id in (1...8 as ClosedRange<UInt64>) where id != 4 {
            // Once more each time that the guilty one dies before its outcome is on the disk.
            #expect(Set(starts.filter { $0.id == id }.map(\.attempt)) == [1, 2], "job \(id)")
        }
        #expect(starts.filter { $0.id == 4 }.map(\.attempt) == [1, 2, 3, 4])
    }

    @Test("a batch whose process is killed runs again, none of it lost, and no slot is left taken")
    func kill() async throws {
        let directory = try await prepare([String](repeating: "plain", count: 20))
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        let child = try Child(
            ["serve", directory.store, effects, "1"], environment: ["CRASH_CHILD_HANGS": "1"])
        while let line = try await child.line(), line != "started 8" {}
        do {
            let store = try directory.open()
            #expect(store.open.slots.jobs().isSuperset(of: Set(1...8)))
            store.close()
        }
        child.kill()
        try await child.end()
        #expect(try await Child(["run", directory.store, effects, "2"]).end() == .exit(0))
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        #expect(try store.counts().succeeded == 20)
        #expect(store.open.slots.jobs() == [])
    }
}
