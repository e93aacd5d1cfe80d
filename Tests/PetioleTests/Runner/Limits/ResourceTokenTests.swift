import Synchronization
import Testing

@testable import Petiole

@Suite("Named resources", .timeLimit(.minutes(10))) struct ResourceTokenTests {
    @Test("what there is of a resource is said, shown, changed and taken away")
    func settings() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try JobStore(at: directory.path + "/work.petiole")
        defer { store.close() }
        #expect(try store.resources().isEmpty)
        try await store.setResource("gpu", count: 2)
        try await store.setResource("disk", count: 0)
        #expect(
            try store.resources() == [
                ResourceCount(name: "disk", count: 0, used: 0),
                ResourceCount(name: "gpu", count: 2, used: 0),
            ])
        try await store.setResource("gpu", count: 3)
        try await store.setResource("disk", count: nil)
        #expect(try store.resources() == [ResourceCount(name: "gpu", count: 3, used: 0)])
        for (name, count) in [("a b", 1), ("gpu", -1), ("gpu", 1_025)] {
            await #expect(throws: StoreError.self) {
                try await store.setResource(name, count: count)
            }
        }
    }

    @Test("who needs several takes all or none, and what is given back is there for others")
    func tokens() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try JobStore(at: directory.path + "/work.petiole")
        defer { store.close() }
        try await store.setResource("gpu", count: 2)
        try await store.setResource("disk", count: 1)
        func tokens(_ needs: (String, Int)...) -> ResourceTokens {
            ResourceTokens(store.open, needs.map { ResourceNeed(name: $0.0, count: $0.1) })
        }
        func used() throws -> [Int] { try store.resources().map { $0.used } }
        let one = tokens(("gpu", 1))
        let both = tokens(("gpu", 1), ("disk", 1))
        let two = tokens(("gpu", 2))
        let first = try #require(try one.held())
        #expect(try two.held() == nil)
        #expect(try used() == [0, 1])
        let second = try #require(try both.held())
        #expect(try used() == [1, 2])
        #expect(try one.held() == nil)
        #expect(try both.held() == nil)
        one.giveBack(first)
        // There is one of the first, and none of the second: nothing is held.
        #expect(try both.held() == nil)
        #expect(try used() == [1, 1])
        both.giveBack(second)
        let third = try #require(try two.held())
        #expect(try used() == [0, 2])
        // Fewer from now on: those that are in use stay so.
        try await store.setResource("gpu", count: 1)
        #expect(try store.resources()[1] == ResourceCount(name: "gpu", count: 1, used: 2))
        two.giveBack(third)
        #expect(try two.held() == nil)
        #expect(try tokens(("none", 1)).held() == nil)
        #expect(try used() == [0, 0])
    }
}

extension ResourceTokens {
    /// What a try has taken; nil: there was not enough.
    fileprivate func held() throws -> [Int64]? {
        if case .all(let held) = try take() { held } else { nil }
    }
}
