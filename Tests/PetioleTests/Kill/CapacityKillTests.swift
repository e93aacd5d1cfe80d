import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Kills with a capacity", .serialized, .timeLimit(.minutes(10)))
struct CapacityKillTests {
    private func prepare(_ capacity: Capacity) async throws -> TestDirectory {
        let directory = try TestDirectory()
        let store = try directory.open()
        try await store.setCapacity(capacity, queue: "default")
        try await store.setCapacity(Capacity(jobs: 1_000))
        store.close()
        return directory
    }

    /// The counters are what the rows say, and so is the capacity.
    private func check(_ directory: TestDirectory, atMost jobs: Int) throws -> JobCounts {
        let store = try directory.open()
        defer { store.close() }
        #expect(try Audit(store).problems == [])
        let counts = try store.counts()
        let marked = try store.open.read { (reader) throws(StorageError) in
            try QueueCounters.read(1, reader, store.open.tables)?.dropping ?? 0
        }
        #expect(counts.unfinished - Int(marked) <= jobs)
        return counts
    }

    @Test(
        "producers that drop and a runner, killed again and again, leave counters that are true, and run what was not dropped",
        arguments: [UInt64(11), 12])
    func dropping(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let directory = try await prepare(Capacity(jobs: 30))
        defer { directory.remove() }
        var accepted: [ClosedRange<UInt64>] = []
        for _ in 0..<12 {
            let children = [
                try Child(["flood", directory.store, "100000", "drop"]),
                try Child(["flood", directory.store, "100000", "drop"]),
                try Child(["serve", directory.store, directory.path + "/effects", "2"]),
            ]
            try await Child.kill(children.shuffled(using: &random)) {
                .milliseconds(Int.random(in: 1...60, using: &random))
            }
            for child in children {
                accepted += try await child.acceptedIDs()
                #expect(try await child.end() == .signal(SIGKILL))
            }
            _ = try check(directory, atMost: 30)
        }
        let effects = directory.path + "/effects"
        let before = try Effects(effects).lines.count
        let dropped = try dropped(directory)
        #expect(try await Child(["run", directory.store, effects, "2"]).end() == .exit(0))
        // One that had run when its runner died, unrecorded, may have been dropped; none starts after that.
        let late = try Effects(effects).lines.dropFirst(before).map { $0.id }
        #expect(dropped.isDisjoint(with: late))
        let counts = try check(directory, atMost: 30)
        #expect(counts.unfinished == 0 && counts.dropped > 0)
        let store = try directory.open()
        defer { store.close() }
        let outcomes = try Audit(store).outcomes
        let ended = try Effects(effects).ended
        for id in accepted.flatMap({ Array($0) }) {
            let state = outcomes[id]
            #expect(state == .succeeded && ended.contains(id) || state == .dropped, "job \(id)")
        }
    }

    private func dropped(_ directory: TestDirectory) throws -> Set<UInt64> {
        let store = try directory.open()
        defer { store.close() }
        return Set(try Audit(store).outcomes.filter { $0.value == .dropped }.keys)
    }

    @Test(
        "producers that wait are let in by a runner of another process, however often one of them is killed"
    )
    func waiting() async throws {
        var random = SeededRandom(13)
        let directory = try await prepare(Capacity(jobs: 5, whenFull: .wait()))
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        for _ in 0..<6 {
            let killed = [
                try Child(["flood", directory.store, "100000", "wait"]),
                try Child(["serve", directory.store, effects, "2"]),
            ]
            try await Child.kill(killed.shuffled(using: &random)) {
                .milliseconds(Int.random(in: 1...60, using: &random))
            }
            for child in killed { try await child.end() }
            _ = try check(directory, atMost: 5)
        }
        // All of these get in, though there is room for five at a time.
        let runner = try Child(["serve", directory.store, effects, "2"])
        let producers = try (0..<3).map { _ in
            try Child(["flood", directory.store, "100", "wait"])
        }
        for producer in producers {
            #expect(try await producer.acceptedIDs().count == 100)
            #expect(try await producer.end() == .exit(0))
        }
        runner.kill()
        try await runner.end()
        _ = try check(directory, atMost: 5)
    }
}
