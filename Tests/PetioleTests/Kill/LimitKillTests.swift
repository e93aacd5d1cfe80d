import Foundation
import Testing

@testable import Petiole

extension KillTests {
    @Test(
        "jobs of an ordered key never overlap and never overtake, however often the runner is killed",
        arguments: [UInt64(11)])
    func orderedKeys(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let keys = 5
        let directory = try await prepare { store in
            for number in 0..<120 {
                try await store.enqueue(
                    name: "Ordered", payload: ["key": number % keys],
                    options: EnqueueOptions(limitKey: "\(number % keys)"))
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        for _ in 0..<10 {
            let child = try Child(["serve", directory.store, effects, "4"])
            #expect(try await child.line() == "serving")
            try await child.kill(after: .microseconds(Int.random(in: 100...8_000, using: &random)))
            #expect(try await child.end() == .signal(SIGKILL))
            try check(directory, [1...120])
            let after = try directory.open()
            for (id, row) in try Audit(after).active where row.attempts > 0 {
                #expect(row.holdsKey, "job \(id) was begun, and holds no key: \(row)")
            }
            after.close()
        }
        try await finish(directory, [1...120])
        for life in try Effects(effects).lives {
            for key in 0..<keys {
                let lines = life.filter { Int($0.id - 1) % keys == key }
                // Each start is followed by its own end, but for the one that was cut short.
                for (line, next) in zip(lines, lines.dropFirst()) {
                    #expect(line.isStart != next.isStart)
                    if line.isStart { #expect(line.id == next.id && line.attempt == next.attempt) }
                    #expect(
                        next.id >= line.id,
                        "\(lines.map { "\($0.isStart ? "+" : "-")\($0.id).\($0.attempt)" })")
                }
            }
        }
    }

    @Test(
        "a job that is to run at most once never starts twice, however often the runner is killed")
    func atMostOnce() async throws {
        var random = SeededRandom(21)
        let directory = try await prepare { store in
            for number in 0..<400 {
                try await store.enqueue(name: "Once", payload: ["number": number])
            }
        }
        defer { directory.remove() }
        let effects = directory.path + "/effects"
        for _ in 0..<10 {
            let child = try Child(["serve", directory.store, effects, "2"])
            #expect(try await child.line() == "serving")
            try await child.kill(after: .microseconds(Int.random(in: 100...6_000, using: &random)))
            #expect(try await child.end() == .signal(SIGKILL))
        }
        #expect(try await Child(["run", directory.store, effects, "2"]).end() == .exit(0))
        let starts = try Effects(effects).starts
        #expect(Set(starts.map { $0.id }).count == starts.count, "a job started twice")
        let store = try directory.open()
        defer { store.close() }
        expectSound(store)
        let counts = try store.counts()
        #expect(counts.unfinished == 0)
        #expect(counts.succeeded + counts.deadLetters == 400)
        for id in UInt64(1)...400 {
            let outcome = try #require(try store.outcome(of: JobID(rawValue: id)))
            if outcome.kind == .deadLetter { #expect(outcome.failure?.type == "Interrupted") }
        }
    }
}
